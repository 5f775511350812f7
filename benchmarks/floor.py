"""The floor under convert: the same decode and encode of two flat eyes, with no stereo work at all."""

import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.config import ConvertConfig
from spatialdreamer_core.video.decode import decode, resolve_codec, working_format
from spatialdreamer_core.video.encode import ChunkWriter, EncodeSpec, encoded_format
from spatialdreamer_core.video.layouts import pack, packed_size
from spatialdreamer_core.video.probe import probe
from spatialdreamer_core.video.scan import scan
from spatialdreamer_core.video.segments import Segment, plan_segments
from spatialdreamer_core.video.source import SourceInfo


def floor_fps(source: str, workers: int) -> float:
    """Frames per second of decode, side by side, encode; the segments and processes are those of convert."""
    config, info = ConvertConfig(), probe(source)
    scanned = scan(source, info)
    frames = len(scanned.pts)
    segments = plan_segments(scanned.shot_starts, frames, config.segment_frames, config.depth.key_interval)
    with TemporaryDirectory() as folder, ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        list(pool.map(time.sleep, [0.5] * workers))  # processes are up before the clock starts
        begin = time.perf_counter()
        jobs = [pool.submit(flat_segment, source, info, scanned.pts, segment, folder) for segment in segments]
        made = sum(job.result() for job in jobs)
        return made / (time.perf_counter() - begin)


def flat_segment(source: str, info: SourceInfo, pts: NDArray[np.int64], segment: Segment, folder: str) -> int:
    """Decode a segment and encode it beside itself; gives its number of frames."""
    encode, video = ConvertConfig().encode, info.video
    codec = resolve_codec(encode.codec, info)
    working = working_format(info, codec)
    size = packed_size(video.width, video.height, encode.layout, encode.max_width, working)
    spec = EncodeSpec(
        codec=codec,
        width=size.width,
        height=size.height,
        format=encoded_format(codec, working),
        time_base=video.time_base,
        rate=video.average_rate,
        colour=video.colour,
        threads=encode.threads,
    )
    with ChunkWriter(Path(folder, f"{segment.index}.mkv"), spec) as writer:
        for frame in decode(source, info, working, pts, segment.start, segment.end):
            writer.write(*pack(frame, frame, encode.layout, colour=video.colour))
    return segment.end - segment.start
