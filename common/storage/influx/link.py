"""The way to one bucket of an InfluxDB 2 server: lines go in, Flux is asked, the bucket is made."""

import csv
import io
import time
from collections.abc import Iterable, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

from influxdb_client import BucketRetentionRules, Dialect, InfluxDBClient
from influxdb_client.client.exceptions import InfluxDBError
from influxdb_client.domain.bucket import Bucket
from influxdb_client.rest import ApiException
from influxdb_client.service.write_service import WriteService

from common.errors import StoreUnavailable
from common.storage.base import StoreRefused
from common.storage.bodies import bodies, packed
from common.storage.influx.answers import NOT_FOUND, failures

CHUNK_BYTES = 1 << 16
MAX_ANSWER_BYTES = 256 << 20
MAX_CELL_BYTES = 16 << 20
CONNECTIONS = 16

Params = Mapping[str, Any]
Columns = Mapping[str, tuple[str, ...]]
Answer = dict[str, list[tuple[str, ...]]]

csv.field_size_limit(MAX_CELL_BYTES)  # else a GPU with 128 KiB of labels could not be read


class Link:
    """Requests to one bucket, each answered or failed within a time; for any thread.

    Every method raises StoreUnavailable, and StoreRefused where trying again does not help.
    What is asked for and answered with anything but tables raises some LookupError or ValueError.
    """

    def __init__(
        self,
        url: str,
        token: str,
        org: str,
        bucket: str,
        timeout_seconds: float,
        ca_file: Path | None = None,
    ) -> None:
        self.where = f"InfluxDB at {url}"
        self._org = org
        self._bucket = bucket
        self._timeout_seconds = timeout_seconds
        self._client = InfluxDBClient(
            url,
            token,
            org=org,
            timeout=max(1, round(timeout_seconds * 1000)),
            connection_pool_maxsize=CONNECTIONS,
            ssl_ca_cert=None if ca_file is None else str(ca_file),
        )
        self._writes = WriteService(self._client.api_client)
        self._dialect = Dialect(annotations=[], header=True, date_time_format="RFC3339Nano")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def send(self, lines: Iterable[bytes]) -> None:
        """Write lines, some thousands a request; each is fsynced by the server when it answers.

        Raises WriteRefused with the server's words. What came before the refused request is
        stored, and of the request itself what the server did not refuse may be.
        """
        for body in bodies(lines):
            with failures(self.where, writing=True):
                self._writes.post_write(
                    self._org,
                    self._bucket,
                    packed(body),
                    precision="ms",
                    content_encoding="gzip",
                    content_type="text/plain; charset=utf-8",
                )

    def ask(self, flux: str, params: Params, columns: Columns) -> Answer:
        """Put a question; ``params`` are its values, each a variable of the text with that name.

        ``columns`` says for each result what to pick; a result without rows is an empty list.
        """
        given = {"_bucket": self._bucket, **params}
        deadline = time.monotonic() + self._timeout_seconds
        with failures(self.where):
            answer = self._client.query_api().query_raw(flux, dialect=self._dialect, params=given)
            try:
                body = self._read(answer, deadline)
            finally:
                answer.release_conn()
        return self._parse(body.decode(), columns)

    def prepare(self, retention_seconds: int) -> None:
        """Make the bucket if it is not there, and its retention what is wanted; 0 is for ever."""
        with failures(self.where):
            bucket = self._find_bucket() or self._make_bucket(retention_seconds)
            rules = bucket.retention_rules
            if (rules[0].every_seconds if rules else 0) != retention_seconds:
                bucket.retention_rules = [_rule(retention_seconds)]
                self._client.buckets_api().update_bucket(bucket)

    def check(self) -> None:
        """Return when the bucket can be asked."""
        with failures(self.where):
            if self._find_bucket() is None:
                raise StoreRefused(
                    f"{self.where} has no bucket {self._bucket}; a collector makes it"
                )

    def _find_bucket(self) -> Bucket | None:
        try:
            found = self._client.buckets_api().find_buckets(name=self._bucket, org=self._org)
        except ApiException as error:
            if error.status == NOT_FOUND:
                return None
            raise
        return found.buckets[0] if found.buckets else None

    def _make_bucket(self, retention_seconds: int) -> Bucket:
        try:
            return self._client.buckets_api().create_bucket(
                bucket_name=self._bucket,
                org=self._org,
                retention_rules=_rule(retention_seconds),
            )
        except InfluxDBError:
            bucket = self._find_bucket()  # another collector was faster
            if bucket is None:
                raise
            return bucket

    def _read(self, answer: Any, deadline: float) -> bytes:
        parts: list[bytes] = []
        size = 0
        while part := answer.read1(CHUNK_BYTES):  # what is there: a slow answer is noticed
            parts.append(part)
            size += len(part)
            if size > MAX_ANSWER_BYTES:
                raise StoreUnavailable(f"{self.where} answered over {MAX_ANSWER_BYTES} bytes")
            if time.monotonic() > deadline:
                raise StoreUnavailable(f"{self.where} did not answer in time")
        return b"".join(parts)

    def _parse(self, text: str, columns: Columns) -> Answer:
        """Take an answer apart: tables, each under a head of its own, empty lines between."""
        answer: Answer = {name: [] for name in columns}
        head: list[str] | None = None
        rows: list[tuple[str, ...]] | None = None
        pick = itemgetter(0, 0)
        for row in csv.reader(io.StringIO(text, newline="")):
            if not row:
                head = None
            elif head is None:
                head, rows = row, None
                named = head.index("error" if "error" in head else "result")
            elif rows is not None:
                rows.append(pick(row))
            elif head[named] == "error":
                raise StoreUnavailable(f"{self.where} broke off: {row[named]}")
            else:
                rows = answer[row[named]]
                pick = itemgetter(*map(head.index, columns[row[named]]))
                rows.append(pick(row))
        return answer


def _rule(seconds: int) -> BucketRetentionRules:
    # 0 lets the server choose the shards' length anew: it must fit the retention
    return BucketRetentionRules(
        type="expire", every_seconds=seconds, shard_group_duration_seconds=0
    )
