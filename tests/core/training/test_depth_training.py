import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from spatialdreamer_core.models.depth_net import create_depth_net  # noqa: E402
from spatialdreamer_core.training.depth import losses  # noqa: E402
from spatialdreamer_core.training.depth.data import Points, Shards  # noqa: E402
from spatialdreamer_core.training.depth.figures import still_figures  # noqa: E402
from spatialdreamer_core.training.depth.labels import LABELS  # noqa: E402
from spatialdreamer_core.training.depth.loop import Folders, TrainConfig, rate_at, start, train  # noqa: E402


@pytest.fixture
def truth():
    return torch.rand(2, 1, 12, 18, generator=torch.Generator().manual_seed(1)) + 0.05


def loss_of(prediction, truth):
    return float(losses.depth_loss(prediction, truth, torch.Generator().manual_seed(0)))


def test_scale_and_offset_of_a_prediction_cost_nothing(truth):
    guess = torch.rand(truth.shape, generator=torch.Generator().manual_seed(2))
    assert loss_of(guess, truth) == pytest.approx(loss_of(7 * guess - 3, truth), rel=1e-4)


def test_the_truth_is_better_than_noise_and_noise_than_the_reverse(truth):
    noise = torch.rand(truth.shape, generator=torch.Generator().manual_seed(2))
    tamed = losses.tame(truth)
    assert loss_of(tamed, truth) < loss_of(noise, truth) < loss_of(-tamed, truth)


def test_what_is_unknown_costs_nothing_whatever_is_said_there(truth):
    known = truth.clone()
    known[..., :6] = float("nan")
    guess = torch.rand(truth.shape, generator=torch.Generator().manual_seed(2))
    other = guess.clone()
    other[..., :6] = torch.rand(other[..., :6].shape, generator=torch.Generator().manual_seed(3))
    assert loss_of(guess, known) == pytest.approx(loss_of(other, known), rel=1e-5)
    assert loss_of(known.nan_to_num(0.5), known) < loss_of(guess, known)


def test_a_picture_of_which_nothing_is_known_gives_no_gradient():
    guess = torch.rand(1, 1, 8, 8, requires_grad=True)
    loss = losses.depth_loss(guess, torch.full((1, 1, 8, 8), float("nan")), torch.Generator().manual_seed(0))
    loss.backward()
    assert float(loss.detach()) == 0
    assert torch.isfinite(guess.grad).all()
    assert float(guess.grad.abs().max()) == 0


def test_labelled_points_pull_towards_their_order():
    places = torch.tensor([[[-0.5, 0.0], [0.5, 0.0], [2.0, 2.0]]])
    values = torch.tensor([[0.9, 0.1, float("nan")]])
    right = torch.linspace(1, -1, 16).repeat(8, 1)[None, None]
    good, bad = losses.points_loss(right, places, values), losses.points_loss(-right, places, values)
    assert torch.isfinite(good)
    assert good < bad


def test_the_network_halves_the_picture_and_stays_small():
    net = create_depth_net().eval()
    with torch.no_grad():
        out = net(torch.rand(1, 3, 64, 96))
    assert out.shape == (1, 1, 32, 48)
    assert sum(p.numel() for p in net.parameters()) <= 8e6


def test_perfect_depth_has_perfect_figures_and_a_constant_the_worst():
    truth = np.random.default_rng(0).random((20, 30), np.float32)
    known = np.ones(truth.shape, bool)
    best = still_figures(3 * truth + 2, truth, known)
    worst = still_figures(np.zeros_like(truth), truth, known)
    assert (best.nrmse, best.spearman, best.ordinal) == pytest.approx((0, 1, 1), abs=1e-5)
    assert (worst.nrmse, worst.spearman, worst.ordinal) == pytest.approx((1, 0, 0.5), abs=1e-5)


def test_labels_lie_in_the_picture():
    entries = json.loads(LABELS.read_text())
    rows = np.concatenate([np.array(e["points"]) for e in entries.values()])
    assert len(entries) >= 20
    assert rows.min() >= 0
    assert rows.max() <= 1


def test_the_rate_rises_then_falls_to_nearly_nothing():
    assert rate_at(0) < rate_at(0.02) > rate_at(0.5) > rate_at(1) > 0


def make_shard(folder, name="a_0000.npz"):
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (3, 54, 96, 3), np.uint8)
    np.savez(folder / name, pictures=pictures, inverse_depth=rng.random((3, 54, 96)).astype(np.float16))


def test_training_with_measured_pictures_in_bfloat16_moves_the_network_and_measures_both_kinds(tmp_path):
    make_shard(tmp_path / "data")
    make_shard(tmp_path / "real")
    with np.load(tmp_path / "real" / "a_0000.npz") as whole:
        depth = whole["inverse_depth"].copy()
        depth[:, :, :30] = np.nan
        np.savez(tmp_path / "real" / "a_0000.npz", pictures=whole["pictures"], inverse_depth=depth)
    (tmp_path / "out").mkdir()
    net, _ = start(None, None)
    before = net.out.weight.detach().clone()
    config = TrainConfig(minutes=0.0005, batch=1, real_batch=1, save_every=1, half=True)
    real, drawn = tmp_path / "real", tmp_path / "data"
    train(net, Folders(data=drawn, real=real, dev=drawn, real_dev=real), tmp_path / "out", config)
    assert torch.isfinite(net.out.weight).all()
    assert not torch.equal(before, net.out.weight)
    last = json.loads((tmp_path / "out" / "curve.jsonl").read_text().splitlines()[-1])
    assert {"dev_nrmse", "real_dev_nrmse"} <= last.keys()


def test_a_batch_depends_only_on_the_random_numbers(tmp_path):
    make_shard(tmp_path / "d")
    shards = Shards(tmp_path / "d")
    one, two = (shards.batch(2, np.random.default_rng(5), 0.1) for _ in range(2))
    assert torch.equal(one.pictures, two.pictures)
    assert one.inverse_depth.shape[2] * 2 == one.pictures.shape[2]
    assert 0 <= float(one.pictures.min()) <= float(one.pictures.max()) <= 1


def test_a_labelled_picture_becomes_places_between_minus_one_and_one(tmp_path):
    import cv2

    cv2.imwrite(str(tmp_path / "x.png"), np.zeros((40, 60, 3), np.uint8))
    (tmp_path / "points.json").write_text(json.dumps({"x.png": [[0.5, 0.5, 0.3], [0.2, 0.9, 0.8]]}))
    _, places, values = Points(tmp_path).batch(1, np.random.default_rng(0), 0.1)
    known = ~torch.isnan(values)
    assert known.any()
    assert places[known].abs().max() < 1


def test_a_run_writes_a_checkpoint_from_which_it_goes_on(tmp_path):
    make_shard(tmp_path / "data")
    (tmp_path / "out").mkdir()
    config = TrainConfig(minutes=0.0005, batch=1, save_every=1)
    net, _ = start(None, None)
    train(net, Folders(data=tmp_path / "data"), tmp_path / "out", config)
    first = len((tmp_path / "out" / "curve.jsonl").read_text().splitlines())
    again, resume = start(None, tmp_path / "out" / "last.pt")
    assert resume is not None
    train(again, Folders(data=tmp_path / "data"), tmp_path / "out", config, resume=resume)
    assert len((tmp_path / "out" / "curve.jsonl").read_text().splitlines()) > first


def test_a_run_by_steps_makes_just_so_many_and_twice_the_same(tmp_path):
    make_shard(tmp_path / "data")
    made = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        net, _ = start(None, None)
        train(
            net, Folders(data=tmp_path / "data"), tmp_path / name, TrainConfig(steps=3, batch=1, save_every=1, rate=0.1)
        )
        lines = (tmp_path / name / "curve.jsonl").read_text().splitlines()
        assert [json.loads(line)["step"] for line in lines] == [1, 2, 3]
        made.append(net.out.weight.detach())
    assert torch.equal(*made)


def test_processes_that_make_batches_and_pictures_without_depth_leave_the_same_weights_every_time(tmp_path):
    import cv2

    make_shard(tmp_path / "data")
    (tmp_path / "frames").mkdir()
    cv2.imwrite(str(tmp_path / "frames" / "x.png"), np.random.default_rng(0).integers(0, 255, (60, 90, 3), np.uint8))
    folders, made = Folders(data=tmp_path / "data", frames=tmp_path / "frames"), []
    config = TrainConfig(steps=4, batch=1, frames_batch=1, save_every=4, rate=0.1)
    for loaders in (0, 2):
        (tmp_path / str(loaders)).mkdir()
        net, _ = start(None, None)
        train(net, folders, tmp_path / str(loaders), config, loaders=loaders)
        row = json.loads((tmp_path / str(loaders) / "curve.jsonl").read_text())
        assert row["agreement"] > 0
        made.append(net.out.weight.detach())
    assert torch.equal(*made)


def test_exported_weights_may_lie_between_two_runs(tmp_path):
    pytest.importorskip("onnx")
    from spatialdreamer_core.training.depth.ship import export_onnx, load_average, load_shipped

    first, second = create_depth_net(), create_depth_net()
    export_onnx(first, tmp_path / "first.onnx")
    torch.save({"average": second.state_dict()}, tmp_path / "last.pt")
    between = load_average(tmp_path / "last.pt", tmp_path / "first.onnx", 0.25).out.weight
    before, after = load_shipped(tmp_path / "first.onnx").out.weight, second.out.weight
    assert torch.allclose(between, 0.75 * before + 0.25 * after, atol=1e-3)
    assert torch.allclose(load_average(tmp_path / "last.pt").out.weight, after, atol=1e-3)
