"""The pictures of one clip and their depth, both placed in the clip's bucket."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.convert.source_depth import frame_offset
from spatialdreamer_core.corpus.buckets import Placement, fit_frame
from spatialdreamer_core.corpus.clips import Clip
from spatialdreamer_core.depth.protocol import DepthEstimator
from spatialdreamer_core.dvg.config import PairsConfig
from spatialdreamer_core.dvg.depth import clip_depth
from spatialdreamer_core.video.decode import decode, working_format
from spatialdreamer_core.video.encode import resolve_codec
from spatialdreamer_core.video.frames import Frame
from spatialdreamer_core.video.source import SourceInfo, SourceScan


class FilmReader:
    """Decodes clips of a film in turn without going back to a key frame for each; the frames are the same either way.

    Holds one open film. A clip that begins no more than ``AHEAD`` frames after the last one ended is decoded up to;
    any other is sought.
    """

    AHEAD = 64

    def __init__(self) -> None:
        self._film: tuple[str, str] | None = None
        self._decoded: Iterator[Frame] = iter(())
        self._next = 0

    def read(self, info: SourceInfo, scan: SourceScan, start: int, end: int) -> Iterator[tuple[int, Frame]]:
        """Give (index, frame) of the frames [start, end) of a scanned film.

        Raises:
            ClipError: If a frame does not decode.
        """
        film = info.uri, info.source_id
        if film != self._film or not self._next <= start <= self._next + self.AHEAD:
            self.close()
            pixel_format = working_format(info, resolve_codec("auto", info.video.bits))
            last = len(scan.pts)
            self._decoded = decode(info.uri, info, pixel_format, scan.pts, start, last, counted_from=scan.counted_from)
            self._film, self._next = film, start
        try:
            while self._next < end:
                index, frame = self._next, next(self._decoded)
                self._next += 1
                if index >= start:
                    yield index, frame
        except BaseException:
            self.close()  # nobody knows where the decoder stands now
            raise

    def close(self) -> None:
        """Let go of the film."""
        if isinstance(self._decoded, Generator):
            self._decoded.close()
        self._film, self._decoded = None, iter(())


@dataclass(frozen=True, slots=True)
class PlacedClip:
    """A clip, and which part of its pictures is shown at which size.

    Attributes:
        info: The probed source.
        scan: Its scan.
        clip: Which frames.
        placement: Which part, and the size that it gets.
    """

    info: SourceInfo
    scan: SourceScan
    clip: Clip
    placement: Placement

    def frames(self, reader: "FilmReader | None" = None) -> NDArray[np.uint8]:
        """Decode the clip: [T, H, W, 3] uint8 RGB.

        Args:
            reader: Goes on from the clip before, if that was just before in the same film; None begins anew.

        Raises:
            ClipError: If a frame does not decode.
        """
        wanted = set(self.clip.indices)
        decoded = (reader or FilmReader()).read(self.info, self.scan, self.clip.start, self.clip.end)
        return np.stack(
            [fit_frame(frame, self.placement, self.info.video.colour) for index, frame in decoded if index in wanted]
        )

    def depth(self, frames: NDArray[np.uint8], estimator: DepthEstimator, config: PairsConfig) -> NDArray[np.float32]:
        """Find the depth of its frames: [T, H, W] float32 inverse depth in [0, 1], 1 nearest.

        Raises:
            DepthError: If depth is not there, not finite or constant.
        """
        wanted, video = np.array(self.clip.indices, np.int64), self.info.video
        return clip_depth(
            frames,
            estimator,
            config.depth,
            indices=wanted + frame_offset(self.info, self.scan),
            pts_s=self.scan.pts[wanted].astype(np.float64) * float(video.time_base),
            placement=self.placement,
            flow=config.mask.flow,
        )
