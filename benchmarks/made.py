"""Videos for the benchmarks: real pictures at the size that is wanted."""

from itertools import cycle, islice
from pathlib import Path

import av


def sized_video(source: Path, target: Path, *, width: int, height: int, frames: int) -> Path:
    """Scale a real clip and repeat it, forwards and backwards so that no cut is made, to so many frames."""
    with av.open(str(source)) as container:
        pictures = [frame.reformat(width, height, "yuv420p") for frame in islice(container.decode(video=0), 120)]
    there_and_back = cycle([*pictures, *pictures[-2:0:-1]])
    with av.open(str(target), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "veryfast", "crf": "18"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for picture in islice(there_and_back, frames):
            picture.pts = None
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return target
