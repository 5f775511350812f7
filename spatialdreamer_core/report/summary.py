"""What the page says in words and numbers: the headline, the tiles, the failures, the machines, the settings."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spatialdreamer_core.metrics.comfort import SAFE_FROM
from spatialdreamer_core.report.advice import advice_on
from spatialdreamer_core.report.clips import Clips, Indices, known

STAGES = ("decode", "shrink", "depth", "flow", "warp", "fill", "refine", "metrics", "encode")
_MESSAGES_SHOWN = 8
_SETTINGS_SHOWN = 12
_HOSTS_SHOWN = 20


def headline(clips: Clips) -> dict[str, str]:
    """Say in a sentence how it went."""
    failed = int(np.sum(~clips.done))
    if not len(clips):
        return {"kind": "none", "text": "Nothing has been converted yet"}
    if not failed:
        every = "The one clip is" if len(clips) == 1 else f"All {count(len(clips))} clips are"
        return {"kind": "safe", "text": f"{every} done, of {plural(len(clips.uris), 'file')}"}
    hit = len(np.unique(clips.source[~clips.done]))
    text = (
        f"{count(failed)} of {plural(len(clips), 'clip')} failed, in {count(hit)} of {plural(len(clips.uris), 'file')}"
    )
    return {"kind": "unsafe", "text": text}


def tiles(clips: Clips) -> list[tuple[str, str, str]]:
    """(label, figure, detail) of the head of the page."""
    done = clips.only(clips.done)
    frames = int(np.nansum(done.real("frames")))
    video_s = float(np.nansum(done.length_s))
    work_s = float(np.nansum(done.real("total_s")))
    scores = known(done.real("comfort_score"))
    unfinished = len(np.unique(clips.source[~clips.done]))
    found = [
        ("Files", count(len(clips.uris)), f"{count(len(clips.uris) - unfinished)} finished"),
        ("Clips", count(len(clips)), f"{count(len(done))} done, {count(len(clips) - len(done))} failed"),
        ("Video", duration(video_s), plural(frames, "frame")),
    ]
    if (wall := wall_s(done)) is not None:
        found.append(("Wall time", duration(wall), f"{frames / wall:,.1f} frames/s" if wall else ""))
    if work_s:
        found.append(("Worker time", duration(work_s), f"{frames / work_s:,.1f} frames/s per worker"))
    if work_s and video_s:
        found.append(("Cost", f"{work_s / video_s:,.2f} h", "of one worker for an hour of video"))
    if len(scores):
        safe = float(np.mean(scores >= SAFE_FROM))
        found.append(("Comfort", f"{np.median(scores):.0f}", f"median; {100 * safe:.0f} % of clips safe"))
    if (gate := _gate(clips)) is not None:
        found.append(gate)
    return found


def _gate(clips: Clips) -> tuple[str, str, str] | None:
    verdict, words = clips.words("gate")
    times = {word: int(np.sum(verdict == number)) for number, word in enumerate(words) if word}
    judged = sum(times.values())
    if not judged:
        return None
    detail = f"pass; {count(times.get('review', 0))} to review, {count(times.get('fail', 0))} fail"
    if again := int(np.sum(clips.real("take") == 2)):
        detail += f"; {count(again)} made again"
    return ("Gate", f"{100 * times.get('pass', 0) / judged:.0f} %", detail)


def wall_s(clips: Clips) -> float | None:
    """Seconds during which any clip was worked on: pauses between runs do not count."""
    if not (clips.has("started_at") and clips.has("ended_at")):
        return None
    begin, end = clips.when("started_at"), clips.when("ended_at")
    told = (begin > 0) & (end > 0)
    if not told.any():
        return None
    order = np.argsort(begin[told], kind="stable")
    begin, end = begin[told][order], np.maximum.accumulate(end[told][order])
    pauses = np.maximum(begin[1:] - end[:-1], 0).sum()
    return float((end[-1] - begin[0] - pauses) / 1e6)


def stage_bars(clips: Clips, stages: Sequence[str]) -> list[tuple[str, float, str]]:
    """Add up worker time: (stage, share of all, in words), the dearest first; what no stage claims is ``other``."""
    seconds = {stage: float(np.nansum(clips.real(f"{stage}_s"))) for stage in stages}
    seconds["other"] = max(0.0, float(np.nansum(clips.real("total_s"))) - sum(seconds.values()))
    return shares({stage: spent for stage, spent in seconds.items() if spent > 0}, percent)


def shares(amounts: Mapping[str, float], tell: Callable[[float, float], str]) -> list[tuple[str, float, str]]:
    """(label, share of all, in words), the largest first."""
    total = sum(amounts.values())
    ranked = sorted(amounts.items(), key=lambda item: -item[1])
    return [(label, amount / total, tell(amount, amount / total)) for label, amount in ranked]


def percent(_: float, share: float) -> str:
    """The share alone."""
    return f"{100 * share:.1f} %"


def count_and_percent(amount: float, share: float) -> str:
    """How many, and the share."""
    return f"{count(int(amount))}, {100 * share:.1f} %"


def hosts(clips: Clips) -> list[tuple[str, str, str, str, str]]:
    """(machine, clips, worker time, frames/s of one worker, peak memory of a worker), the busiest first."""
    made = clips.only(clips.done)
    machine, names = made.words("host")
    frames, work_s, memory_mb = (np.nan_to_num(made.real(name)) for name in ("frames", "total_s", "peak_memory_mb"))
    found = []
    for number, name in enumerate(names):
        mine = machine == number
        spent = float(work_s[mine].sum())
        if name is None or not spent:
            continue
        speed, memory = frames[mine].sum() / spent, memory_mb[mine].max()
        row = (name, count(int(mine.sum())), duration(spent), f"{speed:,.1f}", f"{memory:,.0f} MB" if memory else "")
        found.append((spent, row))
    return [row for _, row in sorted(found, key=lambda item: (-item[0], item[1]))[:_HOSTS_SHOWN]]


def failures(clips: Clips, names: dict[str, str]) -> list[dict[str, Any]]:
    """Failed clips by reason, the most frequent first."""
    failed = clips.only(clips.failed)
    reason, reasons = failed.words("reason")
    message, messages = failed.words("message")
    groups = []
    for number, name in enumerate(reasons):
        rows = np.flatnonzero(reason == number)
        if not len(rows):
            continue
        code = name or "unexpected"
        label, advice = advice_on(code)
        first, times = _distinct(failed.source[rows], message[rows])
        shown = [
            {
                "name": names[uri := clips.uris[failed.source[rows[at]]]],
                "uri": uri,
                "text": messages[message[rows[at]]] or "no message",
                "count": often,
            }
            for at, often in list(zip(first.tolist(), times.tolist(), strict=True))[:_MESSAGES_SHOWN]
        ]
        group = {"reason": code, "label": label, "advice": advice, "count": len(rows)}
        groups.append(group | {"messages": shown, "more": len(first) - len(shown)})
    return sorted(groups, key=lambda group: (-group["count"], group["reason"]))


def settings(clips: Clips) -> list[dict[str, Any]]:
    """What was asked for, each different combination once, with the number of clips."""
    keys = ("work_key", "settings", "depth_name", "depth_digest", "code_version", "schema_version")
    coded = {key: clips.words(key) for key in (*keys, "run_id")}
    first, times = _distinct(*(coded[key][0] for key in keys))
    work, runs = coded["work_key"][0], coded["run_id"]
    found = []
    for at, often in sorted(zip(first.tolist(), times.tolist(), strict=True), key=lambda item: -item[1])[
        :_SETTINGS_SHOWN
    ]:
        told = {key: words[codes[at]] for key, (codes, words) in coded.items() if key in keys}
        asked = _flat(told.pop("settings"))
        about = {key.replace("_", " "): value for key, value in told.items() if value}
        of_work = [runs[1][number] for number in np.unique(runs[0][work == work[at]]).tolist()]
        if named := sorted(run for run in of_work if run):
            about["runs"] = ", ".join(named[:6])
        found.append({"clips": often, "about": about, "settings": asked})
    return found


def notes_of_files(clips: Clips) -> list[str]:
    """[files] Every different note of a file's clips, joined."""
    notes: list[dict[str, None]] = [{} for _ in clips.uris]
    if clips.has("notes"):
        column = clips.table["notes"].take(pa.array(clips.at)).combine_chunks()
        owner = clips.source[np.asarray(pc.list_parent_indices(column))]
        said = pc.list_flatten(column)
        coded = said.dictionary_encode()
        words, codes = coded.dictionary.to_pylist(), np.asarray(coded.indices)
        first, _ = _distinct(owner, codes)
        for at in first.tolist():
            notes[owner[at]][words[codes[at]]] = None
    return ["; ".join(said) for said in notes]


def _distinct(*codes: Indices) -> tuple[Indices, Indices]:
    """Different combinations of numbers: where each stands first, and how often, in the order of those places."""
    table = pa.table({str(number): column for number, column in enumerate(codes)})
    place = pa.array(np.arange(len(codes[0])))
    grouped = table.append_column("at", place).group_by(table.column_names).aggregate([("at", "min"), ("at", "count")])
    first, times = (np.asarray(grouped[name].to_numpy(), np.int64) for name in ("at_min", "at_count"))
    order = np.argsort(first)
    return first[order], times[order]


def _flat(asked: str | None) -> dict[str, str]:
    """Settings as dotted names; text that is no JSON object is shown as it is."""
    try:
        nested = json.loads(asked or "{}")
    except ValueError:
        return {"settings": str(asked)}
    if not isinstance(nested, dict):
        return {"settings": str(asked)}
    flat: dict[str, str] = {}

    def visit(prefix: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                visit(f"{prefix}.{key}" if prefix else str(key), inner)
        else:
            flat[prefix] = "automatic" if value is None else str(value)

    visit("", nested)
    return flat


def count(value: int) -> str:
    """With commas."""
    return f"{value:,}"


def plural(value: int, noun: str) -> str:
    """``1 clip``, ``2 clips``."""
    return f"{value:,} {noun}" + ("" if value == 1 else "s")


def duration(seconds: float) -> str:
    """In the unit that suits it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.1f} h"
