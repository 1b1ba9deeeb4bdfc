"""The laws of the layout: who may import whom, and who reads the environment."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SERVICES = ("api", "broker", "collector", "proxy", "streamer")
PACKAGES = (*SERVICES, "cli", "common")
READS_ENVIRONMENT = {"common/options.py", "cli/stack.py"}
LONGEST_FILE = 300


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name.split(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_imports_common_and_itself_only(service: str) -> None:
    others = set(PACKAGES) - {service, "common"}
    found = {(str(path), name) for path in sources(service) for name in imported(path)}
    assert not [pair for pair in found if pair[1] in others]


def test_common_imports_no_service() -> None:
    found = {name for path in sources("common") for name in imported(path)}
    assert not found & (set(PACKAGES) - {"common"})


def test_the_environment_is_read_in_one_place_and_passed_on_in_one() -> None:
    readers = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in sources(package)
        if "os.environ" in path.read_text()
    }
    assert readers == READS_ENVIRONMENT


def test_no_file_outgrows_a_reader() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for package in PACKAGES
        for path in sources(package)
    }
    assert not {name: length for name, length in lengths.items() if length > LONGEST_FILE}
