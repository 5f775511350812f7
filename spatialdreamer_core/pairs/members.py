"""What a training pair looks like as files of a shard, and back.

``KEY.target.mp4``, ``KEY.condition.mp4``, ``KEY.reference.mp4``: lossless RGB video.
``KEY.mask.png``: 1 bit a pixel, the frames one below the other, white where the condition has no pixels.
``KEY.disparity.png``: 16 bit, the frames one below the other; pixels are ``(value - 32768) * disparity_step_px``.
``KEY.flow.npz``: optional, float16 [T-1, H, W, 2] under the name ``flow``.
``KEY.json``: the rest, keys sorted.
"""

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.dvg.sample import PairSample
from spatialdreamer_core.errors import StoreError
from spatialdreamer_core.pairs.png16 import scaled, up_rows
from spatialdreamer_core.pairs.videos import decode_rgb, encode_rgb
from spatialdreamer_core.store.place import canonical_json

FORMAT = 1
"""Version of this description; in every sample's JSON."""
PICTURES = ("condition", "reference", "target")
ZERO = 32768
FINEST_STEP_PX = 1 / 128
_ONE_BIT_PNG = (cv2.IMWRITE_PNG_BILEVEL, 1, cv2.IMWRITE_PNG_COMPRESSION, 1)
_FAST_PNG = (
    cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT,
    cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP,
)  # fmt: skip
"""Half the time of OpenCV's own choice and an eighth smaller: disparity changes least from row to row."""


def to_members(sample: PairSample, facts: Mapping[str, Any]) -> dict[str, bytes]:
    """Turn a pair into the files of one sample, by extension; the same pair and facts give the same bytes.

    Args:
        sample: The pair.
        facts: More for the JSON: ids, times, settings, measures; JSON values only.

    Raises:
        ValueError: If the key has a dot, which readers of tars take for the beginning of the extension.
    """
    if "." in sample.key or "/" in sample.key:
        raise ValueError(f"sample key {sample.key!r} must have neither dot nor slash")
    step = _disparity_step(sample.disparity)
    levels = np.round(sample.disparity / np.float32(step)).astype(np.int32) + ZERO
    members = {f"{name}.mp4": encode_rgb(getattr(sample, name)) for name in PICTURES}
    members["mask.png"] = _png(_tall(sample.mask.astype(np.uint8) * 255), _ONE_BIT_PNG)
    members["disparity.png"] = _png(_tall(levels.astype(np.uint16)), _FAST_PNG)
    if sample.flow is not None:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, flow=sample.flow)
        members["flow.npz"] = buffer.getvalue()
    frames, height, width = sample.mask.shape
    members["json"] = canonical_json(
        {
            **facts,
            "format": FORMAT,
            "key": sample.key,
            "frames": frames,
            "height": height,
            "width": width,
            "disparity_step_px": step,
            "meta": sample.meta,
        }
    )
    return members


def from_members(key: str, members: Mapping[str, bytes], *, quick: bool = False) -> PairSample:
    """Read a pair back; ``meta`` holds the whole JSON.

    Args:
        key: Of the sample.
        members: Its files by extension.
        quick: Do not decode what follows from the rest: the condition of an analytic pair is its target, black where
            masked, and all of them are lossless. A third of the decoding less, and the same pixels.

    Raises:
        StoreError: If a member is missing, does not decode, or has another size than the JSON says.
    """
    try:
        facts = json.loads(members["json"])
        shape = facts["frames"], facts["height"], facts["width"]
        follows = quick and facts["meta"].get("mode") == "analytic"
        pictures = {
            name: decode_rgb(members[f"{name}.mp4"], f"{key}.{name}.mp4")
            for name in PICTURES
            if not (follows and name == "condition")
        }
        mask = _frames(_picture(members["mask.png"], f"{key}.mask.png"), shape) > 0
        if follows:
            planes = pictures["target"].transpose(0, 3, 1, 2)
            pictures["condition"] = (planes * ~mask[:, None]).transpose(0, 2, 3, 1)
        disparity = _frames(_disparity(members["disparity.png"], key, facts["disparity_step_px"]), shape)
        flow = _read_flow(members["flow.npz"]) if "flow.npz" in members else None
        return PairSample(
            key, pictures["target"], pictures["condition"], pictures["reference"], mask, disparity, flow, facts
        )
    except KeyError as error:
        raise StoreError(f"sample {key}: {error} is missing; remove its shard's commit and run again") from error
    except (ValueError, zipfile.BadZipFile) as error:
        raise StoreError(f"sample {key}: damaged ({error}); remove its shard's commit and run again") from error


def _disparity_step(disparity: NDArray[np.float32]) -> float:
    """The finest power of two, at most 1/128 px, in which 16 bits hold every value."""
    largest, step = float(np.abs(disparity).max()), FINEST_STEP_PX
    while largest / step > ZERO - 1:
        step *= 2
    return step


def _tall(frames: NDArray[Any]) -> NDArray[Any]:
    return frames.reshape(-1, frames.shape[2])


def _frames(tall: NDArray[Any], shape: tuple[int, int, int]) -> NDArray[Any]:
    return tall.reshape(shape)


def _png(picture: NDArray[Any], parameters: tuple[int, ...]) -> bytes:
    ok, data = cv2.imencode(".png", picture, parameters)
    assert ok, "PNG holds every picture of 1, 8 or 16 bit"
    return data.tobytes()


def _picture(data: bytes, name: str) -> NDArray[Any]:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    if picture is None:
        raise StoreError(f"{name}: not a picture that decodes; remove its shard's commit and run again")
    return np.asarray(picture)


def _disparity(data: bytes, key: str, step: float) -> NDArray[np.float32]:
    """All frames one below the other, float32 px."""
    rows = up_rows(data)
    if rows is not None:
        return np.asarray(scaled(rows, ZERO, step), np.float32)
    levels = _picture(data, f"{key}.disparity.png")  # by another writer, or damaged
    return (levels.astype(np.float32) - np.float32(ZERO)) * np.float32(step)


def _read_flow(data: bytes) -> NDArray[np.float16]:
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return np.asarray(arrays["flow"], np.float16)
