"""Two processes that train together: the curve of one with the double batch, exact resume, deaths and errors."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from infra.ray_session import ray_session
from spatialdreamer_core.errors import TrainingError
from spatialdreamer_core.store.place import Place
from spatialdreamer_core.training.stereo.config import Pace, TrainConfig
from spatialdreamer_core.training.stereo.journal import read_curve
from spatialdreamer_core.training.stereo.loop import Loop
from spatialdreamer_core.training.stereo.peers import Peers
from spatialdreamer_core.training.stereo.progress import TrainProgress, TrainReport
from tasks.train_ray import Training, train_on_ray
from tests.tiny_recipe import TinyRecipe, create_recipe

CONFIG = TrainConfig(steps=100, batch=4, rate=0.02, warmup=5, ema=0.9, dropout=0.0)
PACE = Pace(validate_every=10, save_every=5, log_every=5)

BAD = 7  # the step, from 0, in which a sample of the second process is no number

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module", autouse=True)
def ray_of_two() -> Iterator[None]:
    with ray_session(None, cpus=2):
        yield


def together(output: Path, config: TrainConfig, stop_at: int) -> tuple[TrainReport, list[TrainProgress]]:
    """Train in two processes; after so many steps ask them to stop."""
    Place(str(output)).prepare()
    events: list[TrainProgress] = []
    training = Training(create_recipe, config, PACE, str(output), workers=2, gpus=False, threads=1)
    return train_on_ray(training, events.append, lambda: any(event.step >= stop_at for event in events)), events


def alone(output: Path, config: TrainConfig, stop_at: int) -> None:
    place, asked = Place(str(output)), iter(range(config.steps))
    Loop(
        TinyRecipe(config), config, PACE, place, Peers(0, 1, torch.device("cpu")), lambda event: None,
        lambda: next(asked) + BAD == stop_at,
    ).run()  # fmt: skip


def losses(output: Path) -> list[float]:
    return [row["loss"] for row in read_curve(Place(str(output))) if "loss" in row]


def weights(output: Path) -> dict[str, torch.Tensor]:
    return load_file(output / "weights" / "tiny.safetensors")


def test_two_processes_learn_what_one_learns_from_the_double_batch_whatever_happens_to_them(tmp_path: Path) -> None:
    two, one = tmp_path / "two", tmp_path / "one"
    data = {"bad_sample": BAD * 8 + 4 + 1, "sleep_s": 0.05, "dies_once": str(tmp_path / "died")}
    config = replace(CONFIG, data=data)
    with pytest.raises(TrainingError, match=r"step 8 of .*no finite numbers"):
        together(two, config, stop_at=100)
    assert (tmp_path / "died").exists()  # a process was killed before; Ray Train and the checkpoint made up for it
    saved = torch.load(two / "bad" / "step-00000007-rank-1.pt", weights_only=True)
    assert torch.isnan(saved["batch"]["y"]).flatten().tolist() == [False, True, False, False]

    report, events = together(two, config, stop_at=15)
    assert report.stopped == "signal"
    assert 15 <= report.step < CONFIG.steps
    assert report.samples == 2 * 4 * (report.step - BAD)
    assert events[0].message == f"going on after step {BAD} of {CONFIG.steps}"
    assert not (two / ".spatialdreamer" / "ray-train").exists()
    newest = torch.load(sorted((two / "checkpoints").glob("*.pt"))[-1], weights_only=True)
    assert [position["rank"] for position in newest["batches_by_rank"]] == [0, 1]

    double = replace(CONFIG, batch=8, data={"bad_sample": BAD * 8 + 4 + 1})
    with pytest.raises(TrainingError):
        alone(one, double, stop_at=-1)
    alone(one, double, stop_at=report.step - 1)
    assert losses(two) == pytest.approx(losses(one), rel=1e-4)
    assert len(losses(one)) >= 3
    for name, value in weights(one).items():
        torch.testing.assert_close(weights(two)[name], value, rtol=1e-3, atol=1e-4)
