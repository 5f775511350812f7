"""A second take: shots that failed the gate are made once more, less deep; the rest of the source stays as it is.

A retake is a plan like any other, under a work key of its own, so that resume, twins and quarantine know nothing of it.
What the first take made of other shots is taken over by its commit records, as long as its chunks are there.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from spatialdreamer_core.config import GateConfig
from spatialdreamer_core.convert.finish import read_commits
from spatialdreamer_core.convert.plan import ShotPlan, SourcePlan, plan_to_bytes
from spatialdreamer_core.convert.segment import commit_key
from spatialdreamer_core.geometry.disparity import ShotStereo
from spatialdreamer_core.store.place import Place, canonical_json

STICKS_OUT = frozenset({"front", "window"})
"""Comfort flags of a shot that stands too far in front of the screen."""
_BACK_SHARE = 0.5  # of the way to the nearest point that the screen then moves


@dataclass(frozen=True, slots=True)
class Retake:
    """What is made once more.

    Attributes:
        plan: The whole source, with safer stereo for some shots.
        notes: For each of those shots what was changed and why, for its rows.
    """

    plan: SourcePlan
    notes: dict[int, str]


def safer_stereo(stereo: ShotStereo, flags: frozenset[str], config: GateConfig) -> ShotStereo:
    """Give a shot's stereo for its second take.

    The strength shrinks to ``config.strength_share`` of what it was: holes, jumps and the made eye's unsteadiness
    shrink with it. If the shot stands out of the screen too far (``STICKS_OUT``), the screen also moves half the way
    to its nearest point.
    """
    convergence = stereo.convergence
    if flags & STICKS_OUT:
        convergence += _BACK_SHARE * (1 - convergence)
    return ShotStereo(stereo.strength_pct * config.strength_share, convergence)


def plan_retake(
    plan: SourcePlan, shots: Mapping[int, list[str]], flags: Mapping[int, frozenset[str]], config: GateConfig
) -> Retake:
    """Plan the second take of some shots.

    Args:
        plan: Of the first take.
        shots: Those that failed, and what for.
        flags: Comfort flags of those shots' clips.
        config: How much safer.
    """
    safer = {number: safer_stereo(plan.shots[number].stereo, flags[number], config) for number in sorted(shots)}
    changed = tuple(
        _less_deep(shot, safer[number]) if number in safer else shot for number, shot in enumerate(plan.shots)
    )
    identity = {
        "stage": "retake",
        "of": plan.work_key,
        "shots": {str(n): asdict(stereo) for n, stereo in safer.items()},
    }
    key = hashlib.sha256(canonical_json(identity)).hexdigest()[:16]
    notes = {number: _note(plan.shots[number].stereo, stereo, shots[number]) for number, stereo in safer.items()}
    return Retake(replace(plan, shots=changed, work_key=key), notes)


def _less_deep(shot: ShotPlan, stereo: ShotStereo) -> ShotPlan:
    """The shot with other stereo; whether it is refined was decided and stays."""
    share = stereo.strength_pct / shot.stereo.strength_pct if shot.stereo.strength_pct else 1.0
    return replace(shot, stereo=stereo, geometric=shot.geometric * share)


def _note(before: ShotStereo, after: ShotStereo, reasons: list[str]) -> str:
    moved = before.convergence != after.convergence
    screen = f", convergence {after.convergence:.2f} instead of {before.convergence:.2f}" if moved else ""
    return (
        f"gate: the shot failed for {', '.join(reasons)} and was made again with strength {after.strength_pct:.2f} "
        f"instead of {before.strength_pct:.2f} %{screen}"
    )


def decide(
    plan: SourcePlan, rows: list[dict[str, Any]], shots: Mapping[int, list[str]], config: GateConfig, place: Place
) -> Retake:
    """Plan the second take of a source that is all made, and record that it is to be made.

    Args:
        plan: Of the first take.
        rows: Of all its clips.
        shots: Those that failed, and what for.
        config: The gate.
        place: Output place.

    Raises:
        StoreError: If the plan or the record cannot be written.
    """
    flags = {
        number: frozenset(flag for row in rows if row["shot"] == number for flag in row["comfort_flags"] or ())
        for number in shots
    }
    retake = plan_retake(plan, shots, flags, config)
    _publish_plan(retake, place)
    record = {
        "shots": {str(number): reasons for number, reasons in shots.items()},
        "flags": {str(number): sorted(words) for number, words in flags.items()},
    }
    place.publish(_record_key(plan, config), canonical_json(record))  # last: it says that the plan is there
    return retake


def decided(plan: SourcePlan, config: GateConfig, place: Place) -> Retake | None:
    """The retake that was decided on before under the same gate, or None."""
    data = place.read(_record_key(plan, config))
    if data is None:
        return None
    record = json.loads(data)
    shots = {int(number): reasons for number, reasons in record["shots"].items()}
    flags = {int(number): frozenset(words) for number, words in record["flags"].items()}
    retake = plan_retake(plan, shots, flags, config)
    _publish_plan(retake, place)
    return retake


def take_over(plan: SourcePlan, retake: Retake, place: Place) -> None:
    """Commit, under the retake, what the first take made of the other shots; safe to repeat."""
    commits = read_commits(place, plan)
    for segment in plan.segments:
        if segment.shot in retake.notes or segment.index not in commits:
            continue
        commit = commits[segment.index]
        own = replace(commit, row=commit.row | {"work_key": retake.plan.work_key})
        place.create(commit_key(retake.plan, segment), canonical_json(asdict(own)))


def _publish_plan(retake: Retake, place: Place) -> None:
    key = f"{retake.plan.folder}/plan.npz"
    if place.size(key) is None:
        place.publish(key, plan_to_bytes(retake.plan))


def _record_key(plan: SourcePlan, config: GateConfig) -> str:
    gate = hashlib.sha256(canonical_json(asdict(config))).hexdigest()[:16]
    return f"{plan.folder}/retakes/{gate}.json"
