"""The full-size refiner, of tiny size: places fixed by shot and picture, memory told before."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from spatialdreamer_core.config import RefineConfig, SvdConfig  # noqa: E402
from spatialdreamer_core.errors import ConfigError, RefineError, WeightsError  # noqa: E402
from spatialdreamer_core.evaluate.render import open_refiner  # noqa: E402
from spatialdreamer_core.models.svd.checkpoint import save_trained  # noqa: E402
from spatialdreamer_core.models.svd.frames import (  # noqa: E402
    InteractionConfig,
    Span,
    feather,
    meeting,
    overlapping_spans,
    window_reach,
)
from spatialdreamer_core.models.svd.load import SvdWeights, load_network  # noqa: E402
from spatialdreamer_core.models.svd.memory import activation_elements  # noqa: E402
from spatialdreamer_core.models.svd.sizes import Sizes  # noqa: E402
from spatialdreamer_core.refine import svd, svd_stream  # noqa: E402
from spatialdreamer_core.refine.paste import paste  # noqa: E402
from spatialdreamer_core.refine.protocol import Painted, RefineFrame, Refiner, RefineShot  # noqa: E402
from spatialdreamer_core.refine.registry import create_refiner, found_name, frame_deadline_s  # noqa: E402
from spatialdreamer_core.refine.svd import SvdRefiner  # noqa: E402
from spatialdreamer_core.refine.svd_stream import SvdStream, rgb_of  # noqa: E402
from spatialdreamer_core.refine.svd_tiles import SvdTiles  # noqa: E402
from spatialdreamer_core.video.rgb_planes import RGB_COLOUR, rgb_frame  # noqa: E402
from tests.core.geometry.world import World  # noqa: E402
from tests.core.refine import made  # noqa: E402
from tests.core.refine.made import COLOUR, assert_same_outside, refine_frame  # noqa: E402

WORLD = World(height=60, width=150, speed=3, board=(50, 80))
FRAMES = 5
SHOT = RefineShot(FRAMES, WORLD.width, WORLD.height, WORLD.left(0).format, COLOUR, 2.0, 0.5, 0.01)
TINY = SvdWeights(name="random-tiny")
CONFIG = SvdConfig(
    steps=2, window=3, window_overlap=1, tile_rows=64, tile_columns=128, tile_overlap=0, decode_at_once=2,
    own_share=0.5, key_step=4, on_cpu=True,
)  # fmt: skip


def made_with(**more: object) -> SvdRefiner:
    return SvdRefiner(TINY, replace(CONFIG, **more), "cpu")  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def refiner() -> SvdRefiner:
    return made_with()


@pytest.fixture(scope="module")
def frames() -> list[RefineFrame]:
    return [refine_frame(WORLD, t) for t in range(FRAMES)]


@pytest.fixture(scope="module")
def whole(refiner: SvdRefiner, frames: list[RefineFrame]) -> list[Painted]:
    return painted(refiner, frames, 0, FRAMES)


def painted(
    refiner: SvdRefiner, frames: list[RefineFrame], start: int, end: int, shot: RefineShot = SHOT
) -> list[Painted]:
    first, stop = refiner.span(shot.length, start, end)
    stream = refiner.open(shot, start, end)
    return [done for frame in frames[first:stop] for done in stream.push(frame)]


def same(one: Painted, other: Painted) -> bool:
    return len(one.patches) == len(other.patches) and all(
        (a.row, a.column) == (b.row, b.column) and np.array_equal(a.rgb, b.rgb) and np.array_equal(a.weight, b.weight)
        for a, b in zip(one.patches, other.patches, strict=True)
    )


def test_spans_cover_evenly_and_weights_of_two_neighbours_add_up_to_one() -> None:
    assert list(overlapping_spans(9, 4, 2)) == [Span(0, 4), Span(1, 5), Span(3, 7), Span(5, 9)]
    assert list(overlapping_spans(3, 4, 2)) == [Span(0, 3)]
    assert list(overlapping_spans(1920, 1024, 128, 64)) == [Span(0, 1024), Span(896, 1920)]
    assert all(span.start % 64 == 0 for span in overlapping_spans(3840, 1024, 128, 64))
    two = overlapping_spans(10, 6, 2)
    total = np.zeros(10)
    for index, span in enumerate(two):
        total[span.start : span.stop] += feather(two, index)
    np.testing.assert_allclose(total, 1, atol=1e-6)
    with pytest.raises(ConfigError, match="overlap of 4 does not fit"):
        overlapping_spans(9, 4, 4)


def test_the_spans_that_touch_a_part_are_found_without_looking_at_all_of_them() -> None:
    many = overlapping_spans(3_000_000, 14, 4)
    touching = many.touching(1_000_000, 1_000_001)
    assert len(many) > 250_000
    assert [many[n] for n in touching] == [
        s
        for s in map(many.__getitem__, range(touching.start - 5, touching.stop + 5))
        if s.start < 1_000_001 and s.stop > 1_000_000
    ]
    assert list(overlapping_spans(9, 4, 2).touching(4, 5)) == [1, 2]
    assert list(overlapping_spans(3, 4, 2).touching(0, 3)) == [0]


def test_a_frame_meets_its_neighbours_in_the_window_and_the_nearest_keys_of_the_shot() -> None:
    met = meeting(Span(6, 9), 40, InteractionConfig(key_step=8))
    assert met.frames == (6, 7, 8, 0, 16)
    asked = [[met.frames[place] for place in places] for places in met.partners]
    assert asked == [[7, 8, 0], [6, 8, 0], [7, 0, 16], [], []]
    assert meeting(Span(0, 2), 2, InteractionConfig(keys=0)).frames == (0, 1)


def test_what_is_held_does_not_grow_with_the_shot() -> None:
    config = InteractionConfig()
    for length in (30, 3000):
        windows = overlapping_spans(length, 14, 4)
        assert max(len(meeting(window, length, config).frames) for window in windows) <= 16
        for start in (0, length // 2, length - 1):
            reach = window_reach(length, start, start + 1, windows, config)
            assert reach.stop - reach.start <= 14 + 14 + 2 * config.key_step


def test_it_keeps_the_protocol_and_other_settings_have_another_digest(refiner: SvdRefiner) -> None:
    assert isinstance(refiner, Refiner)
    assert made_with(gpu_memory_fraction=0.5).digest == refiner.digest
    assert made_with(seed=1).digest != refiner.digest


def test_another_seed_paints_other_colours(frames: list[RefineFrame]) -> None:
    alone = replace(SHOT, length=1)
    one, other = (painted(made_with(seed=seed), frames[:1], 0, 1, alone)[0] for seed in (0, 1))
    assert [patch.column for patch in one.patches] == [patch.column for patch in other.patches]
    assert not same(one, other)


def test_cutting_a_shot_anywhere_paints_the_same_bytes(
    refiner: SvdRefiner, frames: list[RefineFrame], whole: list[Painted]
) -> None:
    parts = [one for a, b in pairwise([0, 2, FRAMES]) for one in painted(refiner, frames, a, b)]
    assert [one.index for one in whole] == [one.index for one in parts] == list(range(FRAMES))
    assert all(one.patches for one in whole)
    assert all(same(a, b) for a, b in zip(whole, parts, strict=True))


def test_a_stream_of_a_long_shot_holds_its_window_and_the_way_to_the_next_key_alone(
    refiner: SvdRefiner, frames: list[RefineFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SvdStream, "_paint", lambda *_: None)
    stream = refiner.open(replace(SHOT, length=60), 0, 60)
    given, most = 0, 0
    for index in range(60):
        given += len(list(stream.push(replace(frames[0], index=index))))
        most = max(most, len(stream._held))
    assert given == 60
    assert most <= CONFIG.window + CONFIG.key_step + 2
    assert not stream._held


def test_a_window_that_is_brighter_than_the_one_before_comes_in_step_by_step(
    refiner: SvdRefiner, frames: list[RefineFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    shot, config = replace(SHOT, length=18), replace(CONFIG, window=8, window_overlap=3)
    made: list[float] = []

    def denoise(_network: object, _seen: object, noise: torch.Tensor, *_: object) -> torch.Tensor:
        made.append(0.2 * len(made))  # every window a fifth brighter
        return torch.full_like(noise, made[-1])

    monkeypatch.setattr(svd_stream, "denoise", denoise)
    monkeypatch.setattr(SvdStream, "_see", lambda *_: None)
    monkeypatch.setattr(SvdStream, "_strength", lambda *_: None)
    monkeypatch.setattr(refiner.network, "decode", lambda latents: latents[:, :1, :1, :1].expand(-1, 3, 64, 128))
    stream = SvdStream(refiner.network, config, shot, SvdTiles(60, 100, config, 64), 0, 18)
    given = [one for t in range(18) for one in stream.push(replace(frames[0], index=t))]
    levels = [
        float(sum(p.weight[0, 0] * p.rgb[0, 0, 0] for p in one.patches) / sum(p.weight[0, 0] for p in one.patches))
        for one in given
    ]
    assert len(made) == len(overlapping_spans(18, 8, 3)) == 3
    assert levels[0] == 0
    assert abs(levels[-1] - 0.4) < 1e-6
    assert max(b - a for a, b in pairwise(levels)) <= 0.2 / 4 + 1e-6


def test_only_tiles_with_wide_holes_are_worked_on_and_only_holes_change(
    refiner: SvdRefiner, frames: list[RefineFrame], whole: list[Painted]
) -> None:
    frame = frames[4]
    done = paste(frame, whole[4], COLOUR)
    assert done.share > 0
    assert_same_outside(done.frame, frame.right, frame.source_x)
    none = replace(
        frame, index=0, source_x=np.zeros_like(frame.source_x), holes=type(frame.holes)(*(a[:0] for a in frame.holes))
    )
    shown = replace(frame, index=0, revealed=np.ones_like(frame.revealed))
    sides = replace(frame, index=0, holes=frame.holes._replace(border=np.ones_like(frame.holes.border)))
    alone = replace(SHOT, length=1)
    assert painted(refiner, [none], 0, 1, alone)[0].patches == ()
    assert painted(refiner, [sides], 0, 1, replace(alone, borders=False))[0].patches == ()
    assert painted(refiner, [shown], 0, 1, alone)[0].patches == ()


def test_the_user_s_strength_reaches_the_network(refiner: SvdRefiner, frames: list[RefineFrame]) -> None:
    torch.nn.init.normal_(refiner.network.unet.strength.last.weight)
    try:
        alone = replace(SHOT, length=1)
        weak, strong = (painted(refiner, frames[:1], 0, 1, replace(alone, deviation=d))[0] for d in (1.0, 30.0))
        assert not same(weak, strong)
    finally:
        torch.nn.init.zeros_(refiner.network.unet.strength.last.weight)


def test_guidance_leads_away_from_what_is_made_without_the_picture(frames: list[RefineFrame]) -> None:
    alone = replace(SHOT, length=1)
    plain, led = (painted(made_with(guidance=g), frames[:1], 0, 1, alone)[0] for g in (1.0, 2.0))
    assert not same(plain, led)


def test_no_gpu_and_too_little_memory_have_one_sentence_each(
    refiner: SvdRefiner, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="this worker has no GPU; give it one with --gpus, use --refine mini, or"):
        made_with(on_cpu=False)
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="no CUDA device here; use --refine mini"):
            SvdRefiner(TINY, CONFIG, "cuda")
    monkeypatch.setattr(svd, "free_bytes", lambda *_: 1 << 20)
    with pytest.raises(RefineError, match=r"3 frames in tiles of 128x64 need about 0\.\d GiB beside .* smaller tiles"):
        refiner.open(SHOT, 0, 1)


def test_the_estimate_grows_with_frames_and_tiles() -> None:
    def need(frames: int, rows: int) -> int:
        return activation_elements(Sizes(), frames, frames, rows, 1024)

    assert need(14, 576) == 2 * need(7, 576)
    assert need(7, 1152) == 2 * need(7, 576)


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="multiple of 64"):
        SvdConfig(tile_rows=100)
    with pytest.raises(ConfigError, match="cannot share 14"):
        SvdConfig(window=14, window_overlap=14)
    with pytest.raises(ConfigError, match="gpu memory fraction"):
        SvdConfig(gpu_memory_fraction=0)
    with pytest.raises(ConfigError, match="own_share"):
        made_with(own_share=1.5)
    with pytest.raises(ConfigError, match="steps and guidance"):
        made_with(steps=0)


def test_convert_s_settings_lead_to_it_by_name_or_by_what_the_folder_of_weights_holds(tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    save_trained(load_network(TINY).network, folder)
    by_folder = RefineConfig(weights=str(folder), svd=CONFIG)
    assert found_name(by_folder) == "svd"
    refiner = create_refiner(by_folder)
    assert isinstance(refiner, SvdRefiner)
    assert isinstance(open_refiner(str(folder)), SvdRefiner)
    assert frame_deadline_s(by_folder) > 60 > frame_deadline_s(RefineConfig(name="mini"))
    with pytest.raises(ConfigError, match="none of its weights ship; name a folder that `spatialdreamer train"):
        create_refiner(RefineConfig(name="svd", svd=CONFIG))
    with pytest.raises(WeightsError, match=r"no folder with svd\.json"):
        create_refiner(RefineConfig(name="svd", weights=str(tmp_path), svd=CONFIG))


def test_colours_are_those_of_the_planes() -> None:
    frame = WORLD.left(0)
    np.testing.assert_allclose(
        rgb_of(frame, COLOUR, frame.height).mean(), made.rgb_of(frame).clip(0, 1).mean(), atol=0.01
    )
    picture = np.random.default_rng(0).integers(0, 256, (6, 10, 3), np.uint8)
    rgb = rgb_of(rgb_frame(picture), RGB_COLOUR, 6)
    np.testing.assert_allclose(rgb.transpose(1, 2, 0) * 255, picture, atol=1e-3)
