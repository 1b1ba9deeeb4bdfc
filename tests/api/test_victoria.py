"""The API over VictoriaMetrics: whatever is asked, the answer is the one that SQLite gives."""

from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import quote

from common.models import Gpu, Sample
from common.storage.sqlite.store import SqliteStore
from tests.api.conftest import T0, StartApi
from tests.api.test_influx import QUESTIONS, fill, pages
from tests.api.test_injection import CATALOGUE
from tests.support.stores import opening_db
from tests.support.victoria import VictoriaMetrics, new_db, victoria_options

KIND = "victoriametrics"


async def test_every_question_has_the_same_answer(
    start_api: StartApi, victoria: VictoriaMetrics, store_path: Path
) -> None:
    db = new_db()
    for open_it in opening_db(victoria, db):
        sqlite = SqliteStore(store_path)
        fill(sqlite)
        sqlite.close()
        fill(open_it())
    async with AsyncExitStack() as apis:
        one = await apis.enter_async_context(start_api())
        there = start_api(store=KIND, **victoria_options(victoria, db))
        other = await apis.enter_async_context(there)
        for question in QUESTIONS:
            answers = await pages(one, question)
            assert await pages(other, question) == answers, question


async def test_strings_that_mean_something_mean_the_same_in_both(
    start_api: StartApi, victoria: VictoriaMetrics, store_path: Path
) -> None:
    """Each is a GPU's id, host, label and metric, and is asked for; so is one that is not there."""
    db = new_db()
    samples = [
        Sample(Gpu(text, text, "0", "d", text, text, text, text, {"l": text}), T0, {text: 1.5})
        for text in CATALOGUE
    ]
    for open_it in opening_db(victoria, db):
        sqlite = SqliteStore(store_path)
        sqlite.write(samples)
        sqlite.close()
        open_it().write(samples)
    async with AsyncExitStack() as apis:
        one = await apis.enter_async_context(start_api())
        there = start_api(store=KIND, **victoria_options(victoria, db))
        other = await apis.enter_async_context(there)
        for text in CATALOGUE:
            gpu = quote(text, safe="")
            for sent in (gpu, quote(text + "x", safe="")):
                for question in (
                    f"/gpus?host={sent}",
                    f"/gpus/{sent}",
                    f"/gpus/{gpu}/telemetry?metric={sent}",
                ):
                    assert await pages(other, question) == await pages(one, question), question
        assert await pages(other, "/stats") == await pages(one, "/stats")


async def test_a_server_that_is_away_is_503_and_unready(start_api: StartApi) -> None:
    nowhere = {"victoriametrics_url": "http://127.0.0.1:9"}
    async with start_api(store=KIND, **nowhere) as api:
        for question in QUESTIONS[:1] + QUESTIONS[-3:]:
            status, body, _ = await api.get(f"/api/v1{question}")
            assert (status, body["error"]["code"]) == (503, "STORE_UNAVAILABLE")
        assert (await api.get("/ready"))[0] == 503
