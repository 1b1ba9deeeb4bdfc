"""`telemetry run` with its points in VictoriaMetrics."""

from pathlib import Path

from tests.cli.command import telemetry
from tests.cli.test_run import numbers
from tests.support.stores import opening_db
from tests.support.victoria import VictoriaMetrics, new_db


def test_a_file_is_stored_there_and_the_books_are_counted_there(
    tmp_path: Path, small_fleet: Path, victoria: VictoriaMetrics
) -> None:
    db = new_db()
    where = {"VICTORIAMETRICS_URL": victoria.url, "VICTORIAMETRICS_DB": db}
    arguments = ["run", "--once", "--csv", str(small_fleet), "--data-dir", str(tmp_path / "data")]
    done = telemetry(*arguments, "--store", "victoriametrics", **where)
    assert done.returncode == 0, done.stdout + done.stderr
    assert db in done.stdout
    books = numbers(done.stdout)
    assert (books["points stored"], books["lost"], books["GPUs"]) == (1200, 0, 24)
    for open_it in opening_db(victoria, db):
        assert open_it(writable=False).stats().points == 1200
