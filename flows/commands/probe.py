"""``spatialdreamer probe``: what is in a file, its shots, and what convert would do with it."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from flows.commands.exits import SOME_FAILED, told
from flows.commands.walled import walled
from flows.progress import duration
from spatialdreamer_core.config import ConvertConfig
from spatialdreamer_core.errors import ClipError
from spatialdreamer_core.refine.choose import least_hole_share
from spatialdreamer_core.refine.protocol import LEAST_HOLE_PX
from spatialdreamer_core.refine.registry import found_name
from spatialdreamer_core.video.decode import working_format
from spatialdreamer_core.video.encode import resolve_codec
from spatialdreamer_core.video.layouts import packed_size
from spatialdreamer_core.video.media import list_sources
from spatialdreamer_core.video.names import output_name
from spatialdreamer_core.video.probe import probe as probe_source
from spatialdreamer_core.video.scan import scan
from spatialdreamer_core.video.segments import plan_segments
from spatialdreamer_core.video.source import SourceInfo, SourceScan


def probe(
    sources: Annotated[list[str], typer.Argument(help="Files, folders, globs, fsspec URLs, or @list.txt.")],
    shots: Annotated[bool, typer.Option(help="Look for shots: decodes every picture.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line per source on stdout.")] = False,
) -> None:
    """Tell what is in a video, where its shots begin, and what convert would make of it."""
    console, failed = Console(), False
    with told():
        for uri in list_sources(sources):
            try:
                info, scanned = walled(look, uri, shots)
            except ClipError as error:
                failed = True
                Console(stderr=True).print(str(error), markup=False, highlight=False, soft_wrap=True)
                continue
            if as_json:
                typer.echo(json.dumps(as_plain(info, scanned), default=str))
            else:
                _show(info, scanned, console)
    if failed:
        raise typer.Exit(SOME_FAILED)


def look(uri: str, shots: bool) -> tuple[SourceInfo, SourceScan | None]:
    """Probe a source and, if asked, scan it."""
    info = probe_source(uri)
    return info, scan(uri, info) if shots else None


def as_plain(info: SourceInfo, scanned: SourceScan | None) -> dict[str, Any]:
    """All of it as plain data."""
    plain = asdict(info) | {"refine": refinement(ConvertConfig())}
    if scanned is not None:
        times = (scanned.pts[scanned.shot_starts] - scanned.pts[0]) * float(info.video.time_base)
        plain |= {
            "frames": len(scanned.pts),
            "shot_starts": scanned.shot_starts.tolist(),
            "shot_starts_s": times.tolist(),
            "decode_errors": scanned.decode_errors,
            "letterbox": scanned.letterbox,
            "scan_notes": scanned.notes,
        }
    return plain


def refinement(config: ConvertConfig) -> str:
    """What convert would have painted by a network."""
    name = found_name(config.refine)
    if name == "none":
        return "nothing: no weights in this package"
    earns = least_hole_share(config.refine, config.quality)
    return (
        f"by {name}: shots that are expected to have {100 * earns:g} % of the picture or more in holes at least "
        f"{LEAST_HOLE_PX} pixels wide; with --quality best every shot"
    )


def _show(info: SourceInfo, scanned: SourceScan | None, console: Console) -> None:
    video, config = info.video, ConvertConfig()
    codec = resolve_codec(config.encode.codec, video.bits)
    size = packed_size(
        video.width, video.height, config.encode.layout, config.encode.max_width, working_format(info, codec)
    )
    table = Table(title=info.uri, title_justify="left", show_header=False, box=None)
    rotated = f", rotated {video.rotation}" if video.rotation else ""
    rows = [
        ("container", f"{info.container}, {info.bytes / 1e6:.1f} MB, {duration(info.duration_s)}"),
        ("identity", info.source_id),
        (
            "video",
            f"stream {video.index}: {video.codec} {video.width}x{video.height}{rotated}, {video.pixel_format}, "
            f"{float(video.average_rate):.3f} frames/s, sample aspect {video.sample_aspect}",
        ),
        *(
            (stream.kind, f"stream {stream.index}: {stream.codec} {stream.language} {stream.title}".rstrip())
            for stream in info.others
        ),
        ("chapters", str(info.chapters)),
    ]
    if scanned is not None:
        segments = plan_segments(
            scanned.shot_starts, len(scanned.pts), config.segment_frames, config.depth.key_interval
        )
        starts = (scanned.pts[scanned.shot_starts] - scanned.pts[0]) * float(video.time_base)
        shown = ", ".join(f"{second:.2f}" for second in starts[:20])
        more = f", ... {len(starts) - 20} more" if len(starts) > 20 else ""
        rows += [
            ("frames", f"{len(scanned.pts)}, {scanned.decode_errors} packets refused by the decoder"),
            ("shots", f"{len(starts)}, at seconds {shown}{more}"),
            ("segments", str(len(segments))),
        ]
    name = output_name(Path(info.uri).stem, config.encode.layout, config.encode.container)
    rows += [
        ("would become", f"{name}: {codec} {size.width}x{size.height}"),
        ("would be refined", refinement(config)),
        *(("note", note) for note in (*info.notes, *(scanned.notes if scanned else ()))),
    ]
    for label, text in rows:
        table.add_row(label, text)
    console.print(table, soft_wrap=True)
