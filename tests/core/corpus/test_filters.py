import cv2
import numpy as np
import pytest

from spatialdreamer_core.corpus.filters import ClipScores, reasons_against, score_clip
from spatialdreamer_core.dvg.config import FilterConfig, MaskConfig
from spatialdreamer_core.dvg.flows import clip_flows

T, H, W = 6, 288, 512


def wall(seed: int = 0) -> np.ndarray:
    """A picture with detail at all sizes, larger than a frame."""
    rng = np.random.default_rng(seed)
    made = np.zeros((H + 60, W + 120, 3), np.float32)
    for cell in (4, 16, 64):
        noise = rng.normal(0, 22, (-(-made.shape[0] // cell), -(-made.shape[1] // cell), 3)).astype(np.float32)
        made += cv2.resize(noise, (made.shape[1], made.shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.clip(made + 120, 0, 255).astype(np.uint8)


def pan(picture: np.ndarray, step: int = 3) -> np.ndarray:
    return np.stack([picture[10 : 10 + H, 10 + step * t : 10 + step * t + W] for t in range(T)])


def written(frames: np.ndarray, rows: tuple[int, ...] = (250, 274)) -> np.ndarray:
    made = frames.copy()
    for frame in made:
        for row in rows:
            cv2.putText(frame, "AND THEN SHE SAID NOTHING", (110, row), cv2.FONT_HERSHEY_DUPLEX, 0.6, (255,) * 3, 1)
    return made


def of(frames: np.ndarray) -> ClipScores:
    return score_clip(frames, clip_flows(frames, MaskConfig()))


def test_an_ordinary_clip_passes_and_its_motion_is_told() -> None:
    scores = of(pan(wall()))
    assert reasons_against(scores, FilterConfig()) == ()
    assert scores.motion_px == pytest.approx(3, abs=0.1)
    assert scores.flow_confidence > 0.95
    assert scores.text_share == 0


def test_motion_is_told_for_one_width_whatever_the_bucket() -> None:
    half = np.stack([cv2.resize(frame, (W // 2, H // 2), interpolation=cv2.INTER_AREA) for frame in pan(wall(), 8)])
    assert of(half).motion_px == pytest.approx(8, rel=0.05)


def barred(frames: np.ndarray) -> np.ndarray:
    made = frames.copy()
    made[:, :20], made[:, -20:] = 0, 0
    return made


def soft(frames: np.ndarray) -> np.ndarray:
    return np.stack([cv2.GaussianBlur(frame, (0, 0), 8) for frame in frames])


def cut(frames: np.ndarray) -> np.ndarray:
    return np.concatenate([frames[:4], pan(wall(seed=1))[:2]])


def page_of_credits() -> np.ndarray:
    return written(np.full((T, H, W, 3), 5, np.uint8), tuple(range(30, 280, 24)))


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        (np.repeat(pan(wall())[:1], T, axis=0), "still"),
        (np.repeat(pan(wall())[:1], T, axis=0), "repeated_frames"),
        (pan(wall()) // 12, "dark"),
        (np.clip(pan(wall()) // 12 + 100, 0, 255).astype(np.uint8), "flat"),
        (barred(pan(wall())), "letterbox"),
        (soft(pan(wall())), "blurred"),
        (written(pan(wall())), "text"),
        (page_of_credits(), "text"),
        (cut(pan(wall())), "cut_inside"),
    ],
)
def test_what_spoils_a_clip_is_named(frames: np.ndarray, reason: str) -> None:
    assert reason in reasons_against(of(frames), FilterConfig())


def test_signs_that_move_with_the_scene_are_no_captions() -> None:
    sign = written(wall()[None], (200, 230))[0]
    scores = of(pan(sign))
    assert scores.text_share == 0
    assert of(written(pan(wall()))).text_share > 0.02


def test_a_clip_that_nothing_follows_fails_by_its_flow() -> None:
    scores = of(pan(wall()))
    worse = ClipScores(*(getattr(scores, name) for name in ClipScores.__slots__[:-2]), 0.1, 0.2)
    assert set(reasons_against(worse, FilterConfig())) == {"flow_failed", "cut_inside"}
