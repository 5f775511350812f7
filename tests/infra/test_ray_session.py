"""A Ray that does not come up is told in one sentence."""

import pytest
import ray

from infra.ray_session import RayUnavailableError, ray_session


@pytest.mark.parametrize(
    ("address", "says"),
    [
        (None, r"Ray could not be started here \(The node timed out"),
        ("10.0.0.1:1", r"Ray at 10\.0\.0\.1:1 cannot be joined"),
    ],
)
def test_a_ray_that_does_not_come_up_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, address: str | None, says: str
) -> None:
    def slow(**settings: object) -> None:
        raise RuntimeError("The node timed out\nduring startup.")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", slow)
    with pytest.raises(RayUnavailableError, match=says) as told, ray_session(address, cpus=1, gpus=0):
        pass
    assert "--executor in-process" in str(told.value)
