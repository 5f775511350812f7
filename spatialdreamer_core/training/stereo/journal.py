"""What a training leaves to look at: ``curve.jsonl``, ``pictures/``, ``tensorboard/`` and ``weights/``."""

import importlib.util
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.store.place import Place

CURVE = "curve.jsonl"
PICTURES, TENSORBOARD, WEIGHTS = "pictures", "tensorboard", "weights"
VALIDATED = "validation_s"
"""The figure that every validation has: what it took, seconds."""
PUBLISH_EVERY_S = 10.0
NO_TENSORBOARD = "no TensorBoard logs: pip install 'spatialdreamer[train]' to have them; curve.jsonl has all figures"


class Journal:
    """The written account of one training; rows after the step that is resumed from are forgotten.

    Args:
        place: The training's output.
        step: The step that is gone on from.
        say: Told if there is no TensorBoard.
    """

    def __init__(self, place: Place, step: int, say: Callable[[str], None]) -> None:
        self._place = place
        self._rows = [row for row in read_curve(place) if row["step"] <= step] if step else []
        self._published = time.monotonic()
        self._board, self._folder = _board(place, step, say)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The curve so far."""
        return self._rows

    def validated(self, step: int) -> bool:
        """Whether the curve tells of a validation at a step."""
        return any(row["step"] == step and VALIDATED in row for row in self._rows[-1:])

    def note(self, step: int, figures: dict[str, float]) -> None:
        """Add figures of a step; they are readable some seconds later, or at the next ``publish``."""
        if self._rows and self._rows[-1]["step"] == step:
            self._rows[-1] |= figures
        else:
            self._rows.append({"step": step} | figures)
        if self._board is not None:
            for name, value in figures.items():
                self._board.add_scalar(name.replace("val_", "validation/", 1), value, step)
        if time.monotonic() - self._published > PUBLISH_EVERY_S:
            self.publish()

    def show(self, step: int, pictures: NDArray[np.uint8]) -> str:
        """Publish a sheet: the pictures under one another.

        Args:
            step: When it was.
            pictures: [N, H, W, 3] uint8 RGB.

        Returns:
            Its key.
        """
        sheet = np.concatenate(list(pictures))
        good, data = cv2.imencode(".png", np.ascontiguousarray(sheet[..., ::-1]))
        if not good:
            raise ValueError(f"pictures of shape {pictures.shape} cannot be written as PNG")
        key = f"{PICTURES}/step-{step:08d}.png"
        self._place.publish(key, data.tobytes())
        if self._board is not None:
            self._board.add_image("pictures", sheet, step, dataformats="HWC")
        return key

    def publish(self) -> None:
        """Have everything noted so far appear."""
        lines = "".join(json.dumps(row) + "\n" for row in self._rows)
        self._place.publish(CURVE, lines.encode())
        if self._board is not None:
            self._board.flush()
        if self._folder is not None:
            publish_folder(self._place, Path(self._folder.name), TENSORBOARD)
        self._published = time.monotonic()

    def close(self) -> None:
        """Publish and free what is held."""
        self.publish()
        if self._board is not None:
            self._board.close()
        if self._folder is not None:
            self._folder.cleanup()


def read_curve(place: Place) -> list[dict[str, Any]]:
    """The rows of a training's curve, oldest first."""
    return [json.loads(line) for line in (place.read(CURVE) or b"").splitlines()]


def publish_folder(place: Place, folder: Path, key: str) -> None:
    """Publish copies of the files of a local folder; JSON comes last, so that what it describes is there."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    for path in sorted(files, key=lambda path: (path.suffix == ".json", path)):
        with place.scratch() as scratch:
            shutil.copyfile(path, scratch)
            place.publish_file(scratch, f"{key}/{path.relative_to(folder).as_posix()}")


def _board(
    place: Place, step: int, say: Callable[[str], None]
) -> tuple[Any, "tempfile.TemporaryDirectory[str] | None"]:
    if importlib.util.find_spec("tensorboard") is None:
        say(NO_TENSORBOARD)
        return None, None
    from torch.utils.tensorboard import SummaryWriter

    folder = None if place.is_local else tempfile.TemporaryDirectory()
    where = place.full(TENSORBOARD) if folder is None else folder.name
    return SummaryWriter(where, purge_step=step + 1), folder
