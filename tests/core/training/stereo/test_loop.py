"""The training loop on a network of a few numbers: what it learns, keeps, takes up again and complains of."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from spatialdreamer_core.errors import ConfigError, StoreError, TrainingError, WeightsError
from spatialdreamer_core.store.place import Place
from spatialdreamer_core.training.stereo.checkpoints import checkpoint_keys, newest_checkpoint, save_checkpoint
from spatialdreamer_core.training.stereo.config import Pace, TrainConfig
from spatialdreamer_core.training.stereo.loop import Loop
from spatialdreamer_core.training.stereo.peers import Peers
from spatialdreamer_core.training.stereo.progress import TrainProgress, TrainReport
from spatialdreamer_core.training.stereo.schedule import rate_at
from tests.tiny_recipe import TinyRecipe

CONFIG = TrainConfig(steps=60, batch=4, rate=0.02, warmup=5, ema=0.9, data={"dropout": 0.1})
PACE = Pace(validate_every=20, save_every=10, log_every=5, keep=3)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def trained(
    output: Path, config: TrainConfig = CONFIG, pace: Pace = PACE, leave_at: int | None = None
) -> tuple[TrainReport, list[TrainProgress]]:
    """Train, or leave as after a signal when so many steps of this run are done."""
    events: list[TrainProgress] = []
    asked = iter(range(1, 10_000))
    place = Place(str(output))
    place.prepare()
    loop = Loop(
        TinyRecipe(config), config, pace, place, Peers(0, 1, torch.device("cpu")), events.append,
        lambda: next(asked) == leave_at,
    )  # fmt: skip
    return loop.run(), events


def weights(output: Path) -> dict[str, Tensor]:
    return load_file(output / "weights" / "tiny.safetensors")


def curve(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "curve.jsonl").read_text().splitlines()]


def without_clock(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in ("samples_s", "validation_s")} for row in rows]


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    output = tmp_path_factory.mktemp("undisturbed")
    trained(output)
    return output


def test_what_is_trained_gets_better_and_all_of_it_is_written(undisturbed: Path) -> None:
    rows = curve(undisturbed)
    validations = {row["step"]: row["val_error"] for row in rows if "val_error" in row}
    assert sorted(validations) == [0, 20, 40, 60]
    assert validations[60] < validations[0] / 1.5
    assert [row["step"] for row in rows if "loss" in row] == list(range(5, 61, 5))
    assert all(row["loss_twice"] == pytest.approx(2 * row["loss"]) and row["samples_s"] > 0 for row in rows[1:])
    sheet = cv2.imread(str(undisturbed / "pictures" / "step-00000060.png"))
    assert sheet is not None
    assert sheet.shape == (8, 6, 3)
    assert {path.name for path in (undisturbed / "weights").iterdir()} == {"tiny.safetensors", "tiny.json"}


def test_tensorboard_finds_the_curve_and_the_pictures(undisturbed: Path) -> None:
    events: Any = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    seen = events.EventAccumulator(str(undisturbed / "tensorboard")).Reload()
    assert {"loss", "loss_twice", "grad_norm", "rate", "validation/error"} <= set(seen.Tags()["scalars"])
    assert [event.step for event in seen.Scalars("validation/error")] == [0, 20, 40, 60]
    assert [event.step for event in seen.Images("pictures")] == [0, 20, 40, 60]


def test_a_run_that_left_and_went_on_twice_ends_in_the_same_weights(undisturbed: Path, tmp_path: Path) -> None:
    first, _ = trained(tmp_path, leave_at=13)
    second, events = trained(tmp_path, leave_at=20)
    third, _ = trained(tmp_path)
    assert (first.stopped, first.step) == ("signal", 13)
    assert (second.stopped, second.step, second.steps_made) == ("signal", 33, 20)
    assert (third.stopped, third.step) == ("done", 60)
    assert "going on after step 13 of 60" in [event.message for event in events]
    assert same(weights(undisturbed), weights(tmp_path))
    losses = {row["step"]: row.get("loss") for row in curve(undisturbed)}
    again = {row["step"]: row.get("loss") for row in curve(tmp_path)}
    assert {step: again[step] for step in losses if step % 20 == 0} == {
        step: losses[step] for step in losses if step % 20 == 0
    }


def test_the_tests_would_notice_another_order_or_other_random_numbers(undisturbed: Path, tmp_path: Path) -> None:
    trained(tmp_path, replace(CONFIG, seed=1))
    assert not same(weights(undisturbed), weights(tmp_path))


def test_rows_after_the_checkpoint_that_is_gone_on_from_are_written_once(undisturbed: Path, tmp_path: Path) -> None:
    trained(tmp_path, leave_at=40)
    place = Place(str(tmp_path))
    for key in checkpoint_keys(place)[-1:]:
        place.remove(key)  # as if killed before it was written
    trained(tmp_path)
    assert without_clock(curve(tmp_path)) == without_clock(curve(undisturbed))
    assert same(weights(undisturbed), weights(tmp_path))


def test_only_the_last_checkpoints_are_kept(undisturbed: Path) -> None:
    names = sorted(path.name for path in (undisturbed / "checkpoints").iterdir())
    assert names == [f"step-000000{n}.{kind}" for n in (40, 50, 60) for kind in ("json", "pt")]


def test_minutes_leave_a_checkpoint_and_the_schedule_goes_by_steps(undisturbed: Path, tmp_path: Path) -> None:
    report, _ = trained(tmp_path, pace=replace(PACE, minutes=1e-6))
    assert (report.stopped, report.step) == ("minutes", 1)
    trained(tmp_path)
    assert same(weights(undisturbed), weights(tmp_path))


@pytest.mark.parametrize("damage", ["cut short", "one byte", "no record"])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(damage: str, undisturbed: Path, tmp_path: Path) -> None:
    trained(tmp_path, leave_at=35)
    newest = tmp_path / "checkpoints" / "step-00000035.pt"
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data[: len(data) // 2] if damage == "cut short" else data)
    if damage == "no record":
        newest.with_suffix(".json").write_text("{")
    _, events = trained(tmp_path)
    told = [event.message for event in events if event.message]
    assert "step-00000035.pt" in told[0]
    assert "passed over for the one before" in told[0]
    assert told[1].startswith("going on after step 30 of 60")
    assert same(weights(undisturbed), weights(tmp_path))


def test_a_training_whose_checkpoints_are_all_damaged_is_not_begun_anew_by_itself(tmp_path: Path) -> None:
    trained(tmp_path, leave_at=12)
    for path in (tmp_path / "checkpoints").glob("*.pt"):
        path.write_bytes(b"")
    with pytest.raises(StoreError, match=r"none of its 2 checkpoints can be read.*--no-resume"):
        trained(tmp_path)


def test_a_loss_that_is_no_number_ends_the_run_and_leaves_batch_and_weights(tmp_path: Path) -> None:
    bad = replace(CONFIG, data={"bad_sample": 4 * 17 + 2})  # in the 18th step
    with pytest.raises(TrainingError, match=r"step 18 .*no finite numbers \(loss nan.*bad/step-00000017.*--rate"):
        trained(tmp_path, bad)
    saved = torch.load(tmp_path / "bad" / "step-00000017-rank-0.pt", weights_only=True)
    assert torch.isnan(saved["batch"]["y"]).flatten().tolist() == [False, False, True, False]
    assert checkpoint_keys(Place(str(tmp_path)))[-1] == "checkpoints/step-00000017.pt"
    report, events = trained(tmp_path, bad)  # goes on behind that batch
    assert report.step == 60
    assert "going on after step 17 of 60" in [event.message for event in events]
    assert all(torch.isfinite(value).all() for value in weights(tmp_path).values())


def test_data_that_is_gone_ends_the_run_but_no_step_is_lost(undisturbed: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="shard 7 is gone"):
        trained(tmp_path, replace(CONFIG, data=CONFIG.data | {"lost_sample": 4 * 17}))
    assert checkpoint_keys(Place(str(tmp_path)))[-1] == "checkpoints/step-00000017.pt"
    report, _ = trained(tmp_path)
    assert report.steps_made == 60 - 17
    assert same(weights(undisturbed), weights(tmp_path))


def test_too_little_memory_is_told_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def starved(*_: Any) -> dict[str, Tensor]:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(TinyRecipe, "losses", starved)
    with pytest.raises(TrainingError, match=r"step 1 .*too little memory for a batch of 4; give a smaller --batch"):
        trained(tmp_path)


def test_a_training_that_many_processes_began_is_gone_on_with_by_one(undisturbed: Path, tmp_path: Path) -> None:
    trained(tmp_path, leave_at=12)
    place = Place(str(tmp_path))
    state = newest_checkpoint(place, torch.device("cpu"), lambda message: None)
    assert state is not None
    save_checkpoint(place, 12, state | {"batches_by_rank": [state["batches"]] * 3}, keep=3)
    trained(tmp_path)
    assert same(weights(undisturbed), weights(tmp_path))


def test_a_finished_training_is_left_as_it_is(undisturbed: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (undisturbed / "checkpoints").iterdir()}
    report, _ = trained(undisturbed)
    assert (report.stopped, report.steps_made, report.step) == ("done", 0, 60)
    assert report.figures["error"] == curve(undisturbed)[-1]["val_error"]
    assert {path: path.stat().st_mtime_ns for path in (undisturbed / "checkpoints").iterdir()} == before


def test_another_stage_is_not_mixed_into_a_training(undisturbed: Path) -> None:
    with pytest.raises(ConfigError, match=r"undisturbed.*of stage 1, not 2; give another --output"):
        trained(undisturbed, replace(CONFIG, stage=2))


def test_another_batch_size_is_refused_by_the_loader(undisturbed: Path) -> None:
    with pytest.raises(ConfigError, match="batch 4"):
        trained(undisturbed, replace(CONFIG, batch=2))


def test_settings_that_may_change_are_told(tmp_path: Path) -> None:
    trained(tmp_path, leave_at=12)
    _, events = trained(tmp_path, replace(CONFIG, rate=0.01), leave_at=1)
    assert "going on after step 12 of 60; rate is 0.01 now, it was 0.02" in [event.message for event in events]


def test_stage_2_begins_with_the_weights_of_stage_1_and_trains_its_own_part_only(
    undisturbed: Path, tmp_path: Path
) -> None:
    trained(tmp_path, replace(CONFIG, stage=2, steps=5, start_from=str(undisturbed / "weights")))
    before, after = weights(undisturbed), weights(tmp_path)
    assert torch.equal(before["first.weight"], after["first.weight"])
    assert not torch.equal(before["last.weight"], after["last.weight"])


def test_weights_of_another_size_are_refused(undisturbed: Path, tmp_path: Path) -> None:
    other = replace(CONFIG, network={"width": 5}, start_from=str(undisturbed / "weights"))
    with pytest.raises(WeightsError, match="another size"):
        trained(tmp_path, other)


def test_the_written_weights_are_the_averaged_ones_and_training_goes_on_with_the_others(tmp_path: Path) -> None:
    trained(tmp_path / "average", replace(CONFIG, steps=20))
    trained(tmp_path / "live", replace(CONFIG, steps=20, ema=0.0))
    assert not same(weights(tmp_path / "average"), weights(tmp_path / "live"))
    state = torch.load(tmp_path / "average" / "checkpoints" / "step-00000020.pt", weights_only=True)
    assert same(state["net"], weights(tmp_path / "live"))
    assert same(state["net"] | state["average"], weights(tmp_path / "average"))


def test_bfloat16_on_request_changes_the_numbers_a_little(undisturbed: Path, tmp_path: Path) -> None:
    trained(tmp_path, replace(CONFIG, half=True))
    whole, half = curve(undisturbed)[-1]["val_error"], curve(tmp_path)[-1]["val_error"]
    assert whole != half
    assert half == pytest.approx(whole, rel=0.5)


def test_the_rate_rises_then_falls_along_a_cosine_or_stays() -> None:
    config = replace(CONFIG, steps=105, warmup=5, rate=1.0)
    assert [rate_at(step, config) for step in (0, 4, 5)] == pytest.approx([0.2, 1.0, 1.0])
    assert rate_at(55, config) == pytest.approx(0.5)
    assert rate_at(105, config) == pytest.approx(1e-3)
    assert rate_at(90, replace(config, schedule="constant")) == 1.0
