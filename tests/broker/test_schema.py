"""The broker held to its own description by schemathesis; more cases with FUZZ_EXAMPLES."""

import os
from pathlib import Path

import pytest
from starlette.routing import Route

from broker.app import create_app
from broker.description import OPERATIONS, PARAMETERS
from common.http.edge import OPEN_PATHS
from common.lifecycle import Lifecycle
from tests.support.broker import broker_options, running_broker
from tests.support.client import TOKEN, BrokerClient
from tests.support.fuzzing import Fuzzing

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "8"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))


def test_every_route_is_described_and_no_other(tmp_path: Path) -> None:
    app = create_app(broker_options(tmp_path), Lifecycle())
    served = {
        (method, route.path_format)
        for route in app.routes
        if isinstance(route, Route) and route.path not in OPEN_PATHS
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert served == set(OPERATIONS)
    named = {name for each in OPERATIONS.values() for name in (*each.required, *each.optional)}
    assert named <= set(PARAMETERS)


async def test_the_description_needs_no_token(tmp_path: Path) -> None:
    async with running_broker(tmp_path) as broker, BrokerClient(broker.url, token=None) as client:
        document = (await client.request("GET", "/openapi.json")).json
    assert document["security"] == [{"token": []}]
    produce = document["paths"]["/produce"]["post"]
    assert {"200", "400", "401", "409", "413", "415", "429", "503"} <= set(produce["responses"])


@pytest.mark.timeout(1800)
async def test_no_answer_is_undescribed(tmp_path: Path) -> None:
    async with running_broker(tmp_path / "broker", durability="disk") as broker:
        document = (await broker.client.request("GET", "/openapi.json")).json
        headers = {"Authorization": f"Bearer {TOKEN}"}
        # A stream has no end, and a drain refuses all that is asked after it.
        without = ["/consume", "/drain"]
        await Fuzzing(broker.url, document, headers, without, EXAMPLES, SEED).run(tmp_path)
