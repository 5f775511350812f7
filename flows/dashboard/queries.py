"""What the dashboard asks of a library, one function per table or chart."""

import json
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from flows.dashboard.library import Library

MOST_ROWS = 500
"""Rows of a table of clips; the filters narrow it down."""

SORTS = {
    "lowest comfort": "comfort_score",
    "largest holes": "hole_share_max DESC",
    "flicker": "luma_step_max DESC",
    "less steady than the source": "e_warp_ratio DESC",
    "jump at a cut": "cut_jump_pct DESC",
    "slowest": "fps",
    "file and time": "source_uri, segment",
}
_MEASURES = """
    count(*) AS clips,
    round(avg(comfort_score), 1) AS comfort,
    round(quantile_cont(comfort_score, 0.05), 1) AS "comfort, worst 5 %",
    round(100 * avg(hole_share_mean), 2) AS "holes %",
    round(avg(e_warp_ratio), 3) AS steadiness,
    round(avg(luma_step_max), 3) AS flicker,
    round(100 * count(*) FILTER (gate = 'pass') / nullif(count(gate), 0), 1) AS "gate passed %",
    round(sum(frames) / nullif(sum(total_s), 0), 1) AS "frames/s of a worker"
"""


def totals(library: Library) -> dict[str, Any]:
    """The head of the page."""
    (row,) = library.rows_of("""
        SELECT count(DISTINCT source_uri) AS files,
               count(DISTINCT source_uri) FILTER (status = 'failed') AS files_failed,
               count(*) AS clips, count(*) FILTER (status = 'failed') AS failed,
               sum(end_s - start_s) FILTER (status = 'done') AS video_s,
               (sum(frames) FILTER (status = 'done'))::BIGINT AS frames,
               sum(total_s) FILTER (status = 'done') AS work_s,
               median(comfort_score) AS comfort,
               count(gate) AS judged, count(*) FILTER (gate = 'pass') AS passed,
               count(*) FILTER (gate = 'review') AS review, max(ended_at) AS latest
        FROM clips
    """)
    return row


def progress(library: Library) -> pa.Table:
    """Hours of video made by day, and clips that failed."""
    return library.ask("""
        SELECT date_trunc('day', ended_at) AS day, count(*) AS clips,
               sum(end_s - start_s) / 3600 AS "hours of video",
               sum(sum(end_s - start_s) / 3600) OVER (ORDER BY date_trunc('day', ended_at)) AS "hours in all"
        FROM clips WHERE status = 'done' AND ended_at IS NOT NULL GROUP BY 1 ORDER BY 1
    """)


def files(library: Library) -> pa.Table:
    """Files that are not whole, or else those of the lowest comfort."""
    return library.ask(f"""
        SELECT source_uri AS file, count(*) AS clips, count(*) FILTER (status = 'failed') AS failed,
               round(sum(end_s - start_s) / 60, 1) AS minutes, round(min(comfort_score), 1) AS "lowest comfort",
               count(*) FILTER (gate = 'fail') AS "gate failed", max(ended_at) AS latest
        FROM clips GROUP BY source_uri
        ORDER BY failed DESC, "gate failed" DESC, "lowest comfort" LIMIT {MOST_ROWS}
    """)


def quality_over_time(library: Library) -> pa.Table:
    """Comfort, holes and the gate by day; by hour where all was made within three days."""
    return library.ask(f"""
        WITH made AS (
            SELECT *, CASE WHEN max(ended_at) OVER () - min(ended_at) OVER () > INTERVAL 3 DAY
                           THEN date_trunc('day', ended_at) ELSE date_trunc('hour', ended_at) END AS time
            FROM clips WHERE status = 'done' AND ended_at IS NOT NULL
        )
        SELECT time, {_MEASURES} FROM made GROUP BY time ORDER BY time
    """)


_BY_VERDICT = """
    count(*) FILTER (gate = 'pass') AS pass, count(*) FILTER (gate = 'review') AS review,
    count(*) FILTER (gate = 'fail') AS fail, count(*) FILTER (gate IS NULL) AS "not judged"
"""
VERDICTS = ("pass", "review", "fail", "not judged")


def comfort_spread(library: Library) -> pa.Table:
    """Clips by comfort, in steps of five, and verdict of the gate."""
    return library.ask(f"""
        SELECT least(95, 5 * floor(comfort_score / 5))::INTEGER AS comfort, {_BY_VERDICT}
        FROM clips WHERE comfort_score IS NOT NULL GROUP BY 1 ORDER BY 1
    """)


def gate_reasons(library: Library) -> pa.Table:
    """What clips do not pass for."""
    return library.ask(f"""
        SELECT why, {_BY_VERDICT}
        FROM (SELECT unnest(gate_reasons) AS why, gate FROM clips WHERE gate <> 'pass')
        GROUP BY why ORDER BY count(*) DESC, why LIMIT 30
    """)


def by_model(library: Library) -> pa.Table:
    """Depth models and versions of the code, side by side."""
    return library.ask(f"""
        SELECT depth_name AS model, depth_digest AS weights, code_version AS version, {_MEASURES}
        FROM clips WHERE status = 'done' GROUP BY ALL ORDER BY clips DESC LIMIT 50
    """)


def comfort_by_model(library: Library) -> pa.Table:
    """Share of each model's clips by comfort, in steps of five."""
    return library.ask("""
        WITH made AS (
            SELECT concat_ws(' ', depth_name, right(depth_digest, 6)) AS model,
                   least(95, 5 * floor(comfort_score / 5))::INTEGER AS comfort
            FROM clips WHERE comfort_score IS NOT NULL
        )
        SELECT model, comfort, 100 * count(*) / sum(count(*)) OVER (PARTITION BY model) AS "% of its clips"
        FROM made GROUP BY model, comfort ORDER BY model, comfort
    """)


def by_settings(library: Library) -> list[dict[str, Any]]:
    """Settings side by side: only what differs between them, then the measures."""
    measured = library.rows_of(f"""
        SELECT asked, {_MEASURES} FROM clips WHERE status = 'done' GROUP BY asked ORDER BY clips DESC LIMIT 50
    """)
    asked = [flat(library.settings[row.pop("asked")]) for row in measured]
    names = sorted({name for one in asked for name in one})
    differing = [name for name in names if len({one.get(name) for one in asked}) > 1]
    return [{name: one.get(name) for name in differing} | row for one, row in zip(asked, measured, strict=True)]


def failures(library: Library) -> list[dict[str, Any]]:
    """Failed clips by reason."""
    return library.rows_of("""
        SELECT coalesce(reason, 'unexpected') AS reason, count(*) AS clips, count(DISTINCT source_uri) AS files
        FROM clips WHERE status = 'failed' GROUP BY 1 ORDER BY clips DESC, reason
    """)


def failed_clips(library: Library, reason: str | None) -> pa.Table:
    """The clips that were set aside, those of one reason or all."""
    return library.ask(
        f"""
        SELECT source_uri AS file, segment AS clip, reason, message, attempts, ended_at AS latest
        FROM clips WHERE status = 'failed' AND (? IS NULL OR coalesce(reason, 'unexpected') = ?)
        ORDER BY reason, source_uri, segment LIMIT {MOST_ROWS}
        """,
        reason,
        reason,
    )


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which clips to list.

    Attributes:
        text: Part of the file's path; empty takes all.
        gate: Verdicts; none takes all.
        model: Depth models; none takes all.
        sort: One of ``SORTS``.
    """

    text: str = ""
    gate: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    sort: str = "lowest comfort"


def clips(library: Library, wanted: Wanted) -> pa.Table:
    """Clips that were made, the first ``MOST_ROWS`` in the order asked for."""
    return library.ask(
        f"""
        SELECT source_uri AS file, shot, segment AS clip, round(start_s, 2) AS "start s", gate,
               round(comfort_score, 1) AS comfort, array_to_string(gate_reasons, ', ') AS "for",
               round(strength_pct, 2) AS "strength %", round(100 * hole_share_max, 2) AS "holes %",
               round(luma_step_max, 2) AS flicker, round(e_warp_ratio, 2) AS steadiness,
               round(cut_jump_pct, 2) AS "cut %", take, depth_name AS model, round(fps, 1) AS fps, number
        FROM clips
        WHERE status = 'done' AND contains(lower(source_uri), lower(?))
          AND (len(?) = 0 OR list_contains(?, gate)) AND (len(?) = 0 OR list_contains(?, depth_name))
        ORDER BY {SORTS[wanted.sort]} NULLS LAST, number LIMIT {MOST_ROWS}
        """,
        wanted.text,
        list(wanted.gate),
        list(wanted.gate),
        list(wanted.model),
        list(wanted.model),
    )


def models(library: Library) -> list[str]:
    """Names of depth models."""
    found = library.rows_of("SELECT DISTINCT depth_name FROM clips WHERE depth_name IS NOT NULL ORDER BY 1")
    return [row["depth_name"] for row in found]


def clip_at(library: Library, source_uri: str, segment: int) -> dict[str, Any] | None:
    """One clip with all that is known of it, and its settings; the latest where several settings made it."""
    found = library.rows_of(
        "SELECT * FROM clips WHERE source_uri = ? AND segment = ? ORDER BY ended_at DESC LIMIT 1", source_uri, segment
    )
    return _with_settings(library, found[0]) if found else None


def clip_number(library: Library, number: int) -> dict[str, Any]:
    """One clip by its place in the manifest."""
    return _with_settings(library, library.rows_of("SELECT * FROM clips WHERE number = ?", number)[0])


def _with_settings(library: Library, row: dict[str, Any]) -> dict[str, Any]:
    return row | {"settings": library.settings[row["asked"]]}


def flat(settings: str | None) -> dict[str, str]:
    """Settings as dotted names."""
    found: dict[str, str] = {}

    def visit(prefix: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                visit(f"{prefix}.{key}" if prefix else key, inner)
        else:
            found[prefix] = "automatic" if value is None else str(value)

    try:
        visit("", json.loads(settings or "{}"))
    except ValueError:
        return {"settings": str(settings)}
    return found
