"""The full size in the training loop, of tiny size: both stages, an interruption, what is written and refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from safetensors.torch import load_file  # noqa: E402

from spatialdreamer_core.errors import ConfigError, WeightsError  # noqa: E402
from spatialdreamer_core.models.svd.examples import PairClip, example_of  # noqa: E402
from spatialdreamer_core.models.svd.load import SvdWeights, load_network  # noqa: E402
from spatialdreamer_core.models.svd.stages import is_temporal  # noqa: E402
from spatialdreamer_core.store.place import Place  # noqa: E402
from spatialdreamer_core.training.stereo import svd_recipe  # noqa: E402
from spatialdreamer_core.training.stereo.config import Pace, TrainConfig  # noqa: E402
from spatialdreamer_core.training.stereo.loop import Loop  # noqa: E402
from spatialdreamer_core.training.stereo.peers import Peers  # noqa: E402
from spatialdreamer_core.training.stereo.sizes import create_recipe  # noqa: E402
from tests.core.models.svd.made import tiny  # noqa: E402
from tests.core.pairs.made import MadeSet  # noqa: E402

NETWORK = {"weights": "random-tiny", "save_memory": False}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    root = tmp_path_factory.mktemp("pairs")
    MadeSet.make(root, 3, 3)
    return TrainConfig(
        size="svd", pairs=str(root), steps=4, batch=1, rate=1e-3, warmup=1, ema=0.5, network=NETWORK,
        data={"validation_steps": 1},
    )  # fmt: skip


def trained(config: TrainConfig, output: Path, leave_at: int | None = None) -> dict[str, Any]:
    """Train, or leave after so many steps; gives the tensors that were written."""
    place, asked = Place(str(output)), iter(range(1, 100))
    place.prepare()
    pace = Pace(validate_every=100, save_every=100, log_every=1)
    stop = lambda: next(asked) == leave_at  # noqa: E731
    Loop(create_recipe(config), config, pace, place, Peers(0, 1, torch.device("cpu")), lambda _: None, stop).run()
    return {
        f"{part}.{name}": value
        for part in ("unet", "reference", "vae")
        for name, value in load_file(output / "weights" / f"{part}.safetensors").items()
    }


@pytest.fixture(scope="module")
def first(config: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    output = tmp_path_factory.mktemp("first")
    return output, trained(config, output)


def changed(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    return {name for name in after if not torch.equal(before[name], after[name])}


def test_stage_1_moves_all_but_what_connects_frames(first: tuple[Path, dict[str, Any]]) -> None:
    output, weights = first
    moved = changed(tiny().state_dict(), weights)
    assert {name.split(".")[0] for name in moved} == {"unet", "reference"}
    assert not any(is_temporal(name) for name in moved if name.startswith("unet.net."))
    assert (output / "pictures" / "step-00000004.png").is_file()
    network = load_network(SvdWeights(name=str(output / "weights"))).network
    assert torch.equal(network.state_dict()["unet.net.conv_in.weight"], weights["unet.net.conv_in.weight"])


def test_a_run_that_was_interrupted_ends_in_the_same_weights(
    config: TrainConfig, first: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    trained(config, tmp_path, leave_at=2)
    assert changed(first[1], trained(config, tmp_path)) == set()


def test_stage_2_begins_with_the_weights_of_stage_1_and_moves_what_connects_frames(
    config: TrainConfig, first: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    begun = replace(
        config, stage=2, steps=1, start_from=str(first[0] / "weights"), data={"frames": 2, "validation_steps": 1}
    )
    moved = changed(first[1], trained(begun, tmp_path))
    assert any(is_temporal(name) for name in moved)
    assert all(is_temporal(name) or ".attn1." in name for name in moved)


def test_a_left_eye_s_clip_is_mirrored_and_frames_are_cut_out_in_a_row() -> None:
    parts = [torch.arange(2 * 3 * c * 8 * 16.0).reshape(2, 3, c, 8, 16) for c in (3, 3, 3, 1, 1)]
    clip = PairClip(*parts)
    turned = clip.mirrored_where(torch.tensor([True, False]))
    assert torch.equal(turned.target[0], clip.target[0].flip(-1))
    assert torch.equal(turned.mask[1], clip.mask[1])
    cut = clip.frames(torch.tensor([1, 0]), 2)
    assert torch.equal(cut.disparity[0], clip.disparity[0, 1:3])
    assert torch.equal(cut.disparity[1], clip.disparity[1, 0:2])


def test_the_strength_that_is_told_is_the_kind_that_the_network_has() -> None:
    draw = torch.Generator().manual_seed(0)
    clip = PairClip(
        *(torch.rand(1, 1, 3, 16, 24, generator=draw) for _ in range(3)),
        torch.zeros(1, 1, 1, 16, 24, dtype=torch.bool), torch.full((1, 1, 1, 16, 24), -6.0),
    )  # fmt: skip
    told = example_of(tiny(strength="geometric"), clip).condition.strength
    assert told is not None
    assert told.tolist() == [0.25]
    latent = example_of(tiny(), clip).condition.strength
    assert latent is not None
    assert latent.item() > 0.25


def test_memory_too_small_for_what_training_keeps_is_told(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(svd_recipe, "free_bytes", lambda *_: 1 << 20)
    with pytest.raises(ConfigError, match=r"stage 1 keeps 16 bytes more of each weight that it trains, 0.* GiB, and"):
        create_recipe(config).trainable(tiny())


def test_settings_and_data_that_cannot_be_are_refused(config: TrainConfig, tmp_path: Path) -> None:
    for wrong, words in (
        (replace(config, pairs=None), "svd trains on --pairs"),
        (replace(config, network={"wights": 1}), "network: unknown settings wights; known are weights, unet"),
        (replace(config, data={"frames": 0}), "frames must be at least 1"),
        (replace(config, network={"reach": "all"}), "reach is full or rows"),
    ):
        with pytest.raises(ConfigError, match=words):
            create_recipe(wrong)
    with pytest.raises(ConfigError, match="lower --batch"):
        create_recipe(replace(config, batch=9)).batches(0, 1)
    with pytest.raises(WeightsError, match=r"no folder with svd\.json"):
        create_recipe(replace(config, start_from=str(tmp_path))).network()
