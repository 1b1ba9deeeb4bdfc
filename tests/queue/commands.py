"""The command `telemetry` on an engine of others, as its user runs it."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from cli.dlq import DlqPlan, ask
from cli.doctor.examine import Patient, examine_service
from cli.doctor.finding import Level
from cli.ping import ping
from cli.ping_options import PingOptions
from common.queue.address import scheme_of, without_secrets
from common.storage.sqlite.store import SqliteStore
from streamer.sources.generator import write_csv
from tests.cli.command import telemetry
from tests.queue.contract import letters_are, send_until_taken
from tests.queue.engine import Client, Engine
from tests.support.client import TOKEN

START = datetime(2025, 7, 18, 20, 42, 34, tzinfo=UTC)
GPUS, SECONDS, METRICS = 24, 5, 10
GROUP = "collectors"


async def telemetry_on(engine: Engine, *arguments: str) -> str:
    """Run the command to its end, the queue's address in its environment; what it printed."""
    given = {"QUEUE_URL": engine.address().url, "SERVICE_TOKEN": TOKEN}
    done = await asyncio.to_thread(telemetry, *arguments, **given)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def secrets_of(engine: Engine) -> list[str]:
    """What of the address nobody may read in a log; nothing where it holds no password."""
    address = engine.address().url
    user_info = address.partition("://")[2].rpartition("@")[0]
    return [user_info.rpartition(":")[2]] if user_info else []


class Commands:
    """Tests for a module that has a fixture ``engine``."""

    async def test_run_brings_a_file_into_the_store_without_brokers_of_its_own(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        csv, directory = tmp_path / "fleet.csv", tmp_path / "stack"
        with csv.open("wb") as file:
            write_csv(file, GPUS, SECONDS, START, seed=7)
        printed = await telemetry_on(
            engine, "run", "--once", "--csv", str(csv), "--data-dir", str(directory)
        )
        assert "the books balance" in printed
        store = SqliteStore(directory / "telemetry.db", writable=False)
        try:
            assert store.stats().points == GPUS * SECONDS * METRICS
        finally:
            store.close()
        logs = {path.stem: path.read_text() for path in (directory / "logs").glob("*.log")}
        assert logs.keys() == {"collector", "streamer"}
        for secret in secrets_of(engine):
            assert not [name for name, text in logs.items() if secret in text]

    async def test_dlq_lists_drives_again_and_throws_away(
        self, engine: Engine, topic: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        url = engine.address().url
        monkeypatch.setenv("QUEUE_URL", url)

        async def dlq(act: str) -> Any:
            plan = DlqPlan(tmp_path, None, topic, GROUP, act, limit=20, rate=1000, as_json=True)
            return (await ask(plan))["brokers"][scheme_of(url)]

        names = ("--topic", topic, "--group", GROUP)
        async with Client(engine, topic) as client:
            producer = await client.producer()
            reader = client.reader(group=GROUP)
            for word in (b"poison", b"\xff\xfe"):
                await producer.send(topic, 0, [word], word.hex())
                (message,) = await reader.take(1)
                await reader.consumer.reject([message.receipt], "cannot be read")
            await letters_are(client, 2, GROUP)
            listed: Any = json.loads(await telemetry_on(engine, "dlq", *names, "--json"))
            assert [row["payload"] for row in listed["dead_letters"]] == ["poison", None]
            assert listed["dead_letters"][1]["payload_base64"] == "//4="
            assert {row["error"] for row in listed["dead_letters"]} == {"cannot be read"}
            # acked as they come: a lease may be shorter than a command takes to end
            taking = asyncio.create_task(reader.take_and_ack(2))
            assert await dlq("redrive") == {"redriven": 2}
            again = await taking
            assert {message.payload for message in again} == {b"poison", b"\xff\xfe"}
            await send_until_taken(producer, topic, b"more")
            (message,) = await reader.take(1)
            await reader.consumer.reject([message.receipt], "no")
            await letters_are(client, 1, GROUP)
            assert await dlq("purge") == {"purged": 1}
            await letters_are(client, 0, GROUP)

    async def test_ping_and_doctor_reach_it(self, engine: Engine, tmp_path: Path) -> None:
        where = engine.address()
        options = PingOptions(queue_url=SecretStr(where.url), service_token=SecretStr(TOKEN))
        assert "a message there and back in" in (await ping(options))[0]
        given = {
            "QUEUE_URL": where.url,
            "SERVICE_TOKEN": TOKEN,
            "DATA_DIR": str(tmp_path / "collector"),
            "SQLITE_PATH": str(tmp_path / "points.sqlite"),
            "MSG_QUEUE_TOPIC": "examined",
        }
        found = await examine_service(Patient("collector", given, listens=False))
        (said,) = [each for each in found if each.check == "queue"]
        assert said.level is Level.OK
        assert f"{without_secrets(where.url)} answers: topic examined has" in said.what
        given["QUEUE_URL"] = engine.wrong_address().url
        found = await examine_service(Patient("collector", given, listens=False))
        (said,) = [each for each in found if each.check == "queue"]
        assert said.level is Level.ERROR
