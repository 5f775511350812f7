"""Plots as inline SVG, drawn in text: no library, no script, the page's own colours in light and dark."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from spatialdreamer_core.metrics.comfort import BORDERLINE_FROM, SAFE_FROM, ComfortLimits

WIDTH, HEIGHT = 560, 220
MOST_COLUMNS = 240
"""Longer runs are gathered into so many columns."""
_CLOCK_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 10, 12, 30


@dataclass(frozen=True, slots=True)
class _Axes:
    """Where data stands in the drawing."""

    x_max: float
    y_min: float
    y_max: float

    def x(self, value: float) -> float:
        return round(_LEFT + value / self.x_max * (WIDTH - _LEFT - _RIGHT), 1)

    def y(self, value: float) -> float:
        inside = min(max(value, self.y_min), self.y_max)
        return round(_TOP + (self.y_max - inside) / (self.y_max - self.y_min) * (HEIGHT - _TOP - _BOTTOM), 1)


@dataclass(frozen=True, slots=True)
class Column:
    """Some neighbouring clips of the run.

    Attributes:
        start_s: Seconds of video that lie before, over all files.
        end_s: The same with these clips.
        clips: Their rows.
        label: What to say when pointed at.
    """

    start_s: float
    end_s: float
    clips: tuple[Mapping[str, Any], ...]
    label: str

    def values(self, name: str) -> list[float]:
        """What the clips have in that manifest column, without nulls."""
        return [clip[name] for clip in self.clips if clip[name] is not None]


def columns_over_time(rows: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> list[Column]:
    """Line up done clips by file and time, gathered into at most ``MOST_COLUMNS`` columns.

    Args:
        rows: In the order of source and segment.
        names: How to call each source.
    """
    done = [row for row in rows if row["status"] == "done" and (row["end_s"] or 0) > (row["start_s"] or 0)]
    total = sum(row["end_s"] - row["start_s"] for row in done)
    columns: list[Column] = []
    gathered: list[Mapping[str, Any]] = []
    start = now = 0.0
    for number, row in enumerate(done):
        gathered.append(row)
        now += row["end_s"] - row["start_s"]
        if len(done) > MOST_COLUMNS and now - start < total / MOST_COLUMNS and number + 1 < len(done):
            continue
        columns.append(Column(start, now, tuple(gathered), _label(gathered, names)))
        gathered, start = [], now
    return columns


def disparity_plot(columns: Sequence[Column]) -> Markup | None:
    """Draw the 1st to 99th percentile of disparity as a band, the median as a line, and the comfort limits."""
    known = [column for column in columns if column.values("disparity_p99_pct")]
    if not known:
        return None
    limits = ComfortLimits()
    low = min(min(column.values("disparity_p1_pct")) for column in known)
    high = max(max(column.values("disparity_p99_pct")) for column in known)
    axes = _Axes(columns[-1].end_s, min(-limits.behind_pct * 1.25, low * 1.1), max(limits.front_pct * 1.5, high * 1.1))
    band: list[str] = []
    line: list[str] = []
    hits: list[str] = []
    for column in known:
        x0, x1 = axes.x(column.start_s), axes.x(column.end_s)
        far, near = min(column.values("disparity_p1_pct")), max(column.values("disparity_p99_pct"))
        middle = _mean(column.values("disparity_p50_pct"))
        band.append(_box(x0, axes.y(near), x1, axes.y(far)))
        line.append(f"{'L' if line else 'M'}{x0} {axes.y(middle)}H{x1}")
        hits.append(_hit(x0, x1, f"{column.label}\n{far:+.2f} … {middle:+.2f} … {near:+.2f} % of the width"))
    rules = [
        (0.0, "screen", "rule"),
        (limits.front_pct, "in front", "limit"),
        (-limits.behind_pct, "behind", "limit"),
    ]
    drawn = "".join(
        f'<line class="{kind}" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{axes.y(at)}" y2="{axes.y(at)}"/>'
        for at, _, kind in rules
    )
    words = "".join(
        f'<text class="note" x="{WIDTH - _RIGHT}" y="{axes.y(at) - 4}" text-anchor="end">{word}</text>'
        for at, word, _ in rules
    )
    body = f'<path class="band" d="{"".join(band)}"/>{drawn}<path class="line" d="{"".join(line)}"/>{words}'
    return _svg(axes, body + "".join(hits), "Disparity over the run, percent of the width", signed=True)


def hole_plot(columns: Sequence[Column]) -> Markup | None:
    """Draw the share of the made eye that was painted: the mean, and the largest as a paler band."""
    known = [column for column in columns if column.values("hole_share_mean")]
    if not known:
        return None
    most = 100 * max(max(column.values("hole_share_max")) for column in known)
    axes = _Axes(columns[-1].end_s, 0.0, max(0.5, most * 1.1))
    mean_boxes, most_boxes, hits = [], [], []
    for column in known:
        x0, x1 = axes.x(column.start_s), axes.x(column.end_s)
        mean, largest = 100 * _mean(column.values("hole_share_mean")), 100 * max(column.values("hole_share_max"))
        mean_boxes.append(_box(x0, axes.y(mean), x1, axes.y(0)))
        most_boxes.append(_box(x0, axes.y(largest), x1, axes.y(0)))
        hits.append(_hit(x0, x1, f"{column.label}\nmean {mean:.2f} %, most {largest:.2f} %"))
    body = f'<path class="band" d="{"".join(most_boxes)}"/><path class="solid" d="{"".join(mean_boxes)}"/>'
    return _svg(axes, body + "".join(hits), "Share of the made eye that was painted, percent")


def comfort_plot(rows: Sequence[Mapping[str, Any]]) -> Markup | None:
    """Draw how many clips have which comfort score, in steps of 5."""
    scores = [row["comfort_score"] for row in rows if row["comfort_score"] is not None]
    if not scores:
        return None
    counts = [0] * 20
    for score in scores:
        counts[min(19, int(score // 5))] += 1
    axes = _Axes(100.0, 0.0, max(counts) * 1.1)
    bars = []
    for number, count in enumerate(counts):
        low, high = 5 * number, 5 * number + 5
        verdict = "safe" if low >= SAFE_FROM else "borderline" if low >= BORDERLINE_FROM else "unsafe"
        x0, x1 = axes.x(low) + 1, axes.x(high) - 1
        if count:
            bars.append(
                f'<path class="bar {verdict}" d="{_box(x0, min(axes.y(count), axes.y(0) - 2), x1, axes.y(0))}"/>'
            )
        bars.append(_hit(x0, x1, f"{count:,} clips score {low} to {high}"))
    return _svg(axes, "".join(bars), "Clips by comfort score", x_ticks=[(v, str(v)) for v in range(0, 101, 20)])


def stage_bars(rows: Sequence[Mapping[str, Any]], stages: Sequence[str]) -> list[tuple[str, float, float]]:
    """Add up worker time: (stage, seconds, share of all), the dearest first; what no stage claims is ``other``."""
    seconds = {stage: sum(row[f"{stage}_s"] or 0.0 for row in rows) for stage in stages}
    seconds["other"] = max(0.0, sum(row["total_s"] or 0.0 for row in rows) - sum(seconds.values()))
    total = sum(seconds.values())
    if not total:
        return []
    ranked = sorted(seconds.items(), key=lambda item: -item[1])
    return [(stage, spent, spent / total) for stage, spent in ranked if spent > 0]


def timecode(seconds: float) -> str:
    """Give h:mm:ss, or m:ss below an hour."""
    whole = int(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def _svg(
    axes: _Axes,
    body: str,
    title: str,
    *,
    signed: bool = False,
    x_ticks: Sequence[tuple[float, str]] | None = None,
) -> Markup:
    ticks = []
    for value in _nice_ticks(axes.y_min, axes.y_max, 5):
        y, text = axes.y(value), f"{value:+g}".replace("-", "\u2212") if signed and value else f"{value:,g}"
        ticks.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>')
        ticks.append(f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{text}</text>')
    times = [(v, timecode(v)) for v in _nice_ticks(0, axes.x_max, 6, time=True)] if x_ticks is None else x_ticks
    for value, text in times:
        anchor = "start" if value == 0 else "end" if axes.x(value) > WIDTH - 40 else "middle"
        ticks.append(f'<text x="{axes.x(value)}" y="{HEIGHT - 10}" text-anchor="{anchor}">{text}</text>')
    return Markup(
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">{"".join(ticks)}{body}</svg>'
    )


def _hit(x0: float, x1: float, text: str) -> str:
    """An invisible column over the whole height that tells its numbers."""
    box = _box(x0, _TOP, max(x1, x0 + 0.5), HEIGHT - _BOTTOM)
    return f'<path class="hit" d="{box}"><title>{escape(text)}</title></path>'


def _box(x0: float, y0: float, x1: float, y1: float) -> str:
    return f"M{x0} {y0}H{round(x1, 1)}V{y1}H{x0}Z"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _label(clips: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> str:
    first, last = clips[0], clips[-1]
    where = f"{names[first['source_uri']]} {timecode(first['start_s'])}"
    return where if len(clips) == 1 else f"{where} to {names[last['source_uri']]} {timecode(last['end_s'])}"


def _nice_ticks(low: float, high: float, about: int, *, time: bool = False) -> list[float]:
    """Round steps within [low, high]: 1, 2 or 5 times a power of ten; of time, what clocks have."""
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    steps = [factor * power for factor in (1, 2, 5, 10)]
    if time and rough <= _CLOCK_STEPS[-1]:
        steps = [float(step) for step in _CLOCK_STEPS]
    step = next(step for step in steps if step >= rough * 0.999)
    return [round(k * step, 10) for k in range(math.ceil(low / step), math.floor(high / step) + 1)]
