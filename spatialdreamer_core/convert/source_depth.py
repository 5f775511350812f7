"""The depth estimator of one source: imported depth has its own files for each, and counts from the file's start."""

from spatialdreamer_core.depth.imported import for_source
from spatialdreamer_core.depth.protocol import DepthEstimator
from spatialdreamer_core.video.source import SourceInfo, SourceScan


def frame_offset(info: SourceInfo, scan: SourceScan) -> int:
    """Frames of the file before the scan's first one, by time; not 0 where conversion begins later."""
    video = info.video
    return round((int(scan.pts[0]) - video.start_pts) * video.time_base * video.average_rate)


def source_depth(estimator: DepthEstimator, info: SourceInfo, scan: SourceScan) -> DepthEstimator:
    """Give the estimator to use for a scanned source.

    Raises:
        DepthError: If depth is imported and this source has none, or too little.
    """
    frames = frame_offset(info, scan) + len(scan.pts)
    return for_source(estimator, info.uri, frames, float(info.video.start_pts * info.video.time_base))
