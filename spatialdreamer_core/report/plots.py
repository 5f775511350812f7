"""Plots as inline SVG, drawn in text: no library, no script, the page's own colours in light and dark."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from spatialdreamer_core.metrics.comfort import BORDERLINE_FROM, SAFE_FROM, ComfortLimits
from spatialdreamer_core.report.clips import Clips, Indices, Reals, known, mean_of_runs, reduced

WIDTH, HEIGHT = 560, 220
MOST_COLUMNS = 240
"""Longer runs are gathered into so many columns."""
Kind = Callable[[float], str]
_CLOCK_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 10, 12, 30


@dataclass(frozen=True, slots=True)
class _Axes:
    """Where data stands in the drawing."""

    x_min: float
    x_max: float
    y_min: float
    y_max: float

    def x(self, value: float) -> float:
        return round(_LEFT + (value - self.x_min) / (self.x_max - self.x_min) * (WIDTH - _LEFT - _RIGHT), 1)

    def y(self, value: float) -> float:
        inside = min(max(value, self.y_min), self.y_max)
        return round(_TOP + (self.y_max - inside) / (self.y_max - self.y_min) * (HEIGHT - _TOP - _BOTTOM), 1)


@dataclass(frozen=True, slots=True)
class Columns:
    """Done clips lined up by file and time, neighbours gathered.

    Attributes:
        clips: The done ones.
        starts: [columns] The first clip of each.
        edges_s: [columns + 1] Seconds of video that lie before each, over all files.
        labels: What to say when pointed at.
    """

    clips: Clips
    starts: Indices
    edges_s: Reals
    labels: list[str]

    def reduce(self, name: str, how: Literal["least", "mean", "most"]) -> list[float | None]:
        """One number of a manifest column for each; None where its clips have none."""
        values = self.clips.real(name)
        found = (
            mean_of_runs(values, self.starts)
            if how == "mean"
            else reduced(values, self.starts, np.fmin if how == "least" else np.fmax)
        )
        return [None if math.isnan(value) else value for value in found.tolist()]


def columns_over_time(clips: Clips, names: Mapping[str, str]) -> Columns:
    """Line up done clips by file and time, gathered into at most ``MOST_COLUMNS`` columns.

    Args:
        clips: All.
        names: How to call each source.
    """
    done = clips.only(clips.done & (clips.length_s > 0))
    before_s = np.concatenate([[0.0], np.cumsum(done.length_s)])
    starts = np.arange(len(done))
    if len(done) > MOST_COLUMNS:
        column = np.minimum((before_s[:-1] / before_s[-1] * MOST_COLUMNS).astype(np.int64), MOST_COLUMNS - 1)
        starts = np.flatnonzero(np.diff(column, prepend=-1))
    ends = np.concatenate([starts[1:], [len(done)]]) - 1 if len(starts) else starts
    begin_s, end_s = done.real("start_s"), done.real("end_s")
    labels = []
    for first, last in zip(starts.tolist(), ends.tolist(), strict=True):
        where = f"{names[done.uris[done.source[first]]]} {timecode(begin_s[first])}"
        last_where = f"{names[done.uris[done.source[last]]]} {timecode(end_s[last])}"
        labels.append(where if first == last else f"{where} to {last_where}")
    return Columns(done, starts, np.concatenate([before_s[starts], before_s[-1:]]), labels)


def disparity_plot(columns: Columns) -> Markup | None:
    """Draw the 1st to 99th percentile of disparity as a band, the median as a line, and the comfort limits."""
    fars = columns.reduce("disparity_p1_pct", "least")
    middles = columns.reduce("disparity_p50_pct", "mean")
    nears = columns.reduce("disparity_p99_pct", "most")
    known_fars, known_nears = [v for v in fars if v is not None], [v for v in nears if v is not None]
    if not known_fars or not known_nears:
        return None
    limits = ComfortLimits()
    axes = _Axes(
        0.0,
        columns.edges_s[-1],
        min(-limits.behind_pct * 1.25, min(known_fars) * 1.1),
        max(limits.front_pct * 1.5, max(known_nears) * 1.1),
    )
    band: list[str] = []
    line: list[str] = []
    hits: list[str] = []
    for number, (far, middle, near) in enumerate(zip(fars, middles, nears, strict=True)):
        if far is None or middle is None or near is None:
            continue
        x0, x1 = axes.x(columns.edges_s[number]), axes.x(columns.edges_s[number + 1])
        band.append(_box(x0, axes.y(near), x1, axes.y(far)))
        line.append(f"{'L' if line else 'M'}{x0} {axes.y(middle)}H{x1}")
        hits.append(_hit(x0, x1, f"{columns.labels[number]}\n{far:+.2f} … {middle:+.2f} … {near:+.2f} % of the width"))
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


def hole_plot(columns: Columns) -> Markup | None:
    """Draw the share of the made eye that was painted: the mean, and the largest as a paler band."""
    means, mosts = columns.reduce("hole_share_mean", "mean"), columns.reduce("hole_share_max", "most")
    if not any(value is not None for value in mosts):
        return None
    most = 100 * max(value for value in mosts if value is not None)
    axes = _Axes(0.0, columns.edges_s[-1], 0.0, max(0.5, most * 1.1))
    mean_boxes, most_boxes, hits = [], [], []
    for number, (mean, largest) in enumerate(zip(means, mosts, strict=True)):
        if mean is None or largest is None:
            continue
        x0, x1 = axes.x(columns.edges_s[number]), axes.x(columns.edges_s[number + 1])
        mean_boxes.append(_box(x0, axes.y(100 * mean), x1, axes.y(0)))
        most_boxes.append(_box(x0, axes.y(100 * largest), x1, axes.y(0)))
        hits.append(_hit(x0, x1, f"{columns.labels[number]}\nmean {100 * mean:.2f} %, most {100 * largest:.2f} %"))
    body = f'<path class="band" d="{"".join(most_boxes)}"/><path class="solid" d="{"".join(mean_boxes)}"/>'
    return _svg(axes, body + "".join(hits), "Share of the made eye that was painted, percent")


def comfort_plot(scores: Reals) -> Markup | None:
    """Draw how many clips have which comfort score, in steps of 5."""

    def verdict(low: float) -> str:
        return "safe" if low >= SAFE_FROM else "borderline" if low >= BORDERLINE_FROM else "unsafe"

    return _histogram(known(scores), np.linspace(0, 100, 21), "Clips by comfort score", "score", verdict)


def spread_plot(values: Reals, title: str, unit: str) -> Markup | None:
    """Draw how many clips have which value, from 0 to the 99th percentile; what lies beyond is in the last bar."""
    finite = known(values)
    if not len(finite):
        return None
    top = max(float(np.percentile(finite, 99)), 1e-6)
    step = _nice_step(top / 16)
    edges = step * np.arange(math.ceil(top / step - 1e-9) + 1, dtype=np.float64)
    return _histogram(finite, edges, title, unit, lambda low: "plain")


def _histogram(
    values: Reals, edges: NDArray[Any], title: str, unit: str, kind: Callable[[float], str]
) -> Markup | None:
    if not len(values):
        return None
    counts = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0].tolist()
    axes = _Axes(float(edges[0]), float(edges[-1]), 0.0, max(counts) * 1.1)
    bars = []
    for low, high, count in zip(edges[:-1].tolist(), edges[1:].tolist(), counts, strict=True):
        x0, x1 = axes.x(low) + 1, axes.x(high) - 1
        if count:
            top = min(axes.y(count), axes.y(0) - 2)
            bars.append(f'<path class="bar {kind(low)}" d="{_box(x0, top, x1, axes.y(0))}"/>')
        more = " and more" if high == edges[-1] else ""
        bars.append(_hit(x0, x1, f"{count:,} clips: {unit} {low:g} to {high:g}{more}"))
    ticks = [(value, f"{value:g}") for value in _nice_ticks(float(edges[0]), float(edges[-1]), 5)]
    return _svg(axes, "".join(bars), title, whole=True, x_ticks=ticks)


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
    whole: bool = False,
    x_ticks: Sequence[tuple[float, str]] | None = None,
) -> Markup:
    ticks = []
    for value in _nice_ticks(axes.y_min, axes.y_max, 5):
        if whole and value % 1:
            continue
        y, text = axes.y(value), f"{value:+g}".replace("-", "\u2212") if signed and value else _short(value)
        ticks.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>')
        ticks.append(f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{text}</text>')
    times = [(v, timecode(v)) for v in _nice_ticks(0, axes.x_max, 6, time=True)] if x_ticks is None else x_ticks
    for value, text in times:
        anchor = "start" if value == axes.x_min else "end" if axes.x(value) > WIDTH - 40 else "middle"
        ticks.append(f'<text x="{axes.x(value)}" y="{HEIGHT - 10}" text-anchor="{anchor}">{text}</text>')
    return Markup(
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">{"".join(ticks)}{body}</svg>'
    )


def _short(value: float) -> str:
    for size, letter in ((1e6, "M"), (1e4, "k")):
        if value >= size:
            return f"{value / (1e3 if letter == 'k' else size):g}{letter}"
    return f"{value:,g}"


def _hit(x0: float, x1: float, text: str) -> str:
    """An invisible column over the whole height that tells its numbers."""
    box = _box(x0, _TOP, max(x1, x0 + 0.5), HEIGHT - _BOTTOM)
    return f'<path class="hit" d="{box}"><title>{escape(text)}</title></path>'


def _box(x0: float, y0: float, x1: float, y1: float) -> str:
    return f"M{round(x0, 1)} {y0}H{round(x1, 1)}V{y1}H{round(x0, 1)}Z"


def _nice_ticks(low: float, high: float, about: int, *, time: bool = False) -> list[float]:
    """Round steps within [low, high]; of time, what clocks have."""
    rough = (high - low) / about
    if time and rough <= _CLOCK_STEPS[-1]:
        step = float(next(step for step in _CLOCK_STEPS if step >= rough * 0.999))
    else:
        step = _nice_step(rough)
    return [round(k * step, 10) for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _nice_step(rough: float) -> float:
    """1, 2 or 5 times a power of ten, not below ``rough``."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
