"""The floor under convert: the same decode and encode of two flat eyes, with no stereo work at all."""

import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.config import ConvertConfig
from spatialdreamer_core.video.decode import decode, working_format
from spatialdreamer_core.video.encode import ChunkWriter, EncodeSpec, encoded_format, resolve_codec
from spatialdreamer_core.video.layouts import pack, packed_size
from spatialdreamer_core.video.probe import probe
from spatialdreamer_core.video.scan import scan
from spatialdreamer_core.video.segments import Segment, plan_segments
from spatialdreamer_core.video.source import SourceInfo


def floor_fps(sources: list[str], workers: int) -> float:
    """Frames per second of decode, side by side, encode; the segments and processes are those of convert."""
    config, jobs = ConvertConfig(), []
    for source in sources:
        info = probe(source)
        scanned = scan(source, info)
        cut = plan_segments(scanned.shot_starts, len(scanned.pts), config.segment_frames, config.depth.key_interval)
        jobs += [(source, info, scanned.pts, segment) for segment in cut]
    with TemporaryDirectory() as folder, ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        list(pool.map(time.sleep, [0.5] * workers))  # processes are up before the clock starts
        begin = time.perf_counter()
        made = sum(pool.map(flat_segment, jobs, range(len(jobs)), [folder] * len(jobs)))
        return made / (time.perf_counter() - begin)


def flat_segment(job: tuple[str, SourceInfo, NDArray[np.int64], Segment], number: int, folder: str) -> int:
    """Decode a segment and encode it beside itself; gives its number of frames."""
    source, info, pts, segment = job
    encode, video = ConvertConfig().encode, info.video
    codec = resolve_codec(encode.codec, video.bits)
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
    with ChunkWriter(Path(folder, f"{number}.mkv"), spec) as writer:
        for frame in decode(source, info, working, pts, segment.start, segment.end):
            writer.write(*pack(frame, frame, encode.layout, colour=video.colour))
    return segment.end - segment.start
