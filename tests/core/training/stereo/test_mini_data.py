"""Tiles that the mini network is trained on: the truth is hidden where it says, and draws depend on the seed alone."""

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from spatialdreamer_core.errors import ConfigError
from spatialdreamer_core.models.mini.config import mini_config
from spatialdreamer_core.models.mini.net import MiniNet
from spatialdreamer_core.models.mini.weights import save_mini
from spatialdreamer_core.training.stereo.config import TrainConfig
from spatialdreamer_core.training.stereo.foregrounds import paste, silhouette
from spatialdreamer_core.training.stereo.mini_batches import WIDE_PX, MiniBatches, PictureTiles, true_view
from spatialdreamer_core.training.stereo.mini_losses import Perceptual, pixel_losses, steadiness_loss
from spatialdreamer_core.training.stereo.mini_recipe import create_recipe
from spatialdreamer_core.training.stereo.picture_bank import DeepPicture, load_pictures

SMALL = {"widths": [8, 16, 16], "heads": 2, "embedding": 8, "offsets": [-1, 1]}


def bank(count: int = 3) -> list[DeepPicture]:
    draw = np.random.default_rng(0)
    made = []
    for number in range(count):
        picture = draw.integers(0, 255, (27, 48, 3), np.uint8).repeat(8, 0).repeat(8, 1)
        nearness = np.zeros((216, 384), np.float16)
        nearness[60:, 100:180] = 1
        made.append(DeepPicture(str(number), picture, nearness, exact=True))
    return made


def batches(seed: int = 0, rank: int = 0, processes: int = 0) -> MiniBatches:
    return MiniBatches(
        PictureTiles(bank()), None, batch=4, frames=1, clip_share=0, seed=seed, rank=rank, processes=processes
    )


def test_outside_of_holes_a_tile_shows_the_truth_and_inside_it_does_not() -> None:
    batch = next(iter(batches()))
    assert batch.tiles.shape == (4, 1, 9, 128, 128)
    assert batch.truth.shape == (4, 1, 3, 128, 128)
    hole = batch.tiles[:, :, 6:7] > 0
    assert torch.equal(batch.weight > 0, hole)
    assert hole.any()
    shown = (batch.tiles[:, :, :3] + 1) / 2
    differs = (shown - batch.truth).abs().amax(dim=2, keepdim=True)
    assert differs[hole].mean() > 0.05


def test_a_hidden_background_is_the_truth_of_an_analytic_pair() -> None:
    truth = np.full((140, 200, 3), 50, np.uint8)
    truth[:, 60:100] = 200
    disparity = np.zeros((140, 200), np.float32)
    disparity[:, 60:100] = 12
    mask = np.zeros((140, 200), np.bool_)
    mask[:, 100:112] = True
    view = true_view(truth, np.where(mask[..., None], np.uint8(0), truth), truth, mask, disparity, 200)
    assert np.array_equal(view.maps.filled, truth)  # the background's one colour, not the foreground's
    assert view.strength == 0


def test_the_same_seed_and_position_give_the_same_batches() -> None:
    first = batches()
    ahead = iter(first)
    next(ahead)
    state = first.state_dict()
    wanted = next(ahead)
    other = batches()
    other.load_state_dict(state)
    again = next(iter(other))
    assert torch.equal(wanted.tiles, again.tiles)
    assert torch.equal(wanted.truth, again.truth)
    assert not torch.equal(wanted.tiles, next(iter(batches(rank=1))).tiles)


def test_many_processes_make_the_batches_that_one_thread_makes() -> None:
    one, many = iter(batches()), iter(batches(processes=2))
    for _ in range(3):
        assert torch.equal(next(one).tiles, next(many).tiles)


def test_a_pasted_foreground_stands_before_what_it_covers() -> None:
    draw = np.random.default_rng(2)
    picture, disparity = (
        np.zeros((100, 160, 3), np.uint8),
        np.linspace(0, 9, 160, dtype=np.float32)[None].repeat(100, 0),
    )
    outline = silhouette((100, 160), draw)
    colours = np.full_like(picture, 255)
    made, nearer = paste(picture, disparity, colours, outline, 20.0, draw)
    inside = outline > 127
    assert nearer[inside].min() > disparity[inside].max() + 10
    assert np.array_equal(nearer[~inside], disparity[~inside])
    assert made[inside].mean() > 200
    assert made[~inside].mean() < 20


@pytest.mark.parametrize("exact", [True, False])
def test_only_exact_edges_hide_something(exact: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [DeepPicture(one.name, one.picture, one.nearness, exact) for one in bank()]
    pasted = []

    def paste_nothing(self, picture, disparity, range_px, draw):  # type: ignore[no-untyped-def]
        pasted.append(range_px)
        return picture, disparity

    monkeypatch.setattr(PictureTiles, "_pasted", paste_nothing)
    draw = np.random.default_rng(0)
    wide = 0
    for _ in range(12):
        runs = PictureTiles(pictures).view(draw).maps.runs
        wide += int(((runs.stop - runs.start >= WIDE_PX) & ~runs.border).sum())
    assert (wide > 0) == exact
    assert exact or len(pasted) >= 12  # so something is pasted before each photograph


def test_losses_count_holes_alone() -> None:
    truth = torch.rand(2, 3, 8, 8)
    made = truth.clone()
    weight = torch.zeros(2, 1, 8, 8)
    weight[:, :, 2:5, 2:5] = 1
    made[:, :, 2:5, 2:5] += 0.1
    parts = pixel_losses(made, truth, weight)
    assert parts["l1"].item() == pytest.approx(0.1, rel=1e-4)
    assert parts["mse"].item() == pytest.approx(0.01, rel=1e-4)
    clip_weight, clip_truth = weight[None], truth[None]
    flicker = torch.stack([truth[0] + 0.1, truth[1] - 0.1])[None]
    assert steadiness_loss(flicker, clip_truth, clip_weight).item() == pytest.approx(0.2, rel=1e-4)
    assert steadiness_loss(truth[None] + 0.1, clip_truth, clip_weight).item() == pytest.approx(0, abs=1e-6)


def lpips_arrays() -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    draw, arrays, inputs = np.random.default_rng(0), {}, 3
    for n, (outputs, side) in enumerate(((64, 11), (192, 5), (384, 3), (256, 3), (256, 3))):
        arrays[f"trunk.{n}.weight"] = draw.normal(0, 0.05, (outputs, inputs, side, side)).astype(np.float32)
        arrays[f"trunk.{n}.bias"] = np.zeros(outputs, np.float32)
        arrays[f"linear.{n}"] = np.abs(draw.normal(0, 1, outputs)).astype(np.float32)
        inputs = outputs
    return arrays


def test_the_perceptual_loss_is_nothing_for_the_truth_and_has_gradients() -> None:
    look = Perceptual("alex", lpips_arrays())
    truth = torch.rand(1, 3, 64, 64)
    weight = torch.zeros(1, 1, 64, 64)
    weight[:, :, 20:40, 20:40] = 1
    assert look(truth, truth, weight).item() == 0
    made = (truth + 0.2 * weight).requires_grad_()
    look(made, truth, weight).backward()
    assert made.grad is not None
    assert made.grad.abs().sum() > 0


def test_a_few_steps_lower_the_loss_and_each_stage_trains_its_parts(tmp_path) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path / "pictures"
    folder.mkdir()
    np.savez(
        folder / "a.npz", pictures=np.stack([one.picture for one in bank()]),
        inverse_depth=np.stack([one.nearness for one in bank()]),
    )  # fmt: skip
    save_file(lpips_arrays(), tmp_path / "lpips.safetensors")
    config = TrainConfig(
        size="mini",
        pictures=str(folder),
        batch=4,
        network=SMALL,
        data={"lpips": str(tmp_path / "lpips.safetensors")},
        dropout=0.5,
    )
    recipe = create_recipe(config)
    torch.manual_seed(0)
    net = recipe.network()
    trained = {id(p) for p in recipe.trainable(net)}
    assert all((id(p) in trained) != name.startswith("temporal.") for name, p in net.named_parameters())
    optimiser = torch.optim.AdamW(recipe.trainable(net), lr=1e-2)
    batch = next(iter(recipe.batches(0, 1)))
    told = []
    for _ in range(15):
        losses = recipe.losses(net, batch, torch.Generator().manual_seed(1))
        optimiser.zero_grad()
        losses["loss"].backward()
        optimiser.step()
        told.append(float(losses["loss"].detach()))
    assert told[-1] < 0.9 * told[0]
    with torch.no_grad():
        seen = recipe.validate(net, torch.device("cpu"))
    assert {"psnr", "fill_psnr", "lpips_alex"} <= set(seen.figures)
    assert seen.pictures is not None
    assert seen.pictures.shape[1:] == (128, 512, 3)

    later = create_recipe(TrainConfig(size="mini", stage=2, pairs="nowhere", network=SMALL, data={"perceptual": 0}))
    names = {name for name, p in net.named_parameters() if id(p) in {id(q) for q in later.trainable(net)}}
    assert {name.partition(".")[0] for name in names} == {"temporal", "refiner"}
    assert "refiner.spatial.project.weight" in names
    assert not any(name.startswith(("encoder.", "fine_blocks.", "refiner.encoder.")) for name in names)


@pytest.mark.parametrize("stage", [1, 2])
def test_stage_1_begins_temporal_attention_anew_and_stage_2_goes_on_with_it(stage, tmp_path) -> None:  # type: ignore[no-untyped-def]
    net = MiniNet(mini_config(SMALL))
    assert net.temporal is not None
    torch.nn.init.ones_(net.temporal.join.weight)
    save_mini(net, tmp_path)
    plain = {"network": SMALL, "data": {"perceptual": 0}, "pairs": "nowhere", "start_from": str(tmp_path)}
    begun = create_recipe(TrainConfig(size="mini", stage=stage, **plain)).network()
    assert bool(begun.temporal.join.weight.any()) == (stage == 2)
    assert torch.equal(begun.encoder.patches.weight, net.encoder.patches.weight)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"data": {"perceptual": 0}}, "needs|neither is given"),
        ({"pairs": "x"}, "weights get lpips-alex"),
        ({"pairs": "x", "data": {"depth": 1}}, "unknown settings depth"),
        ({"stage": 2, "pictures": "x", "data": {"perceptual": 0}}, "stage 2 trains on clips"),
    ],
)
def test_wrong_settings_are_refused(config: dict, says: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(ConfigError, match=says):
        create_recipe(TrainConfig(size="mini", **config))


def test_a_folder_without_pictures_or_with_a_torn_shard_is_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    from spatialdreamer_core.depth.builtin import BuiltinDepth

    with pytest.raises(ConfigError, match="no photograph there"):
        load_pictures(tmp_path, BuiltinDepth())
    (tmp_path / "torn.npz").write_bytes(b"PK\x03\x04torn")
    with pytest.raises(ConfigError, match=r"torn\.npz: not a shard"):
        load_pictures(tmp_path, BuiltinDepth())
