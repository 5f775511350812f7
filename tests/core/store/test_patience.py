import pytest

from spatialdreamer_core.errors import StoreError
from spatialdreamer_core.store.patience import TRIES, patiently
from spatialdreamer_core.store.place import FullDiskError


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    return pauses


class Store:
    """Fails the first so many times."""

    def __init__(self, failures: int, error: StoreError) -> None:
        self.failures, self.error, self.asked = failures, error, 0

    def __call__(self) -> str:
        self.asked += 1
        if self.asked <= self.failures:
            raise self.error
        return "written"


def test_a_store_that_comes_back_is_asked_until_it_does_with_growing_pauses(no_pauses: list[float]) -> None:
    assert patiently(Store(TRIES - 1, StoreError("away"))) == "written"
    assert no_pauses == sorted(no_pauses)
    assert len(set(no_pauses)) == TRIES - 1


def test_a_store_that_stays_away_is_told_and_a_full_disk_at_once() -> None:
    away, full = Store(99, StoreError("away")), Store(99, FullDiskError("full"))
    with pytest.raises(StoreError, match="away"):
        patiently(away)
    with pytest.raises(FullDiskError):
        patiently(full)
    assert (away.asked, full.asked) == (TRIES, 1)
