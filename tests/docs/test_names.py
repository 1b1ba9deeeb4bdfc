"""Every name that README and docs/ give to somebody to type or to look for is there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.routing import Route
from typer.main import get_command

from api.app import create_app as create_api
from api.options import ApiOptions
from broker.app import create_app as create_broker
from cli.commands import TABLES
from cli.main import whole_app
from common.keys import create_key, save_keys
from common.lifecycle import Lifecycle
from common.options import env_name
from proxy.app import create_app as create_proxy
from tests.support.broker import broker_options
from tests.support.proxy import proxy_options

ROOT = Path(__file__).parents[2]
PAGES = {path.name: path for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]}
PACKAGES = ("api", "broker", "cli", "collector", "common", "proxy", "streamer")
NOT_NAMES = {"NAME", "NAME_FILE", "VACUUM"}  # that stand for one, or are of SQL
OF_OTHERS = {"formats.md"}  # it speaks of files that others write, in their words
TYPED = re.compile(r"(?:^|[;&|]\s*|=\S+ )telemetry ([a-z]+)((?: [^|;&\n]*)?)")
DCGM = re.compile(r"DCGM_FI_[A-Z0-9_]+")
FOLDERS = (*PACKAGES, "benchmarks", "charts", "deploy", "docs", "grafana", "prometheus", "tests")

pages = pytest.mark.parametrize("page", PAGES)


def spans(page: str) -> list[str]:
    """What stands between backticks in the text of a page."""
    text = re.sub(r"^```.*?^```", "", PAGES[page].read_text(), flags=re.M | re.S)
    return re.findall(r"`([^`]+)`", text)


def commands(page: str) -> Iterator[str]:
    """Lines of code blocks, and spans: what somebody would type."""
    yield from spans(page)
    for block in re.findall(r"^```.*?\n(.*?)^```", PAGES[page].read_text(), re.M | re.S):
        yield from block.replace("\\\n", " ").splitlines()


@pytest.fixture(scope="module")
def sources() -> str:
    """All of our source."""
    return "\n".join(
        path.read_text() for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))
    )


@pytest.mark.parametrize("page", sorted(PAGES.keys() - OF_OTHERS))
def test_every_name_in_capitals_is_an_option_or_a_code(page: str, sources: str) -> None:
    options = {
        env_name(name, field)
        for command in TABLES.values()
        for name, field in command.options.model_fields.items()
    }
    for span in spans(page):
        found = re.fullmatch(r"([A-Z][A-Z0-9]+(?:_[A-Z0-9]+)*)(?:=\S*)?", span)
        if found is None or found[1] in NOT_NAMES or DCGM.fullmatch(found[1]):
            continue
        name = found[1]
        known = {name, name.removesuffix("_FILE")} & options
        assert known or re.search(rf"\b{name}\b", sources, re.I), name


@pages
def test_every_name_in_snake_case_is_a_metric_or_a_word_of_the_code(
    page: str, sources: str
) -> None:
    metrics = set(re.findall(r"^\| `([a-z_]+)`", PAGES["metrics.md"].read_text(), re.M))
    for span in spans(page):
        found = re.match(r"([a-z]+(?:_[a-z0-9]+)+)(?=$|[{=(\s])", span)
        if found is not None and not span.startswith(("tests/", "test_")):
            there = found[1] in metrics or re.search(rf"\b{found[1]}\b", sources)
            assert there, found[1]


@pages
def test_every_flag_belongs_to_the_command_before_it(page: str) -> None:
    known = get_command(whole_app()).commands  # type: ignore[attr-defined]
    for line in commands(page):
        for name, rest in re.findall(TYPED, line):
            if name not in known:
                assert not re.search(r" --[a-z]", rest), line
                continue
            ones = [known[name], *getattr(known[name], "commands", {}).values()]
            flags = {
                flag
                for one in ones
                for param in one.params
                for flag in [*param.opts, *param.secondary_opts]
            }
            for flag in re.findall(r"(?<=\s)(--[a-z][a-z-]*)", rest):
                assert flag in flags | {"--help"}, f"{name} {flag}"


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, str]]:
    """Method and path of every route of every service, parameters without their names."""
    directory = tmp_path_factory.mktemp("routes")
    save_keys(directory / "keys.json", [create_key("tester", ["read"])[1]])
    options = broker_options(directory)
    api = ApiOptions(api_keys_file=directory / "keys.json", service_token=options.service_token)
    services = (
        create_broker(options, Lifecycle()),
        create_proxy(proxy_options({"broker-0": "http://127.0.0.1:1"}), Lifecycle()),
        create_api(api, Lifecycle()),
    )
    return {
        (method, bare(route.path))
        for service in services
        for route in service.routes
        if isinstance(route, Route)
        for method in route.methods or {"GET"}
    }


def bare(path: str) -> str:
    return re.sub(r"\{[^}]*\}|(?<=/)[A-Z]+(?=/|$)", "{}", path)


@pages
def test_every_endpoint_is_one(page: str, routes: set[tuple[str, str]]) -> None:
    for span in spans(page):
        for method, path in re.findall(r"\b(GET|POST|PUT|DELETE) (/[\w/{}.-]+)", span):
            assert (method, bare(path).rstrip("/")) in routes, f"{method} {path}"


@pages
def test_every_target_of_make_is_one(page: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for line in commands(page):
        for target in re.findall(r"(?:^|[&;] *)make ([a-z]+)", line):
            assert re.search(rf"^{target}:", makefile, re.M), target


@pages
def test_every_file_is_there(page: str) -> None:
    for line in commands(page):
        for path in re.findall(rf"(?<![\w./-])((?:{'|'.join(FOLDERS)})/[\w./-]*\w)", line):
            there = (ROOT / path).exists() or (PAGES[page].parent / path).exists()
            assert there, path
