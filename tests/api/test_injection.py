"""Strings that mean something to somebody: to SQL, Flux, line protocol, HTTP, a shell, a sheet.

Each is put into every parameter of every route, as a name that is not there and as a name that is:
it must come back as the text it was, or find nothing, and change nothing.
"""

import json
import re
from urllib.parse import quote

import pytest

from common.models import Gpu, Sample
from common.storage.sqlite.store import SqliteStore
from tests.api.conftest import T0, Api, StartApi
from tests.api.test_access import closed_paths

CATALOGUE = [
    "' OR 1=1 --",
    "'; DROP TABLE gpu; --",
    '" OR ""="',
    "%' UNION SELECT * FROM meta --",
    "x'); DELETE FROM sample; --",
    '") |> drop(columns: ["_value"]) //',
    '") |> to(bucket: "other") //',
    'x" and r._measurement =~ /.*/ and "" == "',
    "${jndi:ldap://127.0.0.1/a}",
    "{{7*7}}",
    "gpu,host=a value=1 1\ngpu,host=b value=2 2",
    "a b,c=d",
    "a\\",
    "\r\nX-Evil: 1\r\n\r\n<script>",
    "data: x\n\nevent: goodbye\ndata: {}",
    "../../../../etc/passwd",
    "..\\..\\windows",
    "/etc/passwd",
    "file:///etc/passwd",
    "http://169.254.169.254/latest/meta-data/",
    "$(touch /tmp/evil)",
    "`id`",
    "; ls",
    "| ls",
    "=cmd|' /C calc'!A0",
    "@SUM(1)",
    "\x00",
    "a\x00b",
    "\u202eevil",
    "\u2028",
    "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
    "null",
    "true",
    "-1",
    "1e309",
    "NaN",
    "[]",
    '{"$gt": ""}',
    "*",
    "%",
    "_",
    "<script>alert(1)</script>",
]
CANARY = "a-canary-that-must-not-sing"
PARAMETERS = ("host", "model", "namespace")
GPUS = "/api/v1/gpus"
IDS = [f"{number}: {text[:24]!r}" for number, text in enumerate(CATALOGUE)]


@pytest.mark.parametrize("text", CATALOGUE, ids=IDS)
async def test_a_name_that_is_not_there_finds_nothing(api: Api, text: str) -> None:
    sent = quote(text, safe="")
    before = await api.ok("/api/v1/stats")
    for name in PARAMETERS:
        assert (await api.ok(f"{GPUS}?{name}={sent}"))["gpus"] == []
    for tail in ("", "/metrics", "/telemetry", "/telemetry/export"):
        status, body, answer = await api.get(f"{GPUS}/{sent}{tail}")
        assert (status, body["error"]["code"]) == (404, "NOT_FOUND")
        assert "X-Evil" not in answer.headers
    assert (await api.get(f"/api/v1/hosts/{sent}/gpus"))[0] == 404
    points = f"{GPUS}/GPU-03/telemetry"
    for name in ("start", "end", "window", "cursor", "limit", "offset", "order", "agg"):
        status, body, answer = await api.get(f"{points}?{name}={sent}")
        assert status in (400, 422), (name, body)
        assert "X-Evil" not in answer.headers
    status, body, _ = await api.get(f"{points}?metric={sent}")
    assert status in (200, 400)
    assert status == 400 or body["points"] == []
    assert (await api.get(f"{GPUS}?{sent}=1"))[0] == 400
    assert await api.ok("/api/v1/stats") == before


@pytest.mark.parametrize("text", CATALOGUE, ids=IDS)
async def test_a_name_that_is_there_is_only_a_name(api: Api, fleet: SqliteStore, text: str) -> None:
    about = Gpu(text, text, "0", "d", text, text, text, text, {"label": text})
    fleet.write([Sample(about, T0, {text: 1.5})])
    sent = quote(text, safe="")
    for name in PARAMETERS:
        (found,) = (await api.ok(f"{GPUS}?{name}={sent}"))["gpus"]
        assert found["id"] == text
    gpu = await api.ok(f"{GPUS}/{sent}")
    assert [gpu[name] for name in ("hostname", "model", "namespace", "pod")] == [text] * 4
    assert gpu["labels"] == {"label": text}
    assert (await api.ok(f"{GPUS}/{sent}/metrics"))["metrics"] == [text]
    assert (await api.ok(f"{GPUS}/{sent}/telemetry"))["points"][0]["metric"] == text
    assert (await api.ok(f"/api/v1/hosts/{sent}/gpus"))["gpus"][0]["id"] == text
    exported = await api.ok(f"{GPUS}/{sent}/telemetry/export?format=json")
    assert exported["gpu_id"] == text
    status, table, answer = await api.get(f"{GPUS}/{sent}/telemetry/export")
    assert status == 200
    assert "X-Evil" not in answer.headers
    assert re.fullmatch(
        r'attachment; filename="telemetry-[A-Za-z0-9._-]*\.csv"',
        answer.headers["content-disposition"],
    )
    for line in table.split("\r\n"):
        assert not re.search(r'(^|,)"?[=+@\t]', line)


@pytest.mark.parametrize("text", CATALOGUE, ids=IDS)
async def test_nothing_in_a_header_changes_an_answer(api: Api, text: str) -> None:
    """Headers that others believe: whom it comes from, what was meant, what it is called."""
    sent = re.sub(r"[\x00-\x1f\x7f]", "", text).encode("utf-8").decode("latin-1")
    expected = await api.ok("/api/v1/metrics")
    for name in (
        *("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Prefix", "Forwarded", "Referer"),
        *("X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override", "User-Agent", "Cookie"),
        *("Accept", "Accept-Language", "Origin", "X-Request-ID", "Range", "If-None-Match"),
    ):
        headers = {"X-API-Key": api.keys["read"], name: sent}
        status, body, answer = await api.get("/api/v1/metrics", headers=headers)
        assert (status, body) == (200, expected), name
        assert "X-Evil" not in answer.headers
        status, _, _ = await api.get("/api/v1/metrics", headers={name: sent})
        assert status == 401


async def test_no_secret_is_in_any_answer_log_or_description(
    start_api: StartApi, fleet: SqliteStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every key is sent to every route, good and bad, and looked for in all that comes out."""
    async with start_api(service_token_text=CANARY) as api:
        said = await everything_said(api)
        secrets = [CANARY, *(key.split("_", 2)[2] for key in api.keys.values())]
    fleet.close()
    printed = capsys.readouterr()
    everything = "\n".join([*said, printed.out, printed.err])
    assert "UNAUTHORIZED" in everything
    for secret in secrets:
        assert secret not in everything


async def everything_said(api: Api) -> list[str]:
    """What the API answers to good and bad keys, on every route, and says of itself."""
    said = []
    for method, path in closed_paths(api.app):
        if path.endswith("/live"):
            continue
        for key in (*api.keys.values(), api.keys["read"][:-1], "Bearer"):
            for headers in ({"X-API-Key": key}, {"Authorization": f"Bearer {key}"}):
                _, body, answer = await api.get(
                    f"{path}?key={key[:20]}", headers=headers, method=method
                )
                said += [json.dumps(body), str(answer.headers)]
    for path in ("/metrics", "/stats", "/ready", "/openapi.json", "/docs"):
        said.append(str((await api.get(path, headers={}))[1]))
    return [*said, repr(api.app.state.options), str(api.app.state.options)]
