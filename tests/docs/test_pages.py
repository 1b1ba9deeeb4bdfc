"""What the pages say is what the code does."""

import re
from pathlib import Path

import pytest
from pydantic import SecretStr
from starlette.routing import Route

from api.app import create_app as create_api
from api.options import ApiOptions
from broker.app import create_app as create_broker
from broker.options import BrokerOptions
from cli.commands import SERVICES
from cli.main import whole_app
from cli.reference import reference
from common.errors import all_errors
from common.keys import create_key, save_keys
from common.lifecycle import Lifecycle
from proxy.app import create_app as create_proxy
from proxy.options import ProxyOptions

ROOT = Path(__file__).parents[2]
APP = whole_app()
GROUPS = [group.typer_instance.info for group in APP.registered_groups if group.typer_instance]
TOKEN = SecretStr("a-token-of-the-docs-tests")


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.fixture
def routes(tmp_path: Path) -> set[tuple[str, str]]:
    """Method and path of every route of the broker and the proxy."""
    broker = create_broker(BrokerOptions(data_dir=tmp_path, service_token=TOKEN), Lifecycle())
    options = ProxyOptions(brokers=("http://127.0.0.1:1",), service_token=TOKEN)
    proxy = create_proxy(options, Lifecycle())
    return {
        (method, route.path)
        for route in [*broker.routes, *proxy.routes]
        if isinstance(route, Route)
        for method in (route.methods or {"GET"}) - {"HEAD"}
    }


def test_the_configuration_page_is_the_options_tables() -> None:
    assert page("docs/configuration.md") == reference()


def test_every_route_is_on_the_protocol_page(routes: set[tuple[str, str]]) -> None:
    protocol = page("docs/protocol.md")
    assert not [pair for pair in routes if f"{pair[0]} {pair[1]}" not in protocol]


def test_every_request_on_the_protocol_page_is_a_route(routes: set[tuple[str, str]]) -> None:
    named = set(
        re.findall(
            r"\b(GET|POST|PUT|DELETE) (/[a-z]+(?:\.json)?(?:/(?:\{[a-z]+\}|[a-z]+))*)",
            page("docs/protocol.md"),
        )
    )
    assert named <= routes


def test_the_error_table_is_the_error_tree() -> None:
    rows = re.findall(r"^\| (\d{3}) \| `([A-Z_]+)` \|", page("docs/protocol.md"), re.M)
    assert [(int(status), code) for status, code in rows] == [
        (error.status, error.code) for error in all_errors()
    ]


def test_the_readme_names_commands_that_exist() -> None:
    named = set(re.findall(r"`telemetry ([a-z]+)", page("README.md")))
    commands = {command.name for command in APP.registered_commands}
    known = set(SERVICES) | commands | {group.name for group in GROUPS}
    assert named <= known
    assert {"up", "run", "generate"} <= named


def test_links_between_pages_lead_somewhere() -> None:
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_the_readme_can_be_read_in_one_sitting() -> None:
    assert len(page("README.md").splitlines()) < 120


@pytest.mark.parametrize("name", ["promises.md", "engines.md"])
def test_every_test_that_a_page_names_exists(name: str) -> None:
    named = re.findall(r"`(tests/[a-z_/]+\.py)::([a-z_A-Z0-9]+)`", page(f"docs/{name}"))
    assert named
    for file, test in named:
        assert test in page(file), f"{file} has no {test}"


def test_the_page_of_the_api_has_every_request_and_no_other(tmp_path: Path) -> None:
    save_keys(tmp_path / "keys.json", [create_key("docs", ["read"])[1]])
    options = ApiOptions(api_keys_file=tmp_path / "keys.json", service_token=TOKEN)
    served = {
        (method, str(route.path_format))
        for route in create_api(options, Lifecycle()).routes
        if isinstance(route, Route)
        for method in (route.methods or {"GET"}) - {"HEAD"}
    }
    text = page("docs/api.md")
    named = set(re.findall(r"`(GET|POST) (/[a-z0-9/{}_.]+)`", text))
    assert named <= served
    assert {pair for pair in served if pair[1].startswith("/api/")} <= named
