"""The report: one HTML file that shows what a run did, without a server and without asking the network anything."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from spatialdreamer_core.metrics.comfort import BORDERLINE_FROM, SAFE_FROM
from spatialdreamer_core.report import summary
from spatialdreamer_core.report.clips import Clips, Row
from spatialdreamer_core.report.pictures import MOST_SHEETS, SheetReader, Sheets, typical, worst
from spatialdreamer_core.report.plots import columns_over_time, comfort_plot, disparity_plot, hole_plot, spread_plot
from spatialdreamer_core.report.tables import clip_table, file_table

COLUMNS = (
    *("source_uri", "segment", "shot", "status", "reason", "message", "start_s", "end_s", "frames", "notes"),
    *("work_key", "settings", "depth_name", "depth_digest", "code_version", "schema_version", "run_id"),
    *("strength_pct", "comfort_score", "comfort_verdict", "comfort_flags", "cut_jump_pct", "sheet"),
    *("disparity_p1_pct", "disparity_p50_pct", "disparity_p99_pct", "hole_share_mean", "hole_share_max"),
    "refined_share",
    *("luma_step_max", "e_warp_ratio", "sharpness_ratio", "host", "peak_memory_mb", "fps", "total_s"),
    *(f"{stage}_s" for stage in summary.STAGES),
    *("started_at", "ended_at", "gate", "gate_reasons", "take"),
)
"""What the page reads of the manifest."""


def write_report(
    rows: Iterable[Row] | pa.Table, sheets: SheetReader, path: str | Path, *, title: str = "Stereo conversion"
) -> None:
    """Write the report as one HTML file that appears whole or not at all.

    Args:
        rows: Manifest rows, or a table with at least ``COLUMNS``.
        sheets: Gives contact sheets; those embedded are at most ``MOST_SHEETS``.
        path: Local file.
        title: Head of the page.
    """
    write_page(render_report(rows, sheets, title=title), path)


def write_page(text: str, path: str | Path) -> None:
    """Write a page as a local file that appears whole or not at all."""
    path = Path(path)
    scratch = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with scratch.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def render_report(rows: Iterable[Row] | pa.Table, sheets: SheetReader, *, title: str = "Stereo conversion") -> str:
    """Make the page; the same rows and sheets give the same text.

    Args:
        rows: Manifest rows, or a table with at least ``COLUMNS``; a missing key of a row is a null.
        sheets: Gives contact sheets; those embedded are at most ``MOST_SHEETS``.
        title: Head of the page.

    Raises:
        ValueError: If a row is no manifest row.
    """
    clips = Clips.of(rows)
    names = short_names(clips.uris)
    columns = columns_over_time(clips, names)
    done = clips.only(clips.done)
    shown = Sheets(clips, sheets, names)
    plots = [
        (
            "Depth",
            "Disparity, % of the width, over the video: 1st to 99th percentile, and the median",
            disparity_plot(columns),
        ),
        ("Holes", "Painted share of the made eye, %, over the video: mean, and the largest (pale)", hole_plot(columns)),
        ("Comfort", "Clips by score; 80 and more is safe, below 50 is not", comfort_plot(clips.real("comfort_score"))),
        (
            "Strength",
            "Clips by the disparity range of their shot, % of the width",
            spread_plot(done.real("strength_pct"), "Clips by strength", "strength"),
        ),
        ("Speed", "Clips by frames per second of the worker that made them", speed_plot(done)),
    ]
    return render(
        title=title,
        headline=summary.headline(clips),
        tiles=summary.tiles(clips),
        failures=summary.failures(clips, names),
        plots=plots,
        bars=[("Where the time goes", "Worker time by stage", summary.stage_bars(clips, summary.STAGES))],
        hosts=summary.hosts(clips),
        worst=[(head, shown.take(picked, tell)) for head, picked, tell in worst(clips)],
        gallery=shown.take(typical(clips), most=MOST_SHEETS),
        settings=summary.settings(clips),
        tables={"files": file_table(clips), "clips": clip_table(clips)},
        names=names,
        footer="Limits and formula of the comfort score: see the documentation of metrics/comfort.py.",
    )


def speed_plot(done: Clips) -> Markup | None:
    """How fast the clips that were made were made."""
    return spread_plot(done.real("fps"), "Clips by frames per second of their worker", "frames/s")


def render(
    *,
    tables: dict[str, Any],
    names: dict[str, str],
    plots: Sequence[tuple[str, str, Markup | None]],
    bars: Sequence[tuple[str, str, Sequence[tuple[str, float, str]]]],
    **parts: Any,
) -> str:
    """Put a page together.

    Args:
        tables: By the id and head of their section; see ``tables.table``.
        names: How to call each file.
        plots: (head, what it shows, drawing); those without drawing are left out.
        bars: (head, what they show, rows of label, share and words); those without rows are left out.
        parts: The rest of what ``template.html`` names.
    """
    environment = Environment(
        loader=PackageLoader("spatialdreamer_core.report", "."),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["thousands"] = summary.count
    used = _used_names(tables, names)
    return environment.get_template("template.html").render(
        tables=list(tables),
        plots=[plot for plot in plots if plot[2] is not None],
        bars=[bar for bar in bars if bar[2]],
        data=_json(used | {"tables": tables, "safe": SAFE_FROM, "borderline": BORDERLINE_FROM}),
        **parts,
    )


def _used_names(tables: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """Names and addresses of the files that the tables show, and their numbers changed to places in those."""
    lists = [table["columns"][0] for table in tables.values() if table["columns"][0][1] == "name"]
    used = sorted({number for column in lists for number in column[3]})
    place = {number: at for at, number in enumerate(used)}
    uris = list(names)
    for column in lists:
        column[3] = [place[number] for number in column[3]]
    return {"names": [names[uris[number]] for number in used], "uris": [uris[number] for number in used]}


def short_names(uris: Iterable[str]) -> dict[str, str]:
    """The last part of each path; where two files share it, with the folder before."""
    tails = {uri: uri.rstrip("/").replace("\\", "/").rsplit("/", 2) for uri in uris}
    often = Counter(tail[-1] for tail in tails.values())
    return {uri: tail[-1] if often[tail[-1]] == 1 else "/".join(tail[-2:]) for uri, tail in tails.items()}


def _json(value: Any) -> Markup:
    """JSON that cannot end the script element that holds it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))
