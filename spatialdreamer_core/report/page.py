"""The report: one HTML file that shows what a run did, without a server and without asking the network anything."""

import base64
import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

import pyarrow as pa
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from spatialdreamer_core.metrics.comfort import BORDERLINE_FROM, CUT_JUMP_PCT, SAFE_FROM
from spatialdreamer_core.report.plots import (
    columns_over_time,
    comfort_plot,
    disparity_plot,
    hole_plot,
    stage_bars,
    timecode,
)
from spatialdreamer_core.store.manifest import rows_to_table

Row = Mapping[str, Any]
SheetReader = Callable[[Row], bytes | None]
"""Gives the contact sheet (JPEG) of a row, or None if there is none."""

MOST_SHEETS = 60
"""More pictures would make the page too heavy for a phone."""
_WORST_OF_EACH = 6
_MESSAGES_SHOWN = 8
STAGES = ("decode", "shrink", "depth", "flow", "warp", "fill", "metrics", "encode")

ADVICE: dict[str, tuple[str, str]] = {
    "unreadable": ("Cannot be opened", "Not a media file, cut off, or encrypted. Play it; if it plays, remux it."),
    "no_video": ("No video in it", "Sound only or an empty stream. Leave it out."),
    "decode_failed": (
        "Cannot be decoded",
        "Damaged or an unknown codec. Copy it again from its source, or transcode it.",
    ),
    "size_changed": ("The picture changes its size", "Cut it where the size changes, or scale it to one size first."),
    "depth_failed": ("No depth", "Imported depth must match the file frame by frame; or try another depth model."),
    "encode_failed": ("Cannot be encoded", "This codec, container and size do not go together. Try another of them."),
    "bad_clip": ("Cannot be converted", "See the message."),
    "worker_died": (
        "Crashed its worker, also alone",
        "Often too little memory. Try fewer workers; report it otherwise.",
    ),
    "hung": ("Never came to an end", "Try it alone; a damaged file or a stalled disk are the usual causes."),
    "disk_full": ("The disk is full", "Free some room and run the same command again; it will go on."),
    "store_failed": ("The output cannot be written", "Check permissions and the connection, then run again."),
    "bad_settings": ("The settings contradict", "See the message."),
    "stopped": ("Stopped early", "Too much failed in a row. Mend the cause and run the same command again."),
    "unexpected": ("An error nobody planned for", "Please report it with the message."),
}
"""What a reason code means and what to do, for people."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of one of the page's tables, as the script reads it.

    Attributes:
        label: Its head.
        kind: How it is shown and sorted: ``name``, ``text``, ``time``, ``status``, ``int``, ``score`` or ``f<digits>``.
        hint: What it means.
    """

    label: str
    kind: str
    hint: str = ""


_CLIP_COLUMNS = (
    Column("File", "name"),
    Column("Shot", "int", "number of the shot in its file"),
    Column("Clip", "int", "number of the segment in its file"),
    Column("Start", "time"),
    Column("Length", "f1", "seconds"),
    Column("Status", "status"),
    Column("Comfort", "score", "0 to 100"),
    Column("For", "text", "what comfort was lost for, or why it failed"),
    Column("Far", "f2", "1st percentile of disparity, % of the width"),
    Column("Middle", "f2", "median of disparity, % of the width"),
    Column("Near", "f2", "99th percentile of disparity, % of the width; positive is in front of the screen"),
    Column("Cut", "f2", "jump of depth from the shot before, % of the width"),
    Column("Holes", "f2", "painted share of the made eye, mean, %"),
    Column("Most", "f2", "painted share of the made eye, largest, %"),
    Column("Flicker", "f2", "largest frame-to-frame step of the eyes' difference in brightness, 8-bit levels"),
    Column("Steady", "f2", "warp error of the made eye over that of the source; 1 is as steady as the source"),
    Column("Sharp", "f2", "sharpness of the made eye over that of the source"),
    Column("fps", "f1", "frames per second of this worker"),
)
_FILE_COLUMNS = (
    Column("File", "name"),
    Column("Status", "status"),
    Column("Clips", "int"),
    Column("Failed", "int"),
    Column("Length", "time"),
    Column("Frames", "int"),
    Column("Comfort", "score", "median of its clips"),
    Column("Lowest", "score", "of its clips"),
    Column("Far", "f2", "farthest 1st percentile of disparity, % of the width"),
    Column("Near", "f2", "nearest 99th percentile of disparity, % of the width"),
    Column("Holes", "f2", "painted share of the made eye, mean, %"),
    Column("fps", "f1", "frames per second of one worker"),
    Column("Notes", "text"),
)


def write_report(
    rows: Iterable[Row] | pa.Table, sheets: SheetReader, path: str | Path, *, title: str = "Stereo conversion"
) -> None:
    """Write the report as one HTML file that appears whole or not at all.

    Args:
        rows: Manifest rows, or the table.
        sheets: Gives contact sheets; asked for at most ``MOST_SHEETS`` rows.
        path: Local file.
        title: Head of the page.
    """
    path = Path(path)
    scratch = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with scratch.open("w", encoding="utf-8", newline="\n") as file:
            file.write(render_report(rows, sheets, title=title))
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def render_report(rows: Iterable[Row] | pa.Table, sheets: SheetReader, *, title: str = "Stereo conversion") -> str:
    """Make the page; the same rows and sheets give the same text.

    Args:
        rows: Manifest rows, or the table; a missing key is a null.
        sheets: Gives contact sheets; asked for at most ``MOST_SHEETS`` rows.
        title: Head of the page.

    Raises:
        ValueError: If a row is no manifest row.
    """
    plain = (rows if isinstance(rows, pa.Table) else rows_to_table(rows)).to_pylist()
    plain.sort(key=lambda row: (row["source_uri"], row["segment"]))
    names = _short_names(row["source_uri"] for row in plain)
    columns = columns_over_time(plain, names)
    files = _by_file(plain)
    shown = _Sheets(sheets, names)
    environment = Environment(
        loader=PackageLoader("spatialdreamer_core.report", "."),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["thousands"] = _count
    return environment.get_template("template.html").render(
        title=title,
        headline=_headline(plain, files),
        tiles=_tiles(plain, files),
        failures=_failures(plain, names),
        disparity=disparity_plot(columns),
        holes=hole_plot(columns),
        comfort=comfort_plot(plain),
        stages=stage_bars(plain, STAGES),
        worst=[(head, shown.take(picked, tell)) for head, picked, tell in _worst(plain)],
        gallery=shown.take([_typical(clips) for clips in files.values()], most=MOST_SHEETS),
        settings=_settings(plain),
        data=_json(
            {
                "names": list(names.values()),
                "uris": list(names),
                "files": _table(
                    _FILE_COLUMNS, [_file_cells(number, clips) for number, clips in enumerate(files.values())]
                ),
                "clips": _table(_CLIP_COLUMNS, _clip_cells(plain, names)),
                "safe": SAFE_FROM,
                "borderline": BORDERLINE_FROM,
            }
        ),
    )


class _Sheets:
    """Embeds contact sheets, each row once, up to the page's limit."""

    def __init__(self, read: SheetReader, names: Mapping[str, str]) -> None:
        self._read, self._names = read, names
        self._left = MOST_SHEETS
        self._seen: set[tuple[str, int]] = set()

    def take(
        self, rows: Iterable[Row | None], tell: Callable[[Row], str] | None = None, most: int = _WORST_OF_EACH
    ) -> list[dict[str, Any]]:
        """Give up to ``most`` pictures with their captions; rows without one, or shown before, are passed over."""
        taken: list[dict[str, Any]] = []
        for row in rows:
            if len(taken) >= most or self._left == 0:
                break
            if row is None or (key := (row["source_uri"], row["segment"])) in self._seen:
                continue
            picture = self._read(row)
            self._seen.add(key)
            if not picture:
                continue
            self._left -= 1
            url = "data:image/jpeg;base64," + base64.b64encode(picture).decode("ascii")
            about = {"name": self._names[row["source_uri"]], "uri": row["source_uri"]}
            facts = [*_facts(row), *([told] if tell and (told := tell(row)) else [])]
            taken.append(about | {"url": url, "facts": facts, "flags": list(row["comfort_flags"] or ())})
        return taken


def _facts(row: Row) -> list[str]:
    facts = [] if row["start_s"] is None else [timecode(row["start_s"])]
    if row["comfort_score"] is not None:
        facts.append(f"comfort {row['comfort_score']:.0f}")
    if row["disparity_p99_pct"] is not None:
        facts.append(f"{row['disparity_p1_pct']:+.1f} to {row['disparity_p99_pct']:+.1f} %".replace("-", "\u2212"))
    return facts


def _worst(rows: Sequence[Row]) -> list[tuple[str, list[Row], Callable[[Row], str]]]:
    """The clips to look at first: what is wrong with them, which, and the figure that says so."""

    def top(name: str, at_least: float) -> list[Row]:
        known = [row for row in rows if row["status"] == "done" and (row[name] or 0.0) > at_least]
        return sorted(known, key=lambda row: -row[name])

    scored = [row for row in rows if row["comfort_score"] is not None and row["comfort_score"] < SAFE_FROM]
    groups: list[tuple[str, list[Row], Callable[[Row], str]]] = [
        ("Lowest comfort", sorted(scored, key=lambda row: row["comfort_score"]), lambda row: ""),
        (
            "Largest holes",
            top("hole_share_max", 0.05),
            lambda row: f"up to {100 * row['hole_share_max']:.1f} % painted",
        ),
        ("Brightness flicker", top("luma_step_max", 0.5), lambda row: f"step of {row['luma_step_max']:.1f} levels"),
        ("Less steady than the source", top("e_warp_ratio", 1.25), lambda row: f"{row['e_warp_ratio']:.2f} times"),
        ("Depth jumps at a cut", top("cut_jump_pct", CUT_JUMP_PCT), lambda row: f"by {row['cut_jump_pct']:.1f} %"),
    ]
    return [group for group in groups if group[1]]


def _typical(clips: Sequence[Row]) -> Row | None:
    """The middle one of a file's finished clips."""
    done = [row for row in clips if row["status"] == "done"]
    return done[len(done) // 2] if done else None


def _by_file(rows: Sequence[Row]) -> dict[str, list[Row]]:
    files: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        files[row["source_uri"]].append(row)
    return dict(files)


def _headline(rows: Sequence[Row], files: Mapping[str, Sequence[Row]]) -> dict[str, str]:
    failed = sum(row["status"] == "failed" for row in rows)
    if not rows:
        return {"kind": "none", "text": "Nothing has been converted yet"}
    if not failed:
        every = "The one clip is" if len(rows) == 1 else f"All {_count(len(rows))} clips are"
        return {"kind": "safe", "text": f"{every} done, of {_plural(len(files), 'file')}"}
    hit = sum(any(row["status"] == "failed" for row in clips) for clips in files.values())
    text = f"{_count(failed)} of {_plural(len(rows), 'clip')} failed, in {_count(hit)} of {_plural(len(files), 'file')}"
    return {"kind": "unsafe", "text": text}


def _tiles(rows: Sequence[Row], files: Mapping[str, Sequence[Row]]) -> list[tuple[str, str, str]]:
    """(label, figure, detail) of the head of the page."""
    done = [row for row in rows if row["status"] == "done"]
    frames = sum(row["frames"] or 0 for row in done)
    video_s = sum((row["end_s"] or 0.0) - (row["start_s"] or 0.0) for row in done)
    work_s = sum(row["total_s"] or 0.0 for row in done)
    scores = [row["comfort_score"] for row in done if row["comfort_score"] is not None]
    finished = sum(all(row["status"] == "done" for row in clips) for clips in files.values())
    tiles = [
        ("Files", _count(len(files)), f"{_count(finished)} finished"),
        ("Clips", _count(len(rows)), f"{_count(len(done))} done, {_count(len(rows) - len(done))} failed"),
        ("Video", _duration(video_s), _plural(frames, "frame")),
    ]
    if (wall_s := _wall_s(done)) is not None:
        tiles.append(("Wall time", _duration(wall_s), f"{frames / wall_s:,.1f} frames/s" if wall_s else ""))
    if work_s:
        tiles.append(("Worker time", _duration(work_s), f"{frames / work_s:,.1f} frames/s per worker"))
    if scores:
        safe = sum(score >= SAFE_FROM for score in scores)
        tiles.append(("Comfort", f"{median(scores):.0f}", f"median; {_percent(safe / len(scores))} of clips safe"))
    return tiles


def _wall_s(rows: Sequence[Row]) -> float | None:
    """Seconds during which any clip was worked on: pauses between runs do not count."""
    spans = sorted((row["started_at"], row["ended_at"]) for row in rows if row["started_at"] and row["ended_at"])
    if not spans:
        return None
    total, (start, end) = 0.0, spans[0]
    for begins, ends in spans[1:]:
        if begins > end:
            total += (end - start).total_seconds()
            start, end = begins, ends
        else:
            end = max(end, ends)
    return float(total + (end - start).total_seconds())


def _failures(rows: Sequence[Row], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Failed clips by reason, the most frequent first."""
    by_reason: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["status"] == "failed":
            by_reason[row["reason"] or "unexpected"].append(row)
    groups = []
    for reason, failed in sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0])):
        label, advice = ADVICE.get(reason, (reason.replace("_", " ").capitalize(), "See the message."))
        tellings = Counter((row["source_uri"], row["message"] or "no message") for row in failed)
        messages = [
            {"name": names[uri], "uri": uri, "text": text, "count": count}
            for (uri, text), count in list(tellings.items())[:_MESSAGES_SHOWN]
        ]
        more = len(tellings) - len(messages)
        groups.append(
            {"reason": reason, "label": label, "advice": advice, "count": len(failed)}
            | {"messages": messages, "more": more}
        )
    return groups


def _settings(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """What was asked for, each different combination once, with the number of clips."""
    keys = ("work_key", "settings", "depth_name", "depth_digest", "code_version", "schema_version")
    combinations = Counter(tuple(row[key] for key in keys) for row in rows)
    runs: dict[str | None, set[str]] = defaultdict(set)
    for row in rows:
        if row["run_id"]:
            runs[row["work_key"]].add(row["run_id"])
    found = []
    for values, clips in combinations.most_common(12):
        told = dict(zip(keys, values, strict=True))
        settings = _flat(told.pop("settings"))
        about = {key.replace("_", " "): value for key, value in told.items() if value}
        if runs[told["work_key"]]:
            about["runs"] = ", ".join(sorted(runs[told["work_key"]])[:6])
        found.append({"clips": clips, "about": about, "settings": settings})
    return found


def _flat(settings: str | None) -> dict[str, str]:
    """Settings as dotted names; text that is no JSON object is shown as it is."""
    try:
        nested = json.loads(settings or "{}")
    except ValueError:
        return {"settings": str(settings)}
    if not isinstance(nested, dict):
        return {"settings": str(settings)}
    flat: dict[str, str] = {}

    def visit(prefix: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                visit(f"{prefix}.{key}" if prefix else str(key), inner)
        else:
            flat[prefix] = "automatic" if value is None else str(value)

    visit("", nested)
    return flat


def _clip_cells(rows: Sequence[Row], names: Mapping[str, str]) -> list[list[Any]]:
    order = {uri: number for number, uri in enumerate(names)}
    cells = []
    for row in rows:
        length = None if row["start_s"] is None or row["end_s"] is None else row["end_s"] - row["start_s"]
        failed = row["status"] == "failed"
        why = (row["reason"] or "failed") if failed else ", ".join(row["comfort_flags"] or ())
        cells.append([
            order[row["source_uri"]],
            *(None if row[key] is None or row[key] < 0 else row[key] for key in ("shot", "segment")),
            _short(row["start_s"]),
            _short(length),
            "failed" if failed else row["comfort_verdict"] or "done",
            _short(row["comfort_score"], 1),
            why,
            *(_short(row[f"disparity_{p}_pct"]) for p in ("p1", "p50", "p99")),
            _short(row["cut_jump_pct"]),
            *(_short(row[key], scale=100) for key in ("hole_share_mean", "hole_share_max")),
            *(_short(row[key]) for key in ("luma_step_max", "e_warp_ratio", "sharpness_ratio")),
            _short(row["fps"], 1),
        ])  # fmt: skip
    return cells


def _file_cells(number: int, clips: Sequence[Row]) -> list[Any]:
    done = [row for row in clips if row["status"] == "done"]
    failed = len(clips) - len(done)

    def known(name: str) -> list[float]:
        return [row[name] for row in done if row[name] is not None]

    scores, holes = known("comfort_score"), known("hole_share_mean")
    frames, work_s = sum(known("frames")), sum(known("total_s"))
    notes = dict.fromkeys(note for row in clips for note in row["notes"] or ())
    return [
        number,
        "failed" if failed == len(clips) else "partly failed" if failed else "done",
        len(clips),
        failed,
        _short(sum(known("end_s")) - sum(known("start_s"))),
        frames,
        _short(median(scores), 1) if scores else None,
        _short(min(scores), 1) if scores else None,
        _short(min(known("disparity_p1_pct"), default=None)),
        _short(max(known("disparity_p99_pct"), default=None)),
        _short(sum(holes) / len(holes), scale=100) if holes else None,
        _short(frames / work_s, 1) if work_s else None,
        "; ".join(notes),
    ]


def _table(columns: Sequence[Column], cells: Sequence[Sequence[Any]]) -> dict[str, Any]:
    return {"columns": [[c.label, c.kind, c.hint] for c in columns], "rows": cells}


def _short_names(uris: Iterable[str]) -> dict[str, str]:
    """The last part of each path; where two files share it, with the folder before."""
    unique = list(dict.fromkeys(uris))
    tails = {uri: uri.rstrip("/").replace("\\", "/").rsplit("/", 2) for uri in unique}
    often = Counter(tail[-1] for tail in tails.values())
    return {uri: tail[-1] if often[tail[-1]] == 1 else "/".join(tail[-2:]) for uri, tail in tails.items()}


def _json(value: Any) -> Markup:
    """JSON that cannot end the script element that holds it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


def _short(value: float | None, digits: int = 3, *, scale: float = 1.0) -> float | None:
    return None if value is None else round(value * scale, digits)


def _count(value: int) -> str:
    return f"{value:,}"


def _plural(value: int, noun: str) -> str:
    return f"{value:,} {noun}" + ("" if value == 1 else "s")


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.1f} h"
