"""The three first experiments: masks against true disocclusion, flow that comes back, masks over time."""

import cv2
import numpy as np
import pytest

from spatialdreamer_core.dvg.config import MaskConfig, Refine
from spatialdreamer_core.dvg.flows import ClipFlows, clip_flows, trust
from spatialdreamer_core.dvg.measure import mask_stability
from spatialdreamer_core.dvg.refine import refine_masks
from spatialdreamer_core.dvg.render import render_pair
from spatialdreamer_core.flow.consistency import warp_by_flow
from spatialdreamer_core.geometry.disparity import disparity_from_inverse_depth
from tests.exact import SCENES, ExactScene

EVERY_SCENE = pytest.mark.parametrize("name", SCENES)
FROM, FRAMES = 1, 4


def overlap(mask: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union."""
    return float(np.count_nonzero(mask & truth) / np.count_nonzero(mask | truth))


# --- the world itself -----------------------------------------------------------------------------------------------


@EVERY_SCENE
def test_both_eyes_and_both_times_show_the_same_points(name: str) -> None:
    scene = SCENES[name]
    here = scene.view(2).picture.astype(np.float32)
    shift = np.dstack([-scene.disparity(2), np.zeros_like(scene.disparity(2))])
    there = {
        "right": (warp_by_flow(scene.view(2, "right").picture.astype(np.float32), shift), ~scene.hidden(2)),
        "later": (warp_by_flow(scene.view(3).picture.astype(np.float32), scene.flow(2, 3)[0]), scene.flow(2, 3)[1]),
    }
    for what, (pulled, seen) in there.items():
        apart = np.abs(here - pulled).max(axis=2)
        assert np.percentile(apart[seen], 95) < 4, what  # the rest lies at silhouettes, where two things are mixed
        assert np.median(apart[~seen]) > 10, what


def test_inverse_depth_strength_and_convergence_give_the_scenes_disparity() -> None:
    scene = SCENES["spheres"]
    made = disparity_from_inverse_depth(
        scene.inverse_depth(2), strength_pct=scene.disparity_pct, convergence=scene.convergence, width_px=scene.width
    )
    assert np.abs(made - scene.disparity(2)).max() < 1e-3


# --- 1: masks against true disocclusion -----------------------------------------------------------------------------


@EVERY_SCENE
@pytest.mark.parametrize("eye", ["left", "right"])
def test_masks_at_true_depth_are_the_true_disocclusion(name: str, eye: str) -> None:
    scene = SCENES[name]
    truth = scene.hidden(2, eye)
    pair = render_pair(scene.view(2, eye).picture, scene.disparity(2, eye), eye)  # type: ignore[arg-type]
    assert truth.mean() > 0.03
    assert overlap(pair.lost, truth) >= 0.95
    assert overlap(pair.hole, truth) >= 0.95
    assert np.mean(pair.lost == pair.hole) >= 0.99


@EVERY_SCENE
def test_the_reference_is_the_true_other_eye_where_it_is_seen_from_here(name: str) -> None:
    scene = SCENES[name]
    pair = render_pair(scene.view(2).picture, scene.disparity(2), "left")
    apart = cv2.absdiff(pair.reference, scene.view(2, "right").picture).max(axis=2)
    assert np.percentile(apart[~scene.hidden(2, "right")], 95) < 8
    back = cv2.absdiff(pair.back, scene.view(2).picture).max(axis=2)
    assert np.percentile(back[~pair.hole], 95) < 12
    assert (pair.back[pair.hole] == 0).all()


# --- 2: flow that comes back ----------------------------------------------------------------------------------------


@EVERY_SCENE
def test_true_flow_comes_back_where_a_point_stays_in_sight_and_nowhere_else(name: str) -> None:
    forward, seen = SCENES[name].flow(2, 3)
    confident = trust(forward, SCENES[name].flow(3, 2)[0], MaskConfig()) >= 0.5
    assert confident[seen].mean() > 0.99
    assert confident[~seen].mean() < 0.01


def estimated(name: str, *, half: bool = True) -> ClipFlows:
    pictures = np.stack([SCENES[name].view(t).picture for t in range(FROM, FROM + FRAMES)])
    return clip_flows(pictures, MaskConfig(half_flow=half))


@EVERY_SCENE
@pytest.mark.parametrize(("half", "wrong_px", "hidden"), [(True, 0.6, 1.0), (False, 0.35, 0.9)])
def test_estimated_flow_that_comes_back_is_nearly_the_true_one(
    name: str, half: bool, wrong_px: float, hidden: float
) -> None:
    flows = estimated(name, half=half)
    truth, seen = SCENES[name].flow(2, 3)
    apart = np.hypot(*np.moveaxis(flows.forward[2 - FROM] - truth, -1, 0))
    confident = flows.forward_trust[2 - FROM] >= 0.5
    assert apart[confident].mean() < wrong_px
    assert confident[seen].mean() > 0.98
    assert confident[~seen].mean() <= hidden  # what goes by less than the slack is not told apart


# --- 3: masks over time ---------------------------------------------------------------------------------------------


def damaged(masks: np.ndarray, at: int) -> np.ndarray:
    """Half of one frame's mask is lost, as where depth fails for a moment."""
    keep = np.random.default_rng(0).random((18, 32)) > 0.5
    made = masks.copy()
    made[at] &= np.kron(keep, np.ones((16, 16), np.bool_))
    return made


@EVERY_SCENE
def test_refinement_repairs_a_mask_that_failed_for_a_moment(name: str) -> None:
    scene, flows = SCENES[name], estimated(name)
    truth = np.stack([scene.hidden(t) for t in range(FROM, FROM + FRAMES)])
    hurt = damaged(truth, 1)
    found = {how: refine_masks(hurt, flows, how)[1] for how in ("off", "union", "soft")}  # type: ignore[arg-type]
    assert overlap(found["off"], truth[1]) < 0.6
    assert overlap(found["union"], truth[1]) > 0.85
    assert overlap(found["soft"], truth[1]) > 0.9
    recall = np.count_nonzero(found["union"] & truth[1]) / np.count_nonzero(truth[1])
    assert recall > 0.98


@EVERY_SCENE
def test_refinement_costs_true_masks_little(name: str) -> None:
    scene, flows = SCENES[name], estimated(name)
    truth = np.stack([scene.hidden(t) for t in range(FROM, FROM + FRAMES)])
    limits: dict[Refine, float] = {"soft": 0.02, "previous": 0.1, "next": 0.1, "union": 0.15}
    for how, limit in limits.items():
        growth = np.count_nonzero(refine_masks(truth, flows, how)) / np.count_nonzero(truth) - 1
        assert 0 <= growth < limit, how


def moving_board(step_px: float) -> ExactScene:
    board, wall = SCENES["board"].things
    step_m = step_px * (board.centre[2] - board.size[2]) / SCENES["board"].focal_px
    return ExactScene((type(board)("box", board.centre, board.size, (step_m, 0, 0), seed=3), wall))


@pytest.mark.parametrize("step_px", [1.0, 4.0])
def test_masks_of_restless_depth_grow_steadier_at_every_speed(step_px: float) -> None:
    scene, rng = moving_board(step_px), np.random.default_rng(1)
    pictures, _ = scene.clip(FRAMES)
    flows = clip_flows(pictures, MaskConfig())
    masks = []
    for t, picture in enumerate(pictures):
        side = 2 * int(rng.integers(0, 4)) + 1  # the silhouette and the strength of depth change from frame to frame
        restless = cv2.erode(scene.disparity(t), np.ones((side, side))) * (1 + 0.05 * rng.normal())
        masks.append(render_pair(picture, restless.astype(np.float32), "left").lost)
    raw = np.stack(masks)
    steady = [mask_stability(refine_masks(raw, flows, how), flows) for how in ("off", "soft", "union")]  # type: ignore[arg-type]
    assert steady[0] < steady[1] < steady[2]
