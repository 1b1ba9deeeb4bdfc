"""A file whose maker was killed before there was anything in it."""

from pathlib import Path

import apsw
import pytest

from common.errors import StoreUnavailable
from common.storage.base import StoreRefused
from common.storage.sqlite import SqliteStore
from tests.storage.samples import sample


def begin(path: Path) -> None:
    """Leave what a kill leaves between the first page and the first table."""
    db = apsw.Connection(str(path))
    db.pragma("journal_mode", "wal")
    db.close()
    assert path.stat().st_size


def test_a_file_that_was_only_begun_is_made_anew(tmp_path: Path) -> None:
    begin(tmp_path / "store.db")
    store = SqliteStore(tmp_path / "store.db")
    store.write([sample("a", 0, m=1)])
    assert store.stats().points == 1
    store.close()


def test_until_then_it_cannot_be_read(tmp_path: Path) -> None:
    begin(tmp_path / "store.db")
    store = SqliteStore(tmp_path / "store.db", writable=False)
    with pytest.raises(StoreUnavailable) as refusal:
        store.check()
    assert not isinstance(refusal.value, StoreRefused)
