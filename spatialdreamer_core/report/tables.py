"""The page's two tables, of clips and of files, column by column as its script reads them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spatialdreamer_core.report.clips import Clips, Indices, counts, mean_of_runs, median_of_runs, plain
from spatialdreamer_core.report.summary import notes_of_files

MOST_CLIPS = 20_000
"""A page with more rows is heavy to open; a larger library shows those that most need a look."""
MOST_FILES = 5_000


@dataclass(frozen=True, slots=True)
class Column:
    """A column of one of the page's tables.

    Attributes:
        label: Its head.
        kind: How it is shown and sorted: ``name``, ``text``, ``time``, ``status``, ``int``, ``score`` or ``f<digits>``.
        hint: What it means.
        values: One for each row; of a ``name``, the number of the file.
    """

    label: str
    kind: str
    hint: str
    values: Sequence[Any]


def table(columns: Sequence[Column], of: int) -> dict[str, Any]:
    """As plain data; ``of`` is how many rows there would be if none were left out."""
    plain_columns = [[column.label, column.kind, column.hint, list(column.values)] for column in columns]
    return {"columns": plain_columns, "rows": len(columns[0].values), "of": of}


def clip_table(clips: Clips) -> dict[str, Any]:
    """Every clip, or the ``MOST_CLIPS`` that most need a look."""
    kept = neediest(clips.real("comfort_score"), ~clips.done, MOST_CLIPS)
    shown = clips.only(kept)
    failed = ~shown.done
    verdicts, flags, reasons, gates, crossed = (
        shown.texts(name) for name in ("comfort_verdict", "comfort_flags", "reason", "gate", "gate_reasons")
    )
    status = ["failed" if bad else verdict or "done" for bad, verdict in zip(failed, verdicts, strict=True)]
    why = [
        (reason or "failed") if bad else ", ".join(dict.fromkeys([*(limits or ()), *(flag or ())]))
        for bad, reason, flag, limits in zip(failed, reasons, flags, crossed, strict=True)
    ]
    real = shown.real
    columns = [
        Column("File", "name", "", shown.source.tolist()),
        Column("Shot", "int", "number of the shot in its file", counts(real("shot"))),
        Column("Clip", "int", "number of the segment in its file", counts(real("segment"))),
        Column("Start", "time", "", plain(real("start_s"))),
        Column("Length", "f1", "seconds", plain(shown.length_s)),
        Column("Status", "status", "", status),
        Column("Gate", "status", "by the limits in the settings of the run", gates),
        Column("Comfort", "score", "0 to 100", plain(real("comfort_score"), 1)),
        Column("For", "text", "limits crossed and what comfort was lost for, or why it failed", why),
        Column("Take", "int", "2 where the shot failed the gate and was made again, less deep", counts(real("take"))),
        Column("Strength", "f2", "disparity range of the shot, % of the width", plain(real("strength_pct"))),
        Column("Far", "f2", "1st percentile of disparity, % of the width", plain(real("disparity_p1_pct"))),
        Column("Middle", "f2", "median of disparity, % of the width", plain(real("disparity_p50_pct"))),
        Column(
            "Near",
            "f2",
            "99th percentile of disparity, % of the width; positive is in front of the screen",
            plain(real("disparity_p99_pct")),
        ),
        Column("Cut", "f2", "jump of depth from the shot before, % of the width", plain(real("cut_jump_pct"))),
        Column("Holes", "f2", "painted share of the made eye, mean, %", plain(real("hole_share_mean"), scale=100)),
        Column("Most", "f2", "painted share of the made eye, largest, %", plain(real("hole_share_max"), scale=100)),
        Column("Refined", "f2", "painted by a network, mean, %", plain(real("refined_share"), scale=100)),
        Column(
            "Flicker",
            "f2",
            "largest frame-to-frame step of the eyes' difference in brightness, 8-bit levels",
            plain(real("luma_step_max")),
        ),
        Column(
            "Steady",
            "f2",
            "warp error of the made eye over that of the source; 1 is as steady as the source",
            plain(real("e_warp_ratio")),
        ),
        Column("Sharp", "f2", "sharpness of the made eye over that of the source", plain(real("sharpness_ratio"))),
        Column("fps", "f1", "frames per second of this worker", plain(real("fps"), 1)),
    ]
    return table(columns, len(clips))


def file_table(clips: Clips) -> dict[str, Any]:
    """Every file, or the ``MOST_FILES`` that most need a look."""
    done = clips.done
    each = clips.per_file(np.ones(len(clips)), np.add)
    failed = clips.per_file((~done).astype(np.float64), np.add)

    def real(name: str) -> Any:
        return np.where(done, clips.real(name), np.nan)

    frames, work_s = clips.per_file(real("frames"), np.add), clips.per_file(real("total_s"), np.add)
    length_s = clips.per_file(np.where(done, clips.length_s, np.nan), np.add)
    score = real("comfort_score")
    lowest = clips.per_file(score, np.fmin)
    with np.errstate(invalid="ignore", divide="ignore"):
        fps = np.where(work_s > 0, frames / work_s, np.nan)
    kept = neediest(lowest, failed > 0, MOST_FILES)
    status = np.where(failed == each, "failed", np.where(failed > 0, "partly failed", "done"))
    notes = notes_of_files(clips)
    columns = [
        Column("File", "name", "", kept.tolist()),
        Column("Status", "status", "", status[kept].tolist()),
        Column("Clips", "int", "", counts(each[kept])),
        Column("Failed", "int", "", counts(failed[kept])),
        Column("Length", "time", "", plain(length_s[kept])),
        Column("Frames", "int", "", counts(frames[kept])),
        Column(
            "Comfort", "score", "median of its clips", plain(median_of_runs(score, clips.starts, clips.source)[kept], 1)
        ),
        Column("Lowest", "score", "of its clips", plain(lowest[kept], 1)),
        Column(
            "Far",
            "f2",
            "farthest 1st percentile of disparity, % of the width",
            plain(clips.per_file(real("disparity_p1_pct"), np.fmin)[kept]),
        ),
        Column(
            "Near",
            "f2",
            "nearest 99th percentile of disparity, % of the width",
            plain(clips.per_file(real("disparity_p99_pct"), np.fmax)[kept]),
        ),
        Column(
            "Holes",
            "f2",
            "painted share of the made eye, mean, %",
            plain(mean_of_runs(real("hole_share_mean"), clips.starts)[kept], scale=100),
        ),
        Column("fps", "f1", "frames per second of one worker", plain(fps[kept], 1)),
        Column("Notes", "text", "", [notes[number] for number in kept]),
    ]
    return table(columns, len(clips.uris))


def neediest(score: Any, failed: Any, most: int) -> Indices:
    """The rows to keep, in their order: failed ones before those of the lowest score."""
    if len(score) <= most:
        return np.arange(len(score))
    need = np.where(failed, -1.0, np.where(np.isnan(score), 101.0, score))
    return np.sort(np.argsort(need, kind="stable")[:most])
