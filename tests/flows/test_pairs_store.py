"""make-pairs on a store that fails: now and then, or for want of room."""

from pathlib import Path
from typing import Any

import pytest

from spatialdreamer_core.errors import StoreError
from spatialdreamer_core.store.place import FullDiskError, Place
from tests.flows.pairs_corpus import Corpus

WRITES = ("publish_file", "create")  # locally every write ends in one of these


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    films = tmp_path / "films"
    films.mkdir()
    corpus = Corpus(films, tmp_path / "out")
    corpus.add_film("pan.mkv", clips=6, seed=1)
    (films / "bad.mkv").write_bytes(b"no film" * 50)
    return corpus


@pytest.fixture
def whole(corpus: Corpus, tmp_path: Path) -> dict[str, bytes]:
    other = Corpus(corpus.films, tmp_path / "whole")
    other.make()
    return other.shards()


class Writes:
    """Counts the writes of every place and makes some of them fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, self.fails = 0, lambda count: False
        self.error: StoreError = StoreError("the store is away")
        for name in WRITES:
            monkeypatch.setattr(Place, name, self._watched(getattr(Place, name)))
        monkeypatch.setattr("tasks.pool.FIRST_PAUSE_S", 0.0)
        monkeypatch.setattr("spatialdreamer_core.store.patience.FIRST_PAUSE_S", 0.0)

    def _watched(self, method: Any) -> Any:
        def watched(place: Place, *arguments: Any) -> Any:
            self.count += 1
            if self.fails(self.count):
                raise self.error
            return method(place, *arguments)

        return watched


@pytest.mark.parametrize("every", [2, 3, 7])
def test_a_store_that_fails_every_n_th_write_gets_every_byte_in_the_end(
    corpus: Corpus, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    writes = Writes(monkeypatch)
    writes.fails = lambda count: count % every == 0 and count > 2
    report = corpus.make()
    assert writes.count > 20
    assert (report.clips_done, report.files_failed) == (6, 1)
    assert corpus.shards() == whole
    assert len(corpus.rows()) == 7


def test_a_store_that_stays_away_stops_the_run_and_the_next_one_goes_on(
    corpus: Corpus, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = Writes(monkeypatch)
    writes.fails = lambda count: count > 15
    with pytest.raises(StoreError, match="the store is away"):
        corpus.make()
    writes.fails = lambda count: False
    report = corpus.make()
    assert report.clips_done == 6
    assert corpus.shards() == whole


def test_a_full_disk_stops_the_run_at_once_and_the_next_one_goes_on(
    corpus: Corpus, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = Writes(monkeypatch)
    writes.error = FullDiskError("no space left")
    writes.fails = lambda count: count == 16
    with pytest.raises(FullDiskError, match="no space left"):
        corpus.make()
    stopped_at = writes.count
    assert stopped_at <= 16 + 2, "the manifest is still written, nothing else"
    writes.fails = lambda count: False
    report = corpus.make()
    assert report.frames_made < 24, "what was made stays made"
    assert corpus.shards() == whole
