"""Two processes that train together: the curve of one with the double batch, exact resume, deaths and errors."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from infra.ray_session import ray_session
from spatialdreamer_core.errors import TrainingError
from spatialdreamer_core.store.place import Place
from spatialdreamer_core.training.stereo.config import Pace, TrainConfig
from spatialdreamer_core.training.stereo.journal import read_curve
from spatialdreamer_core.training.stereo.loop import Loop
from spatialdreamer_core.training.stereo.peers import Peers
from spatialdreamer_core.training.stereo.progress import TrainProgress
from tasks.train_ray import Mailbox, Training, train_on_ray
from tests.tiny_recipe import TinyRecipe, create_recipe

BAD = 7
"""The step, from 0, in which a sample of the second process is no number."""
CONFIG = TrainConfig(steps=30, batch=4, rate=0.02, warmup=5, ema=0.9, dropout=0.0)
PACE = Pace(validate_every=10, save_every=3, log_every=1)


def alone(output: Path, config: TrainConfig) -> None:
    place = Place(str(output))
    Loop(
        TinyRecipe(config), config, PACE, place, Peers(0, 1, torch.device("cpu")), lambda event: None, lambda: False
    ).run()  # fmt: skip


def losses(output: Path) -> list[float]:
    return [row["loss"] for row in read_curve(Place(str(output))) if "loss" in row]


def newest(output: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(sorted((output / "checkpoints").glob("*.pt"))[-1], weights_only=True)
    return state


@pytest.mark.ray
@pytest.mark.timeout(900)  # Ray starts seven processes; on a machine that is busy otherwise that takes minutes
def test_two_processes_learn_what_one_learns_from_the_double_batch_though_one_is_killed_and_one_meets_a_bad_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_worker_niceness", "0")  # else they starve beside anything else that runs
    two, one = tmp_path / "two", tmp_path / "one"
    bad = {"bad_sample": BAD * 8 + 4 + 1}
    config = replace(CONFIG, data=bad | {"dies_once": str(tmp_path / "died")})
    training = Training(create_recipe, config, PACE, str(two), workers=2, gpus=False, threads=1)
    Place(str(two)).prepare()
    events: list[TrainProgress] = []
    with ray_session(None, cpus=2), pytest.raises(TrainingError, match=r"step 8 of .*no finite numbers"):
        train_on_ray(training, events.append, lambda: False)
    assert (tmp_path / "died").exists()
    assert events[0].message.startswith("step 0: error")
    saved = torch.load(two / "bad" / "step-00000007-rank-1.pt", weights_only=True)
    assert torch.isnan(saved["batch"]["y"]).flatten().tolist() == [False, True, False, False]
    assert not (two / ".spatialdreamer" / "ray-train").exists()

    with pytest.raises(TrainingError):
        alone(one, replace(CONFIG, batch=8, data=bad))
    assert len(losses(one)) == BAD
    assert losses(two) == pytest.approx(losses(one), rel=1e-4)
    assert [position["rank"] for position in newest(two)["batches_by_rank"]] == [0, 1]
    for kind in ("net", "average"):
        for name, value in newest(one)[kind].items():
            torch.testing.assert_close(newest(two)[kind][name], value, rtol=1e-3, atol=1e-4)


def test_a_wish_to_stop_reaches_the_processes_and_the_first_error_counts() -> None:
    mailbox = Mailbox()
    mailbox.tell(TrainProgress(1, 10))
    assert mailbox.collect(stop=False) == [TrainProgress(1, 10)]
    assert not mailbox.asked()
    assert mailbox.collect(stop=True) == []
    assert mailbox.asked()
    mailbox.collect(stop=False)
    assert mailbox.asked(), "nobody takes it back"
    mailbox.fail(TrainingError("first"))
    mailbox.fail(TrainingError("second"))
    assert str(mailbox.result()[1]) == "first"
