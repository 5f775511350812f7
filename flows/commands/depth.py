"""``spatialdreamer depth``: depth of pictures and videos as files that editors read."""

import json
from dataclasses import asdict, dataclass, replace
from typing import Annotated

import typer
from rich.console import Console

from flows.commands.exits import SOME_FAILED, stop, told
from flows.commands.options import AsJson, Exclude, Include, Quiet
from flows.progress import Listener, choose_mode, shown
from spatialdreamer_core.config import ConvertConfig, DepthConfig, FillConfig
from spatialdreamer_core.convert.depth_files import EXTENSIONS, DepthFilesConfig, DepthRecord, DepthWriter
from spatialdreamer_core.depth.export import DepthFormat
from spatialdreamer_core.depth.registry import create_depth_estimator
from spatialdreamer_core.errors import ClipError
from spatialdreamer_core.flow.dis import create_flow
from spatialdreamer_core.store.lock import exclusive_run
from spatialdreamer_core.store.place import Place
from spatialdreamer_core.video.media import list_sources
from tasks.progress import Progress
from tasks.stems import output_stems


def depth(
    sources: Annotated[
        list[str],
        typer.Argument(help="Pictures, videos, folders (searched through), globs, fsspec URLs, or @list.txt."),
    ],
    output: Annotated[str, typer.Option("--output", "-o", help="Folder or fsspec URL for the depth.")],
    form: Annotated[
        DepthFormat, typer.Option("--format", help="png is 16 bit, 65535 nearest; exr is float, 1 nearest.")
    ] = "png",
    full_size: Annotated[
        bool, typer.Option("--full-size/--small", help="The picture's size, or that at which depth is estimated.")
    ] = True,
    name: Annotated[str, typer.Option("--depth", help="Depth estimator, as for convert.", metavar="NAME")] = "builtin",
    width: Annotated[int, typer.Option("--depth-width", help="Columns at which depth is estimated.")] = 320,
    every_frame: Annotated[
        bool, typer.Option("--every-frame", help="Estimate every frame of a video: slower, follows fast motion.")
    ] = False,
    allow_network: Annotated[
        bool, typer.Option("--allow-network", help="Let --depth fetch a model from its hub.")
    ] = False,
    include: Include = None,
    exclude: Exclude = None,
    resume: Annotated[bool, typer.Option("--resume/--no-resume", help="Keep what earlier runs wrote.")] = True,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Write inverse depth of pictures and videos: one grey picture each, or a folder with one a frame.

    ``b.jpg`` becomes ``b_depth.png``; ``a.mp4`` becomes ``a_depth/000000.png`` and so on, steady over each shot, as
    convert sees it. ``spatialdreamer convert --import-depth`` reads it back after you have painted in it. A second
    run of the same command goes on where the first one stopped.

    Exit code 0: all is written. 3: some sources failed. 1: the run stopped. 2: wrong settings.

    Examples:
        spatialdreamer depth photo.jpg film.mkv -o depth

        spatialdreamer depth /photos -o depth --format exr --include '*.jpg'
    """
    with told():
        config = DepthFilesConfig(
            form=form,
            full_size=full_size,
            convert=ConvertConfig(
                depth=DepthConfig(
                    name=name, width=width, allow_network=allow_network, key_interval=1 if every_frame else 6
                ),
                fill=FillConfig(temporal=False),
            ),
        )
        uris = list_sources(sources, include or (), exclude or (), extensions=EXTENSIONS)
        estimator = create_depth_estimator(config.convert.depth)
        place = Place(output)
        place.prepare()
        console = Console(stderr=as_json)
        with exclusive_run(place), shown(choose_mode(console, quiet=quiet, as_json=as_json), console) as listener:
            writer = DepthWriter(estimator, create_flow(config.convert.flow), place, config, resume)
            done, failed = _write_all(writer, uris, output_stems(sources, uris), listener)
        if as_json:
            for record in done:
                typer.echo(json.dumps({"event": "depth", "confidence": record.confidence} | asdict(record)))
        elif not quiet:
            console.print(f"depth of {len(done)} of {len(uris)} sources in {output}", markup=False, highlight=False)
        if failed:
            stop(SOME_FAILED, f"{failed} of {len(uris)} sources failed; what is wrong with each is above")


@dataclass(slots=True)
class _Counted:
    """Progress over all sources from that of one."""

    now: Progress
    listener: Listener

    def tell(self, uri: str, frames: int, done: int, before: int, message: str = "") -> None:
        """Pass on where one source stands; ``before`` frames of it were counted already."""
        known = uri == self.now.source
        self.now = replace(
            self.now, source=uri, source_frames=frames, source_frames_done=done, message=message,
            frames=self.now.frames + (0 if known else frames), frames_done=self.now.frames_done + done - before,
            frames_made=self.now.frames_made + done - before,
        )  # fmt: skip
        self.listener(self.now)


def _write_all(
    writer: DepthWriter, uris: list[str], stems: dict[str, str], listener: Listener
) -> tuple[list[DepthRecord], int]:
    counted, done, failed = _Counted(Progress(files=len(uris)), listener), [], 0
    for uri in uris:
        before = 0
        try:
            record: DepthRecord | None = None
            for step in writer.write(uri, stems[uri]):
                record = step.record
                counted.tell(uri, step.frames, record.frames, before)
                before = record.frames
        except ClipError as error:
            failed += 1
            counted.now = replace(counted.now, files_failed=failed, clips_failed=failed)
            counted.tell(uri, 0, 0, 0, str(error))
            continue
        if record is not None:
            done.append(record)
            counted.now = replace(counted.now, files_done=len(done), clips_done=len(done))
            counted.tell(uri, record.frames, record.frames, before, _sentence(record))
    return done, failed


def _sentence(record: DepthRecord) -> str:
    sure = "" if record.confidence is None else f", confidence {record.confidence:.2f}"
    return f"{record.source}: {record.frames} frame{'s' if record.frames != 1 else ''} in {record.output}{sure}"
