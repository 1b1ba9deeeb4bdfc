"""The bar: rows, points a second, lag, and what is in the way."""

import asyncio
import io

from rich.console import Console

from streamer.bar import Bar, Rate
from tests.streamer.fakes import FakeClock, settle


def stats(rows: int, points: int, published: int) -> dict[str, object]:
    return {
        "rows_read": rows,
        "points_published": published,
        "lag_points": points - published,
        "bytes_read": rows,
        "bytes_total": 2000,
        "finished": False,
    }


async def test_it_shows_rows_rate_lag_and_what_is_waited_for() -> None:
    clock, text = FakeClock(manual=True), io.StringIO()
    problems: dict[str, str] = {}
    now = stats(0, 0, 0)
    console = Console(file=text, force_terminal=True, width=120, color_system=None)
    bar = Bar(lambda: now, problems, clock, console)
    showing = asyncio.create_task(bar.show_for_ever())
    await settle()
    now = stats(1000, 1000, 800)
    for _ in range(200):
        await clock.advance(0.25)
    problems["partition 0"] = "BROKER_UNREACHABLE: no answer"
    await clock.advance(0.25)
    showing.cancel()
    await asyncio.gather(showing, return_exceptions=True)
    shown = text.getvalue()
    assert "50%" in shown
    assert "1,000 rows" in shown
    assert "lag 200" in shown
    assert "waiting" in shown
    assert "partition 0: BROKER_UNREACHABLE" in shown


def test_a_rate_follows_the_count() -> None:
    rate = Rate(0.0)
    for second in range(1, 30):
        shown = rate.tell(second * 500, float(second))
    assert 499 < shown <= 500
    for second in range(30, 60):
        shown = rate.tell(29 * 500, float(second))
    assert shown < 1
