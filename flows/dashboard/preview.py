"""A few seconds of a finished clip, small, both eyes side by side, as a video that browsers play."""

import io
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from flows.dashboard.library import checked_key
from spatialdreamer_core.errors import StoreError
from spatialdreamer_core.store.place import Place
from spatialdreamer_core.video.media import open_source

Picture = NDArray[np.uint8]
Eyes = Literal["sbs", "tb", "interleaved", "files", "none"]

EYE_WIDTH = 480
LONGEST_S = 4.0
MOST_FRAMES = 120

_EYES: dict[str, Eyes] = {
    "full-sbs": "sbs",
    "half-sbs": "sbs",
    "full-tb": "tb",
    "half-tb": "tb",
    "interleaved": "interleaved",
    "left-right-files": "files",
}


@dataclass(frozen=True, slots=True)
class Preview:
    """A short video.

    Attributes:
        mp4: Its bytes.
        width: Columns of what it shows.
        height: Rows.
        stereo: Whether it holds the left eye and the right eye, side by side; else it is the result as it is.
    """

    mp4: bytes
    width: int
    height: int
    stereo: bool


def preview(place: Place, clip: dict[str, Any], layout: str, *, swapped: bool) -> Preview:
    """Cut a clip out of the finished files.

    Args:
        place: Output place.
        clip: Its row: ``output``, ``start_s``, ``end_s``, ``width``, ``height``.
        layout: Of the result, as in the settings.
        swapped: Whether the right eye comes first in it.

    Raises:
        StoreError: If there is no finished file, or a name leads out of the output.
        UnreadableSourceError: If the file cannot be opened.
    """
    if not clip["output"]:
        raise StoreError("the file of this clip is not finished; there is its contact sheet only")
    uris = [place.uri(checked_key(place, key)) for key in clip["output"]]
    eyes = _EYES.get(layout, "none")
    begin_s = clip["start_s"]
    length_s = min(clip["end_s"] - begin_s, LONGEST_S)
    if eyes != "files":
        uris = uris[:1]
    videos = [_pictures(uri, begin_s, length_s) for uri in uris]
    rate = videos[0][1]
    height, width = _eye_size(clip["width"], clip["height"])
    shown = []
    for pictures in zip(*(video for video, _ in videos), strict=False):
        parts = list(pictures) if eyes == "files" else _split(pictures[0], eyes)
        if swapped and len(parts) == 2:
            parts.reverse()
        shown.append(np.hstack([_resized(part, width, height) for part in parts]))
    if not shown:
        raise StoreError(f"{uris[0]}: holds no picture at {begin_s:.2f} s; run the conversion again")
    return Preview(_encoded(shown, rate), shown[0].shape[1], shown[0].shape[0], eyes != "none")


def _eye_size(width: int, height: int) -> tuple[int, int]:
    """(rows, columns) of an eye in the preview; even."""
    scale = min(1.0, EYE_WIDTH / width)
    return max(2, 2 * round(height * scale / 2)), max(2, 2 * round(width * scale / 2))


def _pictures(uri: str, begin_s: float, length_s: float) -> tuple[list[Picture], float]:
    """RGB pictures of a stretch of a video, not more than ``MOST_FRAMES``, and their rate."""
    with open_source(uri) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        rate = float(stream.average_rate or 25)
        step = max(1, round(length_s * rate / MOST_FRAMES))
        time_base = stream.time_base
        assert time_base is not None, "every video stream counts in something"
        first = (stream.start_time or 0) + int(begin_s / time_base)
        container.seek(first, stream=stream)
        pictures: list[Picture] = []
        number = 0
        for frame in container.decode(stream):
            if frame.pts is None or frame.pts < first - 0.5 / (rate * time_base):
                continue
            if frame.pts >= first + int(length_s / time_base):
                break
            if number % step == 0:
                pictures.append(_small(frame))
            number += 1
    return pictures, rate / step


def _small(frame: av.VideoFrame) -> Picture:
    """The whole picture as RGB, at most four eyes of a preview large."""
    scale = min(1.0, 2 * EYE_WIDTH / frame.width)
    width, height = 2 * round(frame.width * scale / 2), 2 * round(frame.height * scale / 2)
    return np.asarray(frame.to_ndarray(format="rgb24", width=max(2, width), height=max(2, height)), np.uint8)


def _split(picture: Picture, eyes: Eyes) -> list[Picture]:
    height, width = picture.shape[:2]
    match eyes:
        case "sbs":
            return [picture[:, : width // 2], picture[:, width // 2 : 2 * (width // 2)]]
        case "tb":
            return [picture[: height // 2], picture[height // 2 : 2 * (height // 2)]]
        case "interleaved":
            return [picture[0::2], picture[1::2]]
        case _:
            return [picture]


def _resized(picture: Picture, width: int, height: int) -> Picture:
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _encoded(pictures: list[Picture], rate: float) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(rate).limit_denominator(1001))
        stream.width, stream.height, stream.pix_fmt = pictures[0].shape[1], pictures[0].shape[0], "yuv420p"
        stream.options = {"preset": "veryfast", "crf": "23", "threads": "1"}
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()
