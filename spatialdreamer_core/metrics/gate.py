"""The gate: from the measures of a clip to pass, review or fail, by the limits of the configuration."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from spatialdreamer_core.config import GateConfig

Gate = Literal["pass", "review", "fail"]
GATES: tuple[Gate, ...] = ("pass", "review", "fail")


def gate_of(row: Mapping[str, Any], config: GateConfig) -> tuple[Gate, list[str]]:
    """Judge one clip.

    Args:
        row: Of the manifest; a measure that is null or missing is not judged.
        config: Limits; a measure that reaches one has crossed it.

    Returns:
        The verdict, and the columns that it is for: those that fail, or else those that want a look. For a clip
        that was not made, ``fail`` and the reason code.
    """
    if row["status"] != "done":
        return "fail", [row.get("reason") or "failed"]
    failing, doubtful = [], []
    for name, limit in config.limits().items():
        value = row.get(name)
        if value is None:
            continue
        sign = -1 if name in config.LOW_IS_BAD else 1
        if limit.fail is not None and sign * value >= sign * limit.fail:
            failing.append(name)
        elif limit.review is not None and sign * value >= sign * limit.review:
            doubtful.append(name)
    if failing:
        return "fail", failing
    return ("review", doubtful) if doubtful else ("pass", [])


def add_gate(rows: Iterable[Mapping[str, Any]], config: GateConfig) -> list[dict[str, Any]]:
    """Give the rows with ``gate`` and ``gate_reasons``."""
    judged = []
    for row in rows:
        verdict, reasons = gate_of(row, config)
        judged.append({**row, "gate": verdict, "gate_reasons": reasons})
    return judged


def failing_shots(rows: Iterable[Mapping[str, Any]], config: GateConfig) -> dict[int, list[str]]:
    """Shots of which at least one clip fails: number, and what for.

    Stereo belongs to the shot, so one failing clip speaks for all the clips of its shot.
    """
    shots: dict[int, list[str]] = {}
    for row in rows:
        verdict, reasons = gate_of(row, config)
        if verdict == "fail":
            known = shots.setdefault(row["shot"], [])
            known.extend(reason for reason in reasons if reason not in known)
    return shots
