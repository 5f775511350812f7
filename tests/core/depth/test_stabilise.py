from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spatialdreamer_core.depth.carry import FlowLink, carry, fit_alignment
from spatialdreamer_core.depth.keys import KeyPlan
from spatialdreamer_core.depth.protocol import DepthRequest
from spatialdreamer_core.depth.stabilise import DepthRange, DepthStabiliser, StabilisedDepth, normalise, shot_range
from spatialdreamer_core.errors import DepthError
from spatialdreamer_core.flow.dis import create_flow, upscale_flow

UNIT = DepthRange(0.0, 1.0)


class RedDepth:
    """A fake estimator: the red channel is the depth, changed by what the test wants of it."""

    name, digest = "red", "red-1"

    def __init__(self, scale_jitter: float = 0.0, noise: float = 0.0) -> None:
        self.scale_jitter, self.noise = scale_jitter, noise
        self.asked: list[int] = []

    def infer(self, request: DepthRequest) -> np.ndarray:
        assert len(request.pictures) == 1
        frame = int(request.frame_indices[0])
        self.asked.append(frame)
        rng = np.random.default_rng(frame)
        depth = request.pictures[..., 0].astype(np.float32) / 255
        depth += 0.1 * request.partners[..., 1].astype(np.float32) / 255
        depth *= 1 + self.scale_jitter * rng.uniform(-1, 1)
        return depth + rng.normal(0, self.noise, depth.shape).astype(np.float32)


def texture(h: int, w: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (h, w), dtype=np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 1.5), None, 20, 235, cv2.NORM_MINMAX)


def picture(red: np.ndarray, grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.stack((red, np.zeros_like(red), grey), axis=-1), grey


def panning_shot(length: int, h: int = 24, w: int = 32) -> list[tuple[np.ndarray, np.ndarray]]:
    wide, deep = texture(h, w + 3 * length), texture(h, w + 3 * length, seed=1)
    return [picture(deep[:, 2 * t : 2 * t + w], wide[:, 2 * t : 2 * t + w].copy()) for t in range(length)]


def run(
    shot: list[tuple[np.ndarray, np.ndarray]],
    key_interval: int,
    start: int = 0,
    stop: int | None = None,
    **more: object,
) -> list[StabilisedDepth]:
    estimator = more.pop("estimator", None) or RedDepth(0.1, 0.02)
    wanted = range(start, len(shot) if stop is None else stop)
    stabiliser = DepthStabiliser(
        estimator, create_flow("dis-ultrafast"), UNIT,
        shot_length=len(shot), key_interval=key_interval, wanted=wanted, **more,
    )  # fmt: skip
    given = []
    for index in range(stabiliser.first_needed, stabiliser.end_needed):
        given += stabiliser.push(index, *shot[index])
    stabiliser.finish()
    return given


def square_shot(length: int) -> list[tuple[np.ndarray, np.ndarray]]:
    background, thing = texture(64, 96), texture(24, 24, seed=3)
    shot = []
    for t in range(length):
        grey, red = background.copy(), np.full((64, 96), 51, np.uint8)
        grey[20:44, 10 + 3 * t : 34 + 3 * t], red[20:44, 10 + 3 * t : 34 + 3 * t] = thing, 204
        shot.append(picture(red, grey))
    return shot


@pytest.mark.parametrize("key_interval", [1, 2, 4])
@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 9, 14])
def test_every_frame_of_a_shot_of_any_length_comes_once_and_in_order(length: int, key_interval: int) -> None:
    given = run(panning_shot(length), key_interval)
    assert [frame.index for frame in given] == list(range(length))
    assert all(frame.inverse_depth.shape == (24, 32) and np.isfinite(frame.inverse_depth).all() for frame in given)


@settings(max_examples=12, deadline=None)
@given(
    length=st.integers(1, 50), key_interval=st.sampled_from([1, 2, 3, 4, 7]), cuts=st.sets(st.integers(1, 12)),
    reach=st.sampled_from([0, 1, 2, 2]),
)  # fmt: skip
def test_a_shot_cut_into_segments_gives_the_same_bits(
    length: int, key_interval: int, cuts: set[int], reach: int
) -> None:
    shot = panning_shot(length)
    whole = run(shot, key_interval, reach=reach)
    edges = [0, *sorted(cut * key_interval for cut in cuts if cut * key_interval < length), length]
    parts = [frame for a, b in pairwise(edges) for frame in run(shot, key_interval, a, b, reach=reach)]
    assert [frame.index for frame in parts] == [frame.index for frame in whole]
    for part, same in zip(parts, whole, strict=True):
        assert part.inverse_depth.tobytes() == same.inverse_depth.tobytes(), f"frame {part.index} differs"


def test_what_a_segment_is_fed_ends_with_what_its_keys_look_at() -> None:
    plan = KeyPlan(1000, 6, reach=1)  # partners lie 6 later
    assert plan.needed(120, 240) == range(114, 253)
    assert plan.needed(121, 122) == range(114, 139)
    assert KeyPlan(1000, 6, reach=1, partners=False).needed(120, 240) == range(114, 247)
    assert plan.needed(996, 1000) == range(990, 1000)  # the last partners lie earlier


def test_a_segment_estimates_only_the_keys_it_needs_and_by_their_number_in_the_file() -> None:
    estimator = RedDepth()
    run(panning_shot(60), 4, 20, 28, estimator=estimator, shot_start=1000)
    assert sorted(estimator.asked) == [1012, 1016, 1020, 1024, 1028, 1032, 1036]


def test_frames_are_given_as_soon_as_they_are_certain_and_memory_stays_bounded() -> None:
    shot = panning_shot(80)
    stabiliser = DepthStabiliser(RedDepth(), create_flow("dis-ultrafast"), UNIT, shot_length=80, key_interval=4)
    for index, frame in enumerate(shot):
        for made in stabiliser.push(index, *frame):
            assert index - made.index <= 3 * 4 + 4
        assert len(stabiliser._frames) <= 6 * 4 + 2 * 4


def test_of_frames_that_are_not_wanted_nothing_is_given_and_wanted_ones_are_the_same() -> None:
    shot = panning_shot(40)
    whole = run(shot, 4)
    stabiliser = DepthStabiliser(
        RedDepth(0.1, 0.02), create_flow("dis-ultrafast"), UNIT, shot_length=40, key_interval=4, wanted=[8, 12, 13, 24]
    )
    fed = range(stabiliser.first_needed, stabiliser.end_needed)
    given = [made for index in fed for made in stabiliser.push(index, *shot[index])]
    stabiliser.finish()
    assert [made.index for made in given] == [8, 12, 13, 24]
    for made in given:
        assert made.inverse_depth.tobytes() == whole[made.index].inverse_depth.tobytes()


@pytest.mark.parametrize("key_interval", [1, 2, 4])
@pytest.mark.parametrize("length", [1, 4, 5, 9])
def test_each_frame_of_a_shot_can_be_wanted_alone(length: int, key_interval: int) -> None:
    shot = panning_shot(length)
    for reach in (0, 1):
        for made in run(shot, key_interval, reach=reach):
            (alone,) = run(shot, key_interval, made.index, made.index + 1, reach=reach)
            assert alone.inverse_depth.tobytes() == made.inverse_depth.tobytes()


@pytest.mark.parametrize("wanted", [[], [3, 3], [5, 4], [-1, 2], [38, 40]])
def test_wanted_frames_that_the_shot_does_not_have_in_that_order_are_refused(wanted: list[int]) -> None:
    with pytest.raises(ValueError, match=r"wanted are some, ascending, of the shot"):
        DepthStabiliser(RedDepth(), create_flow("dis-ultrafast"), UNIT, shot_length=40, key_interval=4, wanted=wanted)


def test_flow_to_the_keys_comes_with_the_depth() -> None:
    given = {made.index: made.flows for made in run(panning_shot(14, 64, 128), 4, 4, reach=1)}
    assert {index: sorted(flows) for index, flows in given.items()} == {
        4: [0, 8], 5: [4, 8], 6: [4, 8], 7: [4, 8], 8: [4, 12], 9: [8, 12], 10: [8, 12], 11: [8, 12],
        12: [8, 13], 13: [12],
    }  # fmt: skip
    # the scene moves 2 px a frame to the left, flow is on a grid of half the size
    assert np.median(given[6][4][..., 0]) == pytest.approx(2, abs=0.1)
    assert np.median(given[8][12][..., 0]) == pytest.approx(-4, abs=0.2)


def test_a_frame_left_out_and_a_missing_end_are_refused() -> None:
    shot = panning_shot(9)
    stabiliser = DepthStabiliser(RedDepth(), create_flow("dis-ultrafast"), UNIT, shot_length=9, key_interval=4)
    stabiliser.push(0, *shot[0])
    with pytest.raises(ValueError, match="frame 1 of the shot is due"):
        stabiliser.push(2, *shot[2])
    with pytest.raises(ValueError, match="needed up to 9"):
        stabiliser.finish()


def flicker(frames: list[StabilisedDepth]) -> float:
    """Mean change from frame to frame, in parts of the depth's own spread."""
    change = np.mean([np.abs(b.inverse_depth - a.inverse_depth).mean() for a, b in pairwise(frames)])
    return float(change / frames[0].inverse_depth.std())


def test_a_still_noisy_scene_hardly_flickers() -> None:
    still, deep = texture(48, 64), texture(48, 64, seed=1)
    rng = np.random.default_rng(5)
    grainy = [np.clip(still + rng.normal(0, 5, still.shape), 0, 255).astype(np.uint8) for _ in range(25)]
    shot = [picture(deep, grey) for grey in grainy]
    raw, steady = (run(shot, 4, estimator=RedDepth(0.05, 0.015), reach=reach) for reach in (0, 2))
    assert flicker(steady) < 0.01
    assert flicker(steady) < 0.3 * flicker(raw)


def test_grain_on_a_still_scene_is_not_taken_for_motion() -> None:
    still, deep = texture(48, 64), texture(48, 64, seed=1)
    rng = np.random.default_rng(6)
    grainy = [np.clip(still + rng.normal(0, 5, still.shape), 0, 255).astype(np.uint8) for _ in range(9)]
    assert flicker(run([picture(deep, grey) for grey in grainy], 4, estimator=RedDepth())) < 0.001


def test_a_scale_that_jumps_from_key_to_key_is_steadied() -> None:
    deep = texture(48, 64, seed=1)
    shot = [picture(deep, texture(48, 64))] * 41
    raw, steady = (run(shot, 4, estimator=RedDepth(0.1), reach=reach) for reach in (0, 2))
    wander_raw, wander = (
        np.mean([abs(b.inverse_depth.mean() - a.inverse_depth.mean()) for a, b in pairwise(frames)])
        for frames in (raw, steady)
    )
    assert wander < 0.4 * wander_raw
    assert np.mean([f.inverse_depth.std() for f in steady]) == pytest.approx(
        np.mean([f.inverse_depth.std() for f in raw]), rel=0.03
    )


@pytest.mark.parametrize("reach", [0, 2])
def test_depth_of_a_moving_square_stays_on_the_square(reach: int) -> None:
    for frame in run(square_shot(13), 4, estimator=RedDepth(), reach=reach):
        near, true = frame.inverse_depth > 0.5, frame.small_rgb[..., 0] > 128
        assert (near & true).sum() / (near | true).sum() > 0.85, f"frame {frame.index}"


def test_a_key_is_exactly_the_estimate_when_nothing_is_blended() -> None:
    shot = panning_shot(9)
    given = run(shot, 4, estimator=RedDepth(), reach=0)
    alone = RedDepth().infer(
        DepthRequest(shot[4][0][None], shot[8][0][None], np.array([4]), np.array([0.0]))  # 4 frames on
    )[0]
    np.testing.assert_array_equal(given[4].inverse_depth, normalise(alone, UNIT))


def test_a_pixel_that_neither_key_confirms_takes_the_nearer_key() -> None:
    h, w = 3, 5
    unseen = FlowLink(np.zeros((h, w, 2), np.float32), np.zeros((h, w), np.float32))
    far, near = np.full((h, w), 0.2, np.float32), np.full((h, w), 0.8, np.float32)
    grey = np.full((h, w), 90, np.uint8)
    np.testing.assert_allclose(carry(far, near, unseen, unseen, 0.25, grey), 0.2, atol=0.02)
    np.testing.assert_allclose(carry(far, near, unseen, unseen, 0.75, grey), 0.8, atol=0.02)


def test_where_two_keys_show_two_things_the_one_that_is_believed_is_taken() -> None:
    still, grey = np.zeros((2, 3, 2), np.float32), np.full((2, 3), 90, np.uint8)
    seen, unseen = FlowLink(still, np.ones((2, 3), np.float32)), FlowLink(still, np.zeros((2, 3), np.float32))
    far, near = np.full((2, 3), 0.2, np.float32), np.full((2, 3), 0.8, np.float32)
    np.testing.assert_allclose(carry(far, near, seen, unseen, 0.9, grey), 0.2, atol=0.02)
    np.testing.assert_allclose(carry(far, near, unseen, seen, 0.1, grey), 0.8, atol=0.02)
    np.testing.assert_allclose(carry(far, far + np.float32(0.1), seen, seen, 0.5, grey), 0.25, atol=1e-5)


def test_two_depths_that_are_believed_alike_pass_into_each_other_evenly_in_time() -> None:
    seen = FlowLink(np.zeros((2, 3, 2), np.float32), np.ones((2, 3), np.float32))
    far, near = np.full((2, 3), 0.2, np.float32), np.full((2, 3), 0.8, np.float32)
    grey = np.full((2, 3), 90, np.uint8)
    passing = [float(carry(far, near, seen, seen, position, grey)[0, 0]) for position in (0.1, 0.3, 0.5, 0.7, 0.9)]
    assert passing == pytest.approx([0.26, 0.38, 0.5, 0.62, 0.74], abs=0.01)


def test_specks_of_distrust_do_not_tear_a_surface_but_the_edge_of_a_thing_divides_the_keys() -> None:
    h, w, edge = 48, 64, 30
    still, grey = np.zeros((h, w, 2), np.float32), np.full((h, w), 40, np.uint8)
    grey[:, edge:] = 200
    trust = np.ones((h, w), np.float32)
    trust[:, edge:] = 0
    specks = np.random.default_rng(0).random((h, w)) < 0.1
    to_a = FlowLink(still, np.where(specks, 1 - trust, trust).astype(np.float32))
    to_b = FlowLink(still, np.where(specks, trust, 1 - trust).astype(np.float32))
    far, near = np.full((h, w), 0.2, np.float32), np.full((h, w), 0.8, np.float32)
    depth = carry(far, near, to_a, to_b, 0.5, grey)
    assert depth[:, : edge - 3].std() < 0.03
    assert depth[:, edge + 3 :].std() < 0.03
    assert depth[:, edge + 3 :].mean() - depth[:, : edge - 3].mean() > 0.4


def test_alignment_finds_scale_and_shift_in_spite_of_outliers_and_keeps_within_limits() -> None:
    rng = np.random.default_rng(0)
    depth = rng.random((40, 60)).astype(np.float32)
    other = 1.1 * depth - 0.05
    other[:8] = 3
    fit = fit_alignment(depth, other.astype(np.float32), np.ones_like(depth))
    assert fit is not None
    assert fit.scale == pytest.approx(1.1, abs=0.02)
    assert fit.shift == pytest.approx(-0.05, abs=0.02)
    wild = fit_alignment(depth, 9 * depth, np.ones_like(depth))
    assert wild is not None
    assert wild.scale <= 1.5
    assert fit_alignment(depth, other.astype(np.float32), np.zeros_like(depth)) is None


def test_normalising_keeps_order_bends_at_the_near_end_and_survives_flat_shots() -> None:
    values = np.linspace(-1, 3, 401, dtype=np.float32)
    unit = normalise(values, UNIT)
    assert unit.min() == 0
    assert 0.99 < unit.max() <= 1
    assert (np.diff(unit[101:250]) > 0).all()
    np.testing.assert_allclose(unit[(values > 0) & (values < 0.9)], values[(values > 0) & (values < 0.9)], atol=1e-6)
    flat = np.full((3, 4), 7.0, np.float32)
    np.testing.assert_array_equal(normalise(flat, shot_range([flat, flat])), 0.5)


def test_the_range_is_of_all_sampled_frames_together() -> None:
    found = shot_range([np.full((10, 10), v, np.float32) for v in np.linspace(0, 1, 101)])
    assert found.low == pytest.approx(0.02, abs=0.005)
    assert found.high == pytest.approx(0.98, abs=0.005)


def test_unusable_depth_names_the_estimator_and_the_frame() -> None:
    class Broken(RedDepth):
        def infer(self, request: DepthRequest) -> np.ndarray:
            return super().infer(request) * np.float32("nan")

    with pytest.raises(DepthError, match=r"depth red: NaN.*frame 30[0-2]"):
        run(panning_shot(3), 4, estimator=Broken(), shot_start=300)


def test_a_link_on_a_coarser_grid_pulls_as_the_same_flow_at_full_size_does() -> None:
    rng = np.random.default_rng(3)
    h, w = 21, 34
    depth = cv2.GaussianBlur(rng.random((h, w), np.float32), (0, 0), 2.0)
    flow = cv2.GaussianBlur(rng.normal(0, 12, (11, 17, 2)).astype(np.float32), (0, 0), 2.0)
    trust = rng.random((11, 17), np.float32)
    full = FlowLink(upscale_flow(flow, h, w), cv2.resize(trust, (w, h), interpolation=cv2.INTER_LINEAR))
    coarse = FlowLink(flow, trust)
    assert np.abs(flow).max() > 2
    np.testing.assert_allclose(coarse.pull(depth), full.pull(depth), atol=2e-3)
    np.testing.assert_array_equal(coarse.trust_of(h, w), full.trust)
