"""Every network and kernel that may run on a GPU gives there what it gives on a CPU."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from spatialdreamer_core.config import DepthConfig, SvdConfig  # noqa: E402
from spatialdreamer_core.depth.builtin import BuiltinDepth  # noqa: E402
from spatialdreamer_core.depth.registry import create_depth_estimator  # noqa: E402
from spatialdreamer_core.depth.runtimes import AGREEMENT  # noqa: E402
from spatialdreamer_core.errors import RefineError  # noqa: E402
from spatialdreamer_core.geometry import splat  # noqa: E402
from spatialdreamer_core.geometry.splat_torch import forward_map, forward_splat  # noqa: E402
from spatialdreamer_core.models.attention import row_reference_attention  # noqa: E402
from spatialdreamer_core.models.svd.injection import Interaction, Reach, spatial_self_attentions  # noqa: E402
from spatialdreamer_core.models.svd.load import SvdWeights  # noqa: E402
from spatialdreamer_core.models.svd.network import random_network  # noqa: E402
from spatialdreamer_core.models.svd.unet import Condition  # noqa: E402
from spatialdreamer_core.refine.protocol import Painted, RefineFrame, RefineShot  # noqa: E402
from spatialdreamer_core.refine.svd import SvdRefiner  # noqa: E402
from tests.core.depth.test_builtin import street  # noqa: E402
from tests.core.depth.test_hub import request as depth_request  # noqa: E402
from tests.core.depth.test_hub import save_model  # noqa: E402
from tests.core.geometry.test_splat_torch import rough_disparity  # noqa: E402
from tests.core.geometry.world import World  # noqa: E402
from tests.core.models.svd.made import CLIPS, COLUMNS, FRAMES, ROWS, condition, drawn, tiny  # noqa: E402
from tests.core.models.svd.test_networks import LEVEL, literal, noisy  # noqa: E402
from tests.core.models.test_mini_net import SMALL, clip, stirred  # noqa: E402
from tests.core.refine.made import COLOUR, refine_frame  # noqa: E402

pytestmark = pytest.mark.gpu
PARTNERS = ((1,), (0, 2), (1,))
WORLD = World(height=60, width=150, speed=3, board=(50, 80))
SHOT = RefineShot(4, WORLD.width, WORLD.height, WORLD.left(0).format, COLOUR, 2.0, 0.5, 0.01)
SVD = SvdConfig(
    steps=2, window=3, window_overlap=1, tile_rows=64, tile_columns=128, tile_overlap=0, decode_at_once=2,
    precision="float32", on_cpu=True,
)  # fmt: skip


def moved(told: Condition, device: str) -> Condition:
    parts = {
        name: value.to(device)
        for name in ("rendered", "mask", "embedding", "time_ids", "strength")
        if (value := getattr(told, name)) is not None
    }
    return replace(told, **parts)


@pytest.mark.parametrize("tear_px", [0.0, 1.0, 4.0])
def test_the_splat_shows_what_the_compiled_one_shows_and_the_same_every_time(gpu: str, tear_px: float) -> None:
    disparity = rough_disparity(0, (2, 1, 40, 333))
    made = forward_map(disparity.to(gpu), tear_px=tear_px)
    for one, wanted in zip(made[:, 0].cpu(), disparity[:, 0], strict=True):
        expected = splat.forward_map(wanted.numpy(), tear_px=tear_px)
        np.testing.assert_allclose(one.numpy(), expected, atol=1e-4, equal_nan=True)
    image = torch.rand(2, 3, 40, 333, device=gpu)
    (first, hole), (again, _) = (forward_splat(image, disparity.to(gpu), tear_px=tear_px) for _ in range(2))
    assert torch.equal(first, again)
    assert hole.any()


def test_the_shipped_depth_network_agrees_with_the_runtime_of_cpus_and_with_itself(gpu: str) -> None:
    on_gpu = BuiltinDepth(runtime="torch", device=gpu)
    found, wanted = on_gpu.one(street()), BuiltinDepth().one(street())
    assert np.abs(found - wanted).max() <= AGREEMENT * wanted.std()
    assert on_gpu.one(street()).tobytes() == found.tobytes()


def test_a_hub_network_in_half_precision_gives_nearly_the_depth_of_full_precision(gpu: str, tmp_path: Path) -> None:
    config = DepthConfig(name=str(save_model(tmp_path, "depth-anything")))
    found, wanted = (create_depth_estimator(config, device).infer(depth_request()) for device in (gpu, "cpu"))
    assert found.dtype == np.float32
    assert np.abs(found - wanted).max() <= 0.02 * np.abs(wanted).max()


@torch.no_grad()
def test_mini_paints_the_same(gpu: str) -> None:
    net, inputs = stirred(SMALL), clip()
    wanted = net(*inputs)
    found = net.to(gpu)(*(one.to(gpu) for one in inputs))
    torch.testing.assert_close(found.cpu(), wanted, atol=1e-3, rtol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("reach", ["full", "rows"])
def test_svd_with_the_reference_injected_and_frames_joined_predicts_the_same(gpu: str, reach: Reach) -> None:
    network, made = tiny(reach=reach), []
    told, latents = condition(network, 3.0), drawn(CLIPS, FRAMES, 4, ROWS, COLUMNS, seed=5)
    for device in ("cpu", gpu):
        network.to(device)
        features = network.reference(latents.to(device), told.embedding.to(device), Interaction(0.7, PARTNERS))
        found = network.unet(noisy().to(device), LEVEL.to(device), moved(told, device), features)
        made.append((found.cpu(), network.decode(found[0]).cpu()))
    for wanted, found in zip(*made, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-3, rtol=1e-3)


@torch.no_grad()
def test_injection_equals_stacking_the_maps_attending_and_keeping_the_upper_half(gpu: str) -> None:
    network = tiny().to(gpu)
    told = moved(condition(network), gpu)
    features = network.reference(drawn(CLIPS, FRAMES, 4, ROWS, COLUMNS, seed=5).to(gpu), told.embedding)
    seen, blocks = {}, spatial_self_attentions(network.unet.net)
    for name, module in blocks.items():
        module.register_forward_hook(lambda _m, args, out, name=name: seen.update({name: (args[0], out)}))
    network.unet(noisy().to(gpu), LEVEL.to(gpu), told, features)
    assert set(seen) == set(blocks)
    for name, (hidden, out) in seen.items():
        wanted = literal(blocks[name], hidden, features.tokens[name], features.block_grid(hidden.shape[1]))
        torch.testing.assert_close(out, wanted, atol=1e-4, rtol=1e-4)


def test_attention_to_a_row_beside_the_own_picture_is_the_same(gpu: str) -> None:
    parts = [drawn(2, 3, 12, 8, seed=seed) for seed in range(5)]
    found = row_reference_attention(*(part.to(gpu) for part in parts), (3, 4))
    torch.testing.assert_close(found.cpu(), row_reference_attention(*parts, (3, 4)), atol=1e-5, rtol=1e-5)


def test_a_network_that_is_drawn_on_the_gpu_is_there_with_all_its_parts(gpu: str) -> None:
    before = torch.cuda.get_rng_state()
    with torch.device(gpu):
        network = random_network("random-tiny")
    assert {part.device.type for part in (*network.parameters(), *network.buffers())} == {gpu}
    assert torch.equal(torch.cuda.get_rng_state(), before)


def painted(config: SvdConfig, device: str, frames: list[RefineFrame]) -> list[Painted]:
    stream = SvdRefiner(SvdWeights(name="random-tiny"), config, device).open(SHOT, 0, SHOT.length)
    return [done for frame in frames for done in stream.push(frame)]


def test_the_full_size_refiner_paints_the_same_and_in_half_precision_as_much(gpu: str) -> None:
    frames = [refine_frame(WORLD, t) for t in range(SHOT.length)]
    wanted, found = (painted(SVD, device, frames) for device in ("cpu", gpu))
    half = painted(replace(SVD, precision="auto"), gpu, frames)
    assert [one.index for one in found] == [one.index for one in half] == [0, 1, 2, 3]
    assert any(one.patches for one in wanted)
    for one, other, rough in zip(wanted, found, half, strict=True):
        for a, b, c in zip(one.patches, other.patches, rough.patches, strict=True):
            assert (a.row, a.column) == (b.row, b.column) == (c.row, c.column)
            np.testing.assert_allclose(b.rgb, a.rgb, atol=2 / 255)
            assert np.isfinite(c.rgb).all()


def test_what_does_not_fit_into_the_share_of_the_gpu_is_told_before_work_starts(gpu: str) -> None:
    refiner = SvdRefiner(SvdWeights(name="random-tiny"), SVD, gpu)
    refiner.config = replace(SVD, gpu_memory_fraction=1e-3)
    with pytest.raises(RefineError, match=r"within 0\.001 of this GPU; give smaller tiles"):
        refiner.open(SHOT, 0, 1)
