"""The description is whole and true, and its page needs no internet."""

import re
from typing import Any

import msgspec
import pytest

from tests.api.conftest import Api
from tests.api.test_access import closed_paths


async def description(api: Api) -> Any:
    _, body, _ = await api.get("/openapi.json", headers={})
    return body


async def test_every_closed_route_is_described_with_its_errors(api: Api) -> None:
    described = await description(api)
    operations = [o for path in described["paths"].values() for o in path.values()]
    assert len(operations) == len(closed_paths(api.app))
    for operation in operations:
        assert {"200", "202"} & set(operation["responses"])
        assert {"400", "401", "403", "422", "429", "503"} <= set(operation["responses"])
        assert operation["description"]
        assert operation["tags"]
    assert described["security"] == [{"ApiKey": []}, {"Bearer": []}]


async def test_every_reference_leads_somewhere(api: Api) -> None:
    described = await description(api)
    text = msgspec.json.encode(described).decode()
    references = set(re.findall(r'"#/components/schemas/([^"]+)"', text))
    assert references <= set(described["components"]["schemas"])
    assert "HTTPValidationError" not in text


async def test_answers_have_the_described_fields(api: Api) -> None:
    described = await description(api)
    schemas = described["components"]["schemas"]
    for path, operation in described["paths"].items():
        if "{message_id}" in path:
            continue  # there is no queue here; test_trace.py has one
        filled = path.replace("{gpu_id}", "GPU-00").replace("{host}", "host-0")
        filled += "?format=json" if path.endswith("/export") else ""
        content = operation.get("get", {"responses": {}})["responses"].get("200", {"content": {}})
        if "application/json" not in content["content"]:
            continue
        name = content["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
        assert set(await api.ok(filled)) == set(schemas[name]["properties"]), path


async def test_the_page_loads_nothing_from_elsewhere(api: Api) -> None:
    for path in ("/docs", "/swagger/"):
        status, page, answer = await api.get(path, headers={})
        assert status == 200
        assert answer.content_type == "text/html"
        assert len(page) > 1_000_000
        assert not re.search(r"<(script|img|iframe)[^>]*\ssrc\s*=\s*[\"']?\s*(https?:)?//", page)
        assert not re.search(r"<link[^>]*\shref\s*=\s*[\"']?\s*(https?:)?//", page)
        assert not re.search(r"@import|url\(\s*[\"']?(https?:)?//", page.split("</style>")[0])
        assert "url: '/openapi.json'" in page
        assert "validatorUrl: null" in page
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "http" not in policy


@pytest.mark.parametrize(
    "ranges", ["bytes=0-1", "bytes=-1", "bytes=" + ",".join(["0-"] * 5000), "bytes=9-0", "rows=1-2"]
)
async def test_a_range_of_the_page_is_the_page_or_refused(api: Api, ranges: str) -> None:
    status, page, answer = await api.get("/docs", headers={"Range": ranges})
    assert (status == 200 and len(page) > 1_000_000) or status in (206, 416, 431)
    assert "multipart" not in answer.content_type


@pytest.mark.parametrize("path", ["/docs/../../etc/passwd", "/docs/..%2f..%2fetc%2fpasswd"])
async def test_there_is_no_file_behind_the_page(api: Api, path: str) -> None:
    status, body, _ = await api.get(path)
    assert status == 404
    assert body["error"]["code"] == "NOT_FOUND"
