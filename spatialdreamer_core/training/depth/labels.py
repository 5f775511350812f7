"""Hand-set depth order of real pictures: the only real labels of the training.

``labels.json`` names, for every picture, a clip and the share of its length (or a picture file's stem) and points
[x, y, inverse depth]: x and y as shares of the width and height, inverse depth in [0, 1] by eye.
"""

import json
from collections.abc import Iterable
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

LABELS = Path(__file__).with_name("labels.json")
WIDTH = 512


def _frame(clip: Path, share: float) -> NDArray[np.uint8]:
    with av.open(str(clip)) as container:
        stream = max(container.streams.video, key=lambda s: s.width)
        frames = list(container.decode(stream))
    return np.asarray(frames[int(len(frames) * share)].to_ndarray(format="bgr24"), np.uint8)


def lay_out(clips: Iterable[Path], pictures: Iterable[Path], output: Path) -> int:
    """Write the labelled pictures that can be found, and their ``points.json``; gives their number."""
    output.mkdir(parents=True, exist_ok=True)
    by_name = {path.name: path for path in clips}
    by_stem = {path.stem: path for path in pictures}
    points: dict[str, list[list[float]]] = {}
    for name, entry in json.loads(LABELS.read_text()).items():
        if "clip" in entry and entry["clip"] in by_name:
            picture = _frame(by_name[entry["clip"]], float(entry["share"]))
        elif entry.get("picture") in by_stem:
            found = cv2.imread(str(by_stem[entry["picture"]]), cv2.IMREAD_COLOR)
            if found is None:
                continue
            picture = np.asarray(found, np.uint8)
        else:
            continue
        scale = min(1.0, WIDTH / max(picture.shape))
        cv2.imwrite(str(output / name), cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
        points[name] = entry["points"]
    (output / "points.json").write_text(json.dumps(points))
    return len(points)
