"""The page of a dataset of training pairs: verdicts, what was filtered out, hole share, shards, speed and cost."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from spatialdreamer_core.pairs.manifest import PAIRS, STAGES
from spatialdreamer_core.report import summary
from spatialdreamer_core.report.clips import Clips, Row, counts, known, plain
from spatialdreamer_core.report.page import render, short_names, speed_plot, write_page
from spatialdreamer_core.report.plots import spread_plot
from spatialdreamer_core.report.summary import count, count_and_percent, duration, plural, shares
from spatialdreamer_core.report.tables import MOST_CLIPS, MOST_FILES, Column, neediest, table

VERDICTS = ("train", "review", "reject")
COLUMNS = (
    *("source_uri", "clip_id", "shot", "start_frame", "start_s", "end_s", "frames", "width", "height", "split"),
    *("status", "reason", "message", "verdict", "verdict_reasons", "mode", "shard", "file", "bytes", "work_key"),
    *("depth_name", "depth_digest", "code_version", "schema_version", "run_id", "host", "peak_memory_mb", "fps"),
    *("total_s", *(f"{stage}_s" for stage in STAGES), "started_at", "ended_at"),
    *("hole_share", "cycle_psnr_db", "mask_stability", "flow_confidence", "deviation_strength", "depth_flicker"),
    *("motion_px", "disparity_pct"),
)
"""What the page reads of the manifest."""


def write_pairs_report(rows: Iterable[Row] | pa.Table, path: str | Path, *, title: str = "Training pairs") -> None:
    """Write the page as one HTML file that appears whole or not at all; see ``render_pairs_report``."""
    write_page(render_pairs_report(rows, title=title), path)


def render_pairs_report(rows: Iterable[Row] | pa.Table, *, title: str = "Training pairs") -> str:
    """Make the page; the same rows give the same text.

    Args:
        rows: Of the manifest of pairs, or a table with at least ``COLUMNS``.
        title: Head of the page.

    Raises:
        ValueError: If a row is none of that manifest.
    """
    clips = Clips.of(rows if isinstance(rows, pa.Table) else PAIRS.from_rows(rows), order="start_frame")
    names = short_names(clips.uris)
    done = clips.only(clips.done)
    plots = [
        ("Holes", "Pairs by masked share, %", spread_plot(100 * done.real("hole_share"), "Pairs by holes", "%")),
        (
            "There and back",
            "Pairs by PSNR of rendering to the other view and back, dB",
            spread_plot(done.real("cycle_psnr_db"), "Pairs by PSNR there and back", "dB"),
        ),
        (
            "Steadiness",
            "Pairs by how well masks fit from frame to frame, 0 to 1",
            spread_plot(done.real("mask_stability"), "Pairs by mask stability", "share"),
        ),
        (
            "Motion",
            "Clips by motion, pixels a frame at a width of 512, also those filtered out",
            spread_plot(clips.real("motion_px"), "Clips by motion", "px"),
        ),
        ("Speed", "Pairs by frames per second of the worker that made them", speed_plot(done)),
    ]
    bars = [
        ("Verdicts", "Pairs by what they are good for", _tally(done, "verdict")),
        ("Why not train", "Pairs for review and rejected ones, by reason", _tally(done, "verdict_reasons")),
        (
            "Filtered out",
            "Clips that were not made into pairs, by reason",
            _tally(clips.only(clips.is_("status", "filtered")), "reason"),
        ),
        ("Where the time goes", "Worker time by stage", summary.stage_bars(clips, STAGES)),
    ]
    return render(
        title=title,
        headline=_headline(clips, done),
        tiles=_tiles(clips, done),
        failures=summary.failures(clips, names),
        plots=plots,
        bars=bars,
        hosts=summary.hosts(clips),
        worst=[],
        gallery=[],
        settings=summary.settings(clips),
        tables={"shards": _shard_table(done), "files": _file_table(clips), "clips": _clip_table(clips)},
        names=names,
        footer="A picture of a sample: spatialdreamer pairs show OUTPUT CLIP.",
    )


def _tally(clips: Clips, name: str) -> list[tuple[str, float, str]]:
    """Rows by word of a column that lists words with commas; a row without any does not count."""
    codes, words = clips.words(name)
    times = np.bincount(codes, minlength=len(words)) if len(codes) else np.zeros(len(words), np.int64)
    found: dict[str, float] = {}
    for words_of_row, often in zip(words, times.tolist(), strict=True):
        for word in (words_of_row or "").split(","):
            if often and word.strip():
                found[word.strip()] = found.get(word.strip(), 0) + often
    return shares(found, count_and_percent) if found else []


def _headline(clips: Clips, done: Clips) -> dict[str, str]:
    if not len(clips):
        return {"kind": "none", "text": "No pair has been planned yet"}
    train, failed = int(done.is_("verdict", "train").sum()), int(clips.failed.sum())
    text = f"{plural(len(done), 'pair')} made, {count(train)} of them to train on"
    if failed:
        return {"kind": "unsafe", "text": f"{text}; {plural(failed, 'clip')} failed"}
    return {"kind": "safe", "text": text}


def _tiles(clips: Clips, done: Clips) -> list[tuple[str, str, str]]:
    filtered, failed = int(clips.is_("status", "filtered").sum()), int(clips.failed.sum())
    frames, work_s = float(np.nansum(done.real("frames"))), float(np.nansum(done.real("total_s")))
    size, holes = float(np.nansum(done.real("bytes"))), known(done.real("hole_share"))
    shards = {word for word in done.words("shard")[1] if word}
    verdict = {word: int(done.is_("verdict", word).sum()) for word in VERDICTS}
    found = [
        ("Files", count(len(clips.uris)), ""),
        ("Clips", count(len(clips)), f"{count(filtered)} filtered out, {count(failed)} failed"),
        ("Pairs", count(len(done)), f"{count(int(frames))} frames"),
        ("To train on", count(verdict["train"]), f"{verdict['review']:,} to review, {verdict['reject']:,} rejected"),
        ("Shards", count(len(shards)), f"{size / 1e9:,.2f} GB"),
    ]
    if len(holes):
        found.append(("Holes", f"{100 * np.median(holes):.1f} %", "median masked share"))
    if (wall := summary.wall_s(done)) is not None:
        found.append(("Wall time", duration(wall), f"{frames / wall:,.1f} frames/s" if wall else ""))
    if work_s:
        found.append(("Worker time", duration(work_s), f"{frames / work_s:,.1f} frames/s per worker"))
    return found


def _clip_table(clips: Clips) -> dict[str, Any]:
    kept = neediest(clips.real("cycle_psnr_db"), clips.failed, MOST_CLIPS)
    shown = clips.only(kept)
    real = shown.real
    why = [
        reason or reasons or ""
        for reason, reasons in zip(shown.texts("reason"), shown.texts("verdict_reasons"), strict=True)
    ]
    columns = [
        Column("File", "name", "", shown.source.tolist()),
        Column("Clip", "text", "key of the sample", [text or "" for text in shown.texts("clip_id")]),
        Column("Shot", "int", "", counts(real("shot"))),
        Column("Start", "time", "", plain(real("start_s"))),
        Column("Frames", "int", "", counts(real("frames"))),
        Column("Status", "status", "", shown.texts("status")),
        Column("Verdict", "status", "", shown.texts("verdict")),
        Column("For", "text", "why it is not to train on", why),
        Column("Mode", "status", "", shown.texts("mode")),
        Column("Split", "status", "", shown.texts("split")),
        Column("Holes", "f2", "masked share, %", plain(real("hole_share"), scale=100)),
        Column("Range", "f2", "disparity from farthest to nearest, % of the width", plain(real("disparity_pct"))),
        Column("Back", "f1", "PSNR there and back, dB", plain(real("cycle_psnr_db"), 1)),
        Column("Steady", "f2", "masks from frame to frame, 0 to 1", plain(real("mask_stability"))),
        Column("Flow", "f2", "share of pixels whose flow comes back", plain(real("flow_confidence"))),
        Column("Motion", "f1", "pixels a frame at a width of 512", plain(real("motion_px"), 1)),
        Column("fps", "f1", "frames per second of this worker", plain(real("fps"), 1)),
        Column("Shard", "text", "", [text or "" for text in shown.texts("shard")]),
    ]
    return table(columns, len(clips))


def _file_table(clips: Clips) -> dict[str, Any]:
    def per_file(which: Any) -> Any:
        return clips.per_file(which.astype(np.float64), np.add)

    done, failed = per_file(clips.done), per_file(clips.failed)
    train = per_file(clips.done & clips.is_("verdict", "train"))
    kept = neediest(train, failed > 0, MOST_FILES)
    frames = clips.per_file(np.where(clips.done, clips.real("frames"), np.nan), np.add)
    columns = [
        Column("File", "name", "", kept.tolist()),
        Column("Clips", "int", "", counts(clips.per_file(np.ones(len(clips)), np.add)[kept])),
        Column("Pairs", "int", "", counts(done[kept])),
        Column("Train", "int", "to train on", counts(train[kept])),
        Column("Filtered", "int", "", counts(per_file(clips.is_("status", "filtered"))[kept])),
        Column("Failed", "int", "", counts(failed[kept])),
        Column("Frames", "int", "of its pairs", counts(frames[kept])),
    ]
    return table(columns, len(clips.uris))


def _shard_table(done: Clips) -> dict[str, Any]:
    """Shards by name: what is in them, and how large they are."""
    codes, words = done.words("shard")
    used = sorted((word, code) for code, word in enumerate(words) if word)

    def total(values: Any) -> Any:
        return np.bincount(codes, np.nan_to_num(values), minlength=len(words)) if len(codes) else np.zeros(len(words))

    pairs, train = total(np.ones(len(done))), total(done.is_("verdict", "train").astype(np.float64))
    frames, size = total(done.real("frames")), total(done.real("bytes"))
    holes = total(done.real("hole_share"))
    at = np.array([code for _, code in used[:MOST_FILES]], np.int64)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_holes = np.where(pairs > 0, holes / pairs, np.nan)
    columns = [
        Column("Shard", "text", "", [word for word, _ in used[:MOST_FILES]]),
        Column("Pairs", "int", "", counts(pairs[at])),
        Column("Train", "int", "to train on", counts(train[at])),
        Column("Frames", "int", "", counts(frames[at])),
        Column("MB", "f1", "of its samples", plain(size[at], 1, scale=1e-6)),
        Column("Holes", "f2", "masked share, mean, %", plain(mean_holes[at], scale=100)),
    ]
    return table(columns, len(used))
