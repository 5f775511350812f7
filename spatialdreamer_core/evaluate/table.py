"""The tables: Markdown to read, LaTeX to print, in the layout of the paper's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """One figure of a table.

    Attributes:
        name: Of the row's column.
        title: What stands above it.
        better: ``up`` or ``down``; empty where neither is better.
        digits: After the point.
        factor: Multiplied with it.
    """

    name: str
    title: str
    better: str = ""
    digits: int = 3
    factor: float = 1.0


PAPER = (
    Column("ssim", "SSIM", "up"),
    Column("psnr", "PSNR", "up", 2),
    Column("lpips_alex", "LPIPS", "down"),
    Column("fvd", "FVD", "down", 1),
    Column("e_warp", "E*_warp", "down", 3, 1000),
)
"""The paper's tables T1 and T2 in one: image synthesis, video synthesis."""
HOLES = (
    Column("psnr_seen", "PSNR seen", "up", 2),
    Column("psnr_hole", "PSNR holes", "up", 2),
    Column("psnr_hole_interior", "PSNR interior", "up", 2),
    Column("psnr_hole_border", "PSNR border", "up", 2),
    Column("lpips_alex_hole_interior", "LPIPS alex interior", "down"),
    Column("lpips_vgg_hole_interior", "LPIPS vgg interior", "down"),
    Column("lpips_alex_hole_border", "LPIPS alex border", "down"),
    Column("e_warp_hole", "E*_warp holes", "down", 3, 1000),
)
STEREO = (
    Column("ms_ssim", "MS-SSIM", "up"),
    Column("lpips_vgg", "LPIPS vgg", "down"),
    Column("siou", "SIoU", "up"),
    Column("epe_px", "EPE px", "down", 2),
    Column("d1", "D1 %", "down", 1, 100),
    Column("match_coverage", "matched %", "up", 1, 100),
    Column("vertical_p95_px", "vertical p95 px", "down", 2),
    Column("luma_diff", "luma", "", 2),
    Column("sharpness_ratio", "sharpness", "", 3),
    Column("flicker", "flicker", "down", 3),
    Column("comfort_score", "comfort", "up", 0),
)
_ARROWS = {"up": " ↑", "down": " ↓", "": ""}
_TEX_ARROWS = {"up": r" $\uparrow$", "down": r" $\downarrow$", "": ""}


def means(rows: Sequence[Row], methods: Sequence[str], columns: Sequence[Column]) -> dict[str, dict[str, float | None]]:
    """Mean of each column over the clips of each method; None where no clip has it."""
    out: dict[str, dict[str, float | None]] = {}
    for method in methods:
        own = [row for row in rows if row["method"] == method]
        out[method] = {
            column.name: sum(known) / len(known)
            if (known := [row[column.name] for row in own if row.get(column.name) is not None])
            else None
            for column in columns
        }
    return out


def markdown(rows: Sequence[Row], methods: Sequence[str], fvd: Mapping[str, float], notes: Sequence[str]) -> str:
    """Every table: all clips, then by domain where there is more than one.

    Args:
        rows: Of ``rows.EVALUATION``.
        methods: In the order of the tables.
        fvd: By method; empty where it was not measured.
        notes: Said below the tables.
    """
    clips = len({row["clip"] for row in rows})
    parts = [f"# Evaluation: {_counted(clips)}, protocol {rows[0]['protocol']}"]
    for title, columns in (("As in the paper", PAPER), ("Inside and outside the holes", HOLES), ("Stereo", STEREO)):
        parts += [f"## {title}", _markdown_table(rows, methods, columns, fvd)]
    domains = sorted({row["domain"] for row in rows if row.get("domain")})
    if domains:
        chosen = (*PAPER[:3], PAPER[4], HOLES[2], STEREO[2], STEREO[3])
        for domain in [*domains, None]:
            own = [row for row in rows if row.get("domain") == domain]
            if own:
                count = len({row["clip"] for row in own})
                title = f"## Domain: {domain or 'not said'} ({_counted(count)})"
                parts += [title, _markdown_table(own, methods, chosen, {})]
    parts += ["\n".join(f"* {note}" for note in notes)]
    return "\n\n".join(parts) + "\n"


def _counted(clips: int) -> str:
    return f"{clips} clip{'s' if clips != 1 else ''}"


def latex(rows: Sequence[Row], methods: Sequence[str], fvd: Mapping[str, float]) -> str:
    """The paper's table and the holes' table, for ``booktabs``; the best of each column is bold."""
    return "\n\n".join(_latex_table(rows, methods, columns, fvd) for columns in (PAPER, HOLES)) + "\n"


def _cells(
    rows: Sequence[Row], methods: Sequence[str], columns: Sequence[Column], fvd: Mapping[str, float]
) -> tuple[list[Column], list[list[str]], list[list[bool]]]:
    """Columns that hold anything, texts by method, and which are the best of their column."""
    values = means(rows, methods, columns)
    for method in methods:
        if "fvd" in values[method]:
            values[method]["fvd"] = fvd.get(method)
    held = [c for c in columns if any(values[m][c.name] is not None for m in methods)]
    texts = [[_text(values[method][column.name], column) for column in held] for method in methods]
    best = [[False] * len(held) for _ in methods]
    for place, column in enumerate(held):
        # the identity control is no competitor: it wins what a copy can win
        known = [(values[m][column.name], n) for n, m in enumerate(methods) if m != "identity"]
        known = [(value, n) for value, n in known if value is not None]
        if column.better and known:
            choose = max if column.better == "up" else min
            winner = choose(value for value, _ in known if value is not None)
            for value, n in known:
                best[n][place] = value == winner
    return held, texts, best


def _text(value: float | None, column: Column) -> str:
    return "–" if value is None else f"{value * column.factor:.{column.digits}f}"


def _markdown_table(
    rows: Sequence[Row], methods: Sequence[str], columns: Sequence[Column], fvd: Mapping[str, float]
) -> str:
    held, texts, best = _cells(rows, methods, columns, fvd)
    head = ["method", *(column.title + _ARROWS[column.better] for column in held)]
    lines = [head, ["---"] * len(head)]
    for method, cells, bold in zip(methods, texts, best, strict=True):
        lines.append([method, *(f"**{c}**" if b else c for c, b in zip(cells, bold, strict=True))])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _latex_table(
    rows: Sequence[Row], methods: Sequence[str], columns: Sequence[Column], fvd: Mapping[str, float]
) -> str:
    held, texts, best = _cells(rows, methods, columns, fvd)
    titles = [_tex(column.title) + _TEX_ARROWS[column.better] for column in held]
    lines = [
        rf"\begin{{tabular}}{{l{'c' * len(held)}}}",
        r"\toprule",
        f"method & {' & '.join(titles)} \\\\",
        r"\midrule",
    ]
    for method, cells, bold in zip(methods, texts, best, strict=True):
        marked = (rf"\textbf{{{c}}}" if b else c.replace("–", "--") for c, b in zip(cells, bold, strict=True))
        lines.append(f"{_tex(method)} & {' & '.join(marked)} \\\\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


def _tex(text: str) -> str:
    if text == "E*_warp":
        return r"$E^*_{\mathrm{warp}}$"
    return text.replace("%", r"\%").replace("_", r"\_").replace("&", r"\&").replace("#", r"\#")
