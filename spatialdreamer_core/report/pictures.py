"""Which clips to look at first, and their contact sheets inside the page."""

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from spatialdreamer_core.metrics.comfort import CUT_JUMP_PCT, SAFE_FROM
from spatialdreamer_core.report.clips import Clips, Indices, Reals, Row
from spatialdreamer_core.report.plots import timecode

SheetReader = Callable[[Row], bytes | None]
"""Gives the contact sheet (JPEG) of a row, or None if there is none."""

MOST_SHEETS = 60
"""More pictures would make the page too heavy for a phone."""
MOST_SHEET_BYTES = 8_000_000
"""The same, for large pictures; as text they are a third larger."""
_WORST_OF_EACH = 6
_LOOKED_AT = 200  # rows tried for each group, where many have no picture

Group = tuple[str, list[int], Callable[[Row], str]]


class Sheets:
    """Embeds contact sheets, each row once, up to the page's limits."""

    def __init__(self, clips: Clips, read: SheetReader, names: Mapping[str, str]) -> None:
        self._clips, self._read, self._names = clips, read, names
        self._left, self._bytes_left = MOST_SHEETS, MOST_SHEET_BYTES
        self._seen: set[int] = set()

    def take(
        self, rows: Iterable[int], tell: Callable[[Row], str] | None = None, most: int = _WORST_OF_EACH
    ) -> list[dict[str, Any]]:
        """Give up to ``most`` pictures with their captions; rows without one, or shown before, are passed over."""
        taken: list[dict[str, Any]] = []
        for number in rows:
            if len(taken) >= most or self._left == 0:
                break
            if number in self._seen:
                continue
            self._seen.add(number)
            row = self._clips.row(number)
            picture = self._read(row)
            if not picture or len(picture) > self._bytes_left:
                continue
            self._left -= 1
            self._bytes_left -= len(picture)
            url = "data:image/jpeg;base64," + base64.b64encode(picture).decode("ascii")
            about = {"name": self._names[row["source_uri"]], "uri": row["source_uri"]}
            facts = [*_facts(row), *([told] if tell and (told := tell(row)) else [])]
            taken.append(about | {"url": url, "facts": facts, "flags": list(row.get("comfort_flags") or ())})
        return taken


def _facts(row: Row) -> list[str]:
    facts = [] if row["start_s"] is None else [timecode(row["start_s"])]
    if row["comfort_score"] is not None:
        facts.append(f"comfort {row['comfort_score']:.0f}")
    if row["disparity_p99_pct"] is not None:
        facts.append(f"{row['disparity_p1_pct']:+.1f} to {row['disparity_p99_pct']:+.1f} %".replace("-", "\u2212"))
    return facts


def worst(clips: Clips) -> list[Group]:
    """The clips to look at first: what is wrong with them, which, and the figure that says so."""

    def top(name: str, at_least: float) -> list[int]:
        values = np.where(clips.done, clips.real(name), np.nan)
        return _first(-values, values > at_least)

    score = clips.real("comfort_score")
    fails = clips.done & clips.is_("gate", "fail")
    again = clips.done & (clips.real("take") == 2)
    groups: Sequence[Group] = [
        ("Fail the gate", _first(score, fails), lambda row: "for " + ", ".join(row["gate_reasons"] or ())),
        ("Made again after the gate", _first(score, again), lambda row: f"strength {row['strength_pct']:.2f} %"),
        ("Lowest comfort", _first(score, score < SAFE_FROM), lambda row: ""),
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


def typical(clips: Clips) -> list[int]:
    """The middle one of each file's finished clips; of the first files, where there are many."""
    done = np.flatnonzero(clips.done)
    owner = clips.source[done]
    files = np.unique(owner)[:_LOOKED_AT]
    middle = (np.searchsorted(owner, files) + np.searchsorted(owner, files, "right")) // 2
    return [int(row) for row in done[middle]]


def _first(values: Reals, which: Any) -> list[int]:
    """Rows of the smallest values among those chosen, equal ones in their order; enough of them to find pictures."""
    rows: Indices = np.flatnonzero(which)
    if len(rows) > _LOOKED_AT:
        bound = np.partition(values[rows], _LOOKED_AT)[_LOOKED_AT]
        rows = rows[values[rows] <= bound]
    return [int(row) for row in rows[np.argsort(values[rows], kind="stable")][:_LOOKED_AT]]
