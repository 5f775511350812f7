"""The figures and pictures of ``docs/dvg.md``: ``python -m benchmarks.dvg_pictures CLIP [--output docs]``.

Three experiments on scenes where everything is known, and pairs of one real clip. Prints Markdown tables.
"""

import argparse
import sys
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.convert.source_depth import source_depth
from spatialdreamer_core.corpus.buckets import choose_bucket, place_clip
from spatialdreamer_core.corpus.clips import cut_clips
from spatialdreamer_core.depth.registry import create_depth_estimator
from spatialdreamer_core.dvg.config import MaskConfig, PairsConfig, Refine, WarpConfig
from spatialdreamer_core.dvg.draw import draw
from spatialdreamer_core.dvg.flows import clip_flows, trust
from spatialdreamer_core.dvg.make import make_pair
from spatialdreamer_core.dvg.measure import mask_stability
from spatialdreamer_core.dvg.refine import refine_masks
from spatialdreamer_core.dvg.render import render_pair
from spatialdreamer_core.dvg.sample import Eye, PairSample
from spatialdreamer_core.pairs.clip_frames import PlacedClip
from spatialdreamer_core.pairs.picture import sample_picture
from spatialdreamer_core.video.probe import probe
from spatialdreamer_core.video.scan import scan
from tests.exact import SCENES, WALL, ExactScene, Thing

Rgb = NDArray[np.uint8]
Mask = NDArray[np.bool_]
HOWS: tuple[Refine, ...] = get_args(Refine)
TIME = 2
SHOWN_WIDTH = 1280


def main() -> None:
    """Draw and print all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path, help="a real clip")
    parser.add_argument("--start", type=int, action="append", help="number of a clip in it; may be repeated")
    parser.add_argument("--output", type=Path, default=Path("docs"))
    arguments = parser.parse_args()
    save(arguments.output / "dvg_masks.jpg", masks_at_true_depth())
    save(arguments.output / "dvg_flow.jpg", flow_that_comes_back())
    save(arguments.output / "dvg_time.jpg", masks_over_time())
    speeds()
    save(arguments.output / "dvg_pairs.jpg", real_pairs(arguments.clip, arguments.start or [0]))


def masks_at_true_depth() -> Rgb:
    """Compare both masks with the true disocclusion; white is right, red too much, blue too little."""
    say("| scene | target | hidden | analytic mask, IoU | double rendering, IoU | both agree |\n")
    say("|---|---|---|---|---|---|\n")
    rows = []
    for name, scene in SCENES.items():
        for eye in get_args(Eye):
            view, truth = scene.view(TIME, eye), scene.hidden(TIME, eye)
            pair = render_pair(view.picture, scene.disparity(TIME, eye), eye)
            agree = 100 * np.mean(pair.lost == pair.hole)
            say(
                f"| {name} | {eye} eye | {100 * truth.mean():.1f} % | {overlap(pair.lost, truth):.3f} "
                f"| {overlap(pair.hole, truth):.3f} | {agree:.2f} % |\n"
            )
            if eye == "left":
                rows.append([view.picture, pair.reference, compared(pair.lost, truth), compared(pair.hole, truth)])
    return sheet(rows, ("target (left eye)", "reference", "analytic mask", "double rendering"))


def flow_that_comes_back() -> Rgb:
    """Show where flow, true and estimated, passes the check."""
    say("\n| scene | flow | confident of what stays in sight | of what is hidden | error where confident, px |\n")
    say("|---|---|---|---|---|\n")
    rows = []
    for name, scene in SCENES.items():
        truth, seen = scene.flow(TIME, TIME + 1)
        exact = trust(truth, scene.flow(TIME + 1, TIME)[0], MaskConfig()) >= 0.5
        row = [scene.view(TIME).picture, grey(~seen), grey(~exact)]
        told = {"true": (exact, truth)}
        for half in (True, False):
            flows = clip_flows(pictures(scene, range(TIME, TIME + 2)), MaskConfig(half_flow=half))
            told[f"DIS, {'half' if half else 'full'} size"] = (flows.forward_trust[0] >= 0.5, flows.forward[0])
            row.append(grey(flows.forward_trust[0] < 0.5))
        rows.append(row)
        for what, (sure, flow) in told.items():
            wrong = np.hypot(*np.moveaxis(flow - truth, -1, 0))[sure].mean()
            shares = f"{100 * sure[seen].mean():.1f} % | {100 * sure[~seen].mean():.1f} %"
            say(f"| {name} | {what} | {shares} | {wrong:.2f} |\n")
    titles = ("picture", "truly hidden next", "true flow fails", "DIS at half size fails", "DIS at full size fails")
    return sheet(rows, titles)


def masks_over_time() -> Rgb:
    """Take half of one frame's mask away and refine."""
    say("\n| scene | mask of one frame, IoU with the truth |" + "".join(f" {how} |" for how in HOWS) + "\n")
    say("|---|---|" + "---|" * len(HOWS) + "\n")
    rows = []
    for name, scene in SCENES.items():
        times = range(1, 5)
        truth = np.stack([scene.hidden(t) for t in times])
        flows = clip_flows(pictures(scene, times), MaskConfig())
        for what, given in (("whole", truth), ("half of it lost", damaged(truth, 1))):
            found = {how: refine_masks(given, flows, how)[1] for how in HOWS}
            cells = "".join(f" {overlap(found[how], truth[1]):.3f} |" for how in HOWS)
            say(f"| {name} | {what} |{cells}\n")
        shown = [compared(found[how], truth[1]) for how in ("off", "union", "soft")]
        rows.append([scene.view(2).picture, *shown])
    return sheet(rows, ("picture", "mask of a failed frame", "union", "soft"))


def speeds() -> None:
    """A board that passes before a wall, its depth restless: masks over time at several speeds."""
    say("\n| speed, px a frame |" + "".join(f" {how} |" for how in ("true", "off", "soft", "union")) + "\n")
    say("|---|---|---|---|---|\n")
    shown: tuple[Refine, ...] = ("off", "soft", "union")
    for speed in (0, 1, 2, 4, 8, 16):
        board = Thing("box", (-0.3, 0.1, 3.2), (0.5, 0.5, 0.02), (speed * 3.18 / 480, 0, 0), seed=3)
        scene, rng, times = ExactScene((board, WALL)), np.random.default_rng(1), range(5)
        flows = clip_flows(pictures(scene, times), MaskConfig())
        truth = np.stack([scene.hidden(t) for t in times])
        raw = np.stack([restless(scene, t, rng) for t in times])
        found = {how: refine_masks(raw, flows, how) for how in shown}
        cells = [f"{mask_stability(truth, flows):.2f}, 1"]
        cells += [f"{mask_stability(mask, flows):.2f}, {overlap(mask, truth):.2f}" for mask in found.values()]
        say(f"| {speed} | {' | '.join(cells)} |\n")


def restless(scene: ExactScene, t: int, rng: np.random.Generator) -> Mask:
    """The analytic mask at a depth whose silhouette and strength change from frame to frame."""
    side = 2 * int(rng.integers(0, 4)) + 1
    depth = cv2.erode(scene.disparity(t), np.ones((side, side))) * (1 + 0.05 * rng.normal())
    return render_pair(scene.view(t).picture, np.asarray(depth, np.float32), "left").lost


def real_pairs(clip: Path, numbers: list[int]) -> Rgb:
    """Make pairs of a real clip both ways and draw them."""
    return np.concatenate(
        [
            sample_picture(real_pair(clip, number, PairsConfig(warp=WarpConfig(double_share=share))), [8])
            for number in numbers
            for share in (0.0, 1.0)
        ]
    )


def real_pair(clip: Path, number: int, config: PairsConfig) -> PairSample:
    """Make the pair of the clip of that number."""
    info = probe(str(clip))
    scanned, video = scan(str(clip), info), info.video
    part = cut_clips(scanned.shot_starts, len(scanned.pts), config.clips)[number]
    name = f"{clip.stem}-{part.start:06d}"
    shape: dict[str, Any] = {"sample_aspect": video.sample_aspect, "bars": scanned.letterbox}
    bucket = choose_bucket(video.width, video.height, config.clips.buckets, **shape)
    placement = place_clip(video.width, video.height, bucket, draw(name, config), **shape)
    placed = PlacedClip(info, scanned, part, placement)
    frames = placed.frames()
    estimator = source_depth(create_depth_estimator(config.depth), info, scanned)
    pair, metrics = make_pair(frames, placed.depth(frames, estimator, config), config, name)
    say(f"\n{name}: {metrics}\n")
    return pair


def pictures(scene: ExactScene, times: range) -> Rgb:
    """[T, H, W, 3] of the left eye."""
    return np.stack([scene.view(t).picture for t in times])


def damaged(masks: Mask, at: int) -> Mask:
    """Half of one frame's mask is lost, as where depth fails for a moment."""
    keep = np.random.default_rng(0).random((18, 32)) > 0.5
    made = masks.copy()
    made[at] &= np.kron(keep, np.ones((16, 16), np.bool_))
    return made


def overlap(mask: Mask, truth: Mask) -> float:
    """Intersection over union."""
    return np.count_nonzero(mask & truth) / np.count_nonzero(mask | truth)


def grey(mask: Mask) -> Rgb:
    """White where True."""
    return np.repeat(mask.astype(np.uint8)[..., None] * 255, 3, axis=2)


def compared(mask: Mask, truth: Mask) -> Rgb:
    """White where both are, red where only the mask is, blue where only the truth is."""
    made = grey(mask & truth)
    made[mask & ~truth] = (255, 60, 40)
    made[~mask & truth] = (60, 110, 255)
    return made


def sheet(rows: list[list[Rgb]], titles: tuple[str, ...]) -> Rgb:
    """Lay pictures out with a line of titles."""
    body = np.concatenate([np.concatenate(row, axis=1) for row in rows])
    line = np.full((22, body.shape[1], 3), 255, np.uint8)
    for column, title in enumerate(titles):
        place = (column * rows[0][0].shape[1] + 6, 16)
        cv2.putText(line, title, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (32, 32, 32), 1, cv2.LINE_AA)
    return np.concatenate([line, body])


def save(path: Path, picture: Rgb) -> None:
    """Write a JPEG no wider than the page."""
    scale = min(1.0, SHOWN_WIDTH / picture.shape[1])
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else picture
    cv2.imwrite(str(path), cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 82])


def say(text: str) -> None:
    """Print at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
