"""Requests made from a service's own description, by schemathesis, and every answer held to it."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

COMMAND = "from schemathesis.cli import schemathesis; schemathesis()"
RUN_SECONDS = 900
ANSWER_SECONDS = "30"
# A request may fit its description and still be wrong: a cursor that nobody gave, two names of
# one parameter, a topic that is not there. Those are answered as the description says.
SETTINGS = """
[checks]
positive_data_acceptance.expected-statuses = ["2xx", "400", "404", "409", "413", "422", "429"]
negative_data_rejection.expected-statuses = ["4xx"]
"""


class Fuzzing(NamedTuple):
    """Which service, its description, paths left out, and how many cases an operation gets."""

    url: str
    document: Any
    headers: Mapping[str, str]
    without: Sequence[str]
    examples: int
    seed: int

    async def run(self, directory: Path) -> str:
        """Run all checks; returns the report, raises AssertionError with it on any failure."""
        document, settings = directory / "openapi.json", directory / "schemathesis.toml"
        document.write_bytes(msgspec.json.encode(self.document))
        settings.write_text(SETTINGS)
        arguments = [
            *("--config-file", str(settings), "run", str(document), "--url", self.url),
            *("--checks", "all", "--phases", "examples,coverage,fuzzing", "--no-shrink"),
            *("--max-examples", str(self.examples), "--seed", str(self.seed)),
            *("--request-timeout", ANSWER_SECONDS, "--warnings", "off", "--continue-on-failure"),
            *(f"--header={name}: {value}" for name, value in self.headers.items()),
            *(f"--exclude-path={path}" for path in self.without),
        ]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            COMMAND,
            *arguments,
            cwd=directory,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(RUN_SECONDS):
            report = (await process.communicate())[0].decode()
        sys.stdout.write(report)  # with how many cases there were
        assert process.returncode == 0, report
        return report
