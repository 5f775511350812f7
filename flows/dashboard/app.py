"""The Streamlit script of the dashboard; ``spatialdreamer dashboard URL`` runs it."""

import base64
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from flows.dashboard import queries
from flows.dashboard.library import Library, checked_key, latest
from flows.dashboard.pairs import show_pairs
from flows.dashboard.preview import Preview, preview
from spatialdreamer_core.errors import SpatialDreamerError
from spatialdreamer_core.metrics.gate import GATES
from spatialdreamer_core.report.advice import advice_on
from spatialdreamer_core.report.summary import duration, plural

PLAYER = Path(__file__).with_name("player.html").read_text(encoding="utf-8")
TALLEST_PLAYER = 640
CHART = 260
COLOURS = dict(zip(queries.VERDICTS, ("#39805a", "#d9a441", "#b9493a", "#8b949e"), strict=True))


def main(url: str) -> None:
    """Draw the page once."""
    st.set_page_config(page_title=f"{url} - SpatialDreamer", layout="wide")
    try:
        library = latest(url)()
    except SpatialDreamerError as error:
        st.error(escaped(str(error)))
        return
    st.html("<style>.block-container { padding-top: 3rem; }</style>")
    st.markdown(f"#### Library {escaped(url)}")
    if library.kind == "pairs":
        show_pairs(library)
        return
    views: dict[str, Callable[[Library], None]] = {
        "Progress": show_progress,
        "Quality": show_quality,
        "Models and settings": show_models,
        "Failures": show_failures,
        "Clips": show_clips,
    }
    wanted = "Clips" if "clip" in st.query_params else "Progress"
    view = st.segmented_control("View", list(views), default=wanted, label_visibility="collapsed") or wanted
    views[view](library)


def prepare(library: Library) -> None:
    """Ask what the first view needs."""
    if library.kind == "pairs":
        return
    for query in (queries.totals, queries.progress, queries.files):
        query(library)


def show_progress(library: Library) -> None:
    """How far the library is."""
    found = queries.totals(library)
    if not found["clips"]:
        st.info("Nothing has been converted yet.")
        return
    tiles = [
        ("Files", f"{found['files']:,}", f"{found['files'] - found['files_failed']:,} whole"),
        ("Clips", f"{found['clips']:,}", f"{found['failed']:,} failed"),
        ("Video", duration(found["video_s"] or 0), f"{found['frames'] or 0:,} frames"),
        ("Worker time", duration(found["work_s"] or 0), _cost(found)),
        ("Comfort", _rounded(found["comfort"]), "median, 0 to 100"),
        ("Gate", _share(found["passed"], found["judged"]), f"passed; {found['review']:,} to review"),
    ]
    for place, (label, figure, detail) in zip(st.columns(len(tiles)), tiles, strict=True):
        place.metric(label, figure, border=True)
        place.caption(detail)
    made = queries.progress(library)
    left, right = st.columns(2)
    left.caption("Hours of video made, by day")
    left.bar_chart(made, x="day", y="hours of video", height=CHART)
    right.caption("Hours of video in all")
    _over_time(right, made, "day", ["hours in all"])
    st.caption(f"Files, those that need a look first (at most {queries.MOST_ROWS})")
    st.dataframe(queries.files(library), hide_index=True)


def show_quality(library: Library) -> None:
    """What the clips are like, and how that has changed."""
    over_time = queries.quality_over_time(library)
    left, right = st.columns(2)
    left.caption("Comfort over time: mean, and the worst 5 %")
    _over_time(left, over_time, "time", ["comfort", "comfort, worst 5 %"])
    right.caption("Painted share of the made eye over time, %")
    _over_time(right, over_time, "time", ["holes %"])
    left.caption("Clips by comfort and verdict of the gate")
    _by_verdict(left, queries.comfort_spread(library), "comfort")
    right.caption("What clips do not pass the gate for")
    reasons = queries.gate_reasons(library)
    if reasons.num_rows:
        _by_verdict(right, reasons, "why", horizontal=True)
    else:
        right.info("Every clip passes, or none was judged.")
    st.dataframe(over_time, hide_index=True)


def _over_time(place: Any, table: Any, x: str, y: list[str]) -> None:
    """A line, or bars where a line would have a single point."""
    label = y[0] if len(y) == 1 else ""
    if table.num_rows > 1:
        place.line_chart(table, x=x, y=y, height=CHART, y_label=label)
    else:
        place.bar_chart(table, x=x, y=y, height=CHART, y_label=label, stack=False)


def _by_verdict(place: Any, table: Any, x: str, *, horizontal: bool = False) -> None:
    present = [verdict for verdict in queries.VERDICTS if any(table[verdict].to_pylist())]
    colours = [COLOURS[verdict] for verdict in present]
    labels = {"x_label": "clips"} if horizontal else {"y_label": "clips"}
    place.bar_chart(table, x=x, y=present, color=colours, horizontal=horizontal, height=CHART, **labels)


def show_models(library: Library) -> None:
    """Depth models, versions and settings against each other."""
    st.caption("Depth models and versions")
    st.dataframe(queries.by_model(library), hide_index=True)
    st.caption("Comfort by model, share of its clips")
    st.bar_chart(queries.comfort_by_model(library), x="comfort", y="% of its clips", color="model", stack=False)
    st.caption("Settings: what differs between them")
    st.dataframe(queries.by_settings(library), hide_index=True)


def show_failures(library: Library) -> None:
    """What was set aside, why, and what to do."""
    groups = queries.failures(library)
    if not groups:
        st.success("No clip has failed.")
        return
    for group in groups[:12]:
        label, advice = advice_on(group["reason"])
        told = f"{plural(group['clips'], 'clip')} of {plural(group['files'], 'file')}, {escaped(group['reason'])}"
        st.markdown(f"**{escaped(label)}**: {told}. {advice}")
    reason = st.selectbox("Reason", ["all", *(group["reason"] for group in groups)])
    st.dataframe(queries.failed_clips(library, None if reason == "all" else reason), hide_index=True)
    st.caption("To have clips tried again by the next run of the same convert command:")
    only = "" if reason == "all" else f" --reason {reason}"
    st.code(f"spatialdreamer quarantine retry {library.place}{only}", language="bash")


def show_clips(library: Library) -> None:
    """Find clips, and look at one."""
    text, gate, model, sort = st.columns([3, 2, 2, 2])
    wanted = queries.Wanted(
        text=text.text_input("File contains"),
        gate=tuple(gate.multiselect("Gate", GATES)),
        model=tuple(model.multiselect("Depth model", queries.models(library))),
        sort=sort.selectbox("Sort by", list(queries.SORTS)),
    )
    found = queries.clips(library, wanted)
    st.caption(f"{found.num_rows} clips{' and more' if found.num_rows == queries.MOST_ROWS else ''}; choose one")
    chosen: Any = st.dataframe(
        found.drop_columns(["number"]), hide_index=True, height=300, on_select="rerun", selection_mode="single-row"
    )
    rows = chosen["selection"]["rows"]
    if rows:
        show_clip(library, queries.clip_number(library, found["number"][rows[0]].as_py()))
    elif (linked := _linked(library)) is not None:
        show_clip(library, linked)


def _linked(library: Library) -> dict[str, Any] | None:
    """The clip that the page's address names, as ``?clip=PATH&segment=3``."""
    if "clip" not in st.query_params:
        return None
    segment = st.query_params.get("segment", "0")
    clip = queries.clip_at(library, st.query_params["clip"], int(segment) if segment.isdecimal() else 0)
    if clip is None:
        st.error(escaped(f"There is no clip {segment} of {st.query_params['clip']} in this library."))
    return clip


def show_clip(library: Library, clip: dict[str, Any]) -> None:
    """All that is known of one clip, its contact sheet, and the clip itself in stereo."""
    st.markdown(f"##### {escaped(clip['source_uri'].rsplit('/', 1)[-1])}, clip {clip['segment']}")
    left, right = st.columns([3, 2])
    with left:
        _play(library, clip)
        try:
            sheet = library.place.read(checked_key(library.place, clip["sheet"])) if clip["sheet"] else None
        except SpatialDreamerError as error:
            st.error(escaped(str(error)))
        else:
            if sheet:
                st.image(sheet, caption="Left eye, depth, made eye, red-cyan")
    facts = {name: _plain(value) for name, value in clip.items() if name not in {"settings", "asked", "number"}}
    known = {name: value for name, value in facts.items() if value}
    right.dataframe({"": list(known), " ": list(known.values())}, hide_index=True, height=420)
    asked = queries.flat(clip["settings"])
    right.caption("Settings")
    right.dataframe({"": list(asked), " ": list(asked.values())}, hide_index=True, height=260)


def _play(library: Library, clip: dict[str, Any]) -> None:
    if clip["status"] != "done":
        st.error(escaped(clip["message"] or "This clip was not made."))
        return
    try:
        shown = _preview(library.version, library.place, clip["number"], clip)
    except SpatialDreamerError as error:
        st.info(escaped(str(error)))
        return
    html = PLAYER.replace("{{ video }}", base64.b64encode(shown.mp4).decode())
    html = html.replace("{{ stereo }}", json.dumps(shown.stereo))
    st.iframe(html, height=min(TALLEST_PLAYER, round(720 * shown.height / shown.width) + 60))


@st.cache_data(max_entries=32, show_spinner="Cutting a preview")
def _preview(version: str, _place: Any, number: int, _clip: dict[str, Any]) -> Preview:
    """The clip's preview, kept for as long as the manifest is the same; names with ``_`` are not looked at."""
    del version, number
    settings = json.loads(_clip["settings"] or "{}")
    swapped = bool(settings.get("stereo", {}).get("swap_eyes"))
    return preview(_place, _clip, settings.get("encode", {}).get("layout", "full-sbs"), swapped=swapped)


def escaped(text: str) -> str:
    """Text from outside as it stands: in Markdown a file's name could be a picture that another host is asked for."""
    return re.sub(r"([^\w\s])", r"\\\1", text)


def _cost(found: dict[str, Any]) -> str:
    if not found["video_s"] or not found["work_s"]:
        return ""
    return f"{found['work_s'] / found['video_s']:.2f} h for an hour of video"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "-"


def _rounded(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return "; ".join(map(str, value))
    return str(value)


if __name__ == "__main__":
    main(sys.argv[1])
