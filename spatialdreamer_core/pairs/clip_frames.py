"""The pictures of one clip and their depth, both placed in the clip's bucket."""

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
from spatialdreamer_core.video.source import SourceInfo, SourceScan


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

    def frames(self) -> NDArray[np.uint8]:
        """Decode the clip: [T, H, W, 3] uint8 RGB.

        Raises:
            ClipError: If a frame does not decode.
        """
        info, scan, clip = self.info, self.scan, self.clip
        pixel_format = working_format(info, resolve_codec("auto", info.video.bits))
        decoded = decode(info.uri, info, pixel_format, scan.pts, clip.start, clip.end, counted_from=scan.counted_from)
        return np.stack(
            [
                fit_frame(frame, self.placement, info.video.colour)
                for index, frame in zip(range(clip.start, clip.end), decoded, strict=True)
                if index in clip.indices
            ]
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
