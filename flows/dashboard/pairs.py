"""The dashboard of a dataset of training pairs: what there is, what was left out and why, shards, failures."""

import pyarrow as pa
import streamlit as st

from flows.dashboard.library import Library
from flows.dashboard.queries import MOST_ROWS


def totals(library: Library) -> dict[str, int]:
    """The head of the page."""
    (row,) = library.rows_of("""
        SELECT count(*) AS clips, count(*) FILTER (status = 'done') AS pairs,
               count(*) FILTER (verdict = 'train') AS train, count(*) FILTER (verdict = 'review') AS review,
               count(*) FILTER (verdict = 'reject') AS reject, count(*) FILTER (status = 'filtered') AS filtered,
               count(*) FILTER (status = 'failed') AS failed, count(DISTINCT shard) FILTER (status = 'done') AS shards,
               coalesce(sum(bytes) FILTER (status = 'done'), 0)::BIGINT AS bytes
        FROM clips
    """)
    return row


def left_out(library: Library) -> pa.Table:
    """Why clips are not to train on."""
    return library.ask("""
        SELECT coalesce(verdict, status) AS outcome, why, count(*) AS clips
        FROM (
            SELECT status, verdict,
                   unnest(string_split(coalesce(nullif(verdict_reasons, ''), reason, 'unexpected'), ',')) AS why
            FROM clips WHERE verdict IS DISTINCT FROM 'train' AND status IN ('done', 'filtered', 'failed')
        )
        GROUP BY ALL ORDER BY clips DESC LIMIT 60
    """)


def holes(library: Library) -> pa.Table:
    """Pairs by masked share, in steps of one percent."""
    return library.ask("""
        SELECT least(40, floor(100 * hole_share))::INTEGER AS "holes %", verdict, count(*) AS pairs
        FROM clips WHERE hole_share IS NOT NULL GROUP BY ALL ORDER BY ALL
    """)


def shards(library: Library) -> pa.Table:
    """Shards by name."""
    return library.ask(f"""
        SELECT shard, split, count(*) AS pairs, count(*) FILTER (verdict = 'train') AS train,
               sum(frames)::BIGINT AS frames, round(sum(bytes) / 1e6, 1) AS mb,
               round(100 * avg(hole_share), 2) AS "holes %", round(avg(cycle_psnr_db), 2) AS "there and back dB"
        FROM clips WHERE status = 'done' GROUP BY ALL ORDER BY shard LIMIT {MOST_ROWS}
    """)


def by_source(library: Library) -> pa.Table:
    """Files, those that give least first."""
    return library.ask(f"""
        SELECT source_uri AS file, count(*) AS clips, count(*) FILTER (verdict = 'train') AS train,
               count(*) FILTER (status = 'filtered') AS filtered, count(*) FILTER (status = 'failed') AS failed
        FROM clips GROUP BY source_uri
        ORDER BY count(*) FILTER (verdict = 'train') / count(*), count(*) DESC, file LIMIT {MOST_ROWS}
    """)


def show_pairs(library: Library) -> None:
    """Draw the page."""
    found = totals(library)
    if not found["clips"]:
        st.info("No pair has been planned yet.")
        return
    tiles = [
        ("Clips", f"{found['clips']:,}", f"{found['filtered']:,} filtered out, {found['failed']:,} failed"),
        ("Pairs", f"{found['pairs']:,}", f"{found['review']:,} to review, {found['reject']:,} rejected"),
        ("To train on", f"{found['train']:,}", f"{100 * found['train'] / found['clips']:.0f} % of the clips"),
        ("Shards", f"{found['shards']:,}", f"{found['bytes'] / 1e9:,.2f} GB"),
    ]
    for place, (label, figure, detail) in zip(st.columns(len(tiles)), tiles, strict=True):
        place.metric(label, figure, border=True)
        place.caption(detail)
    left, right = st.columns(2)
    left.caption("Why clips are not to train on")
    if (reasons := left_out(library)).num_rows:
        left.bar_chart(reasons, x="why", y="clips", color="outcome", horizontal=True)
    right.caption("Pairs by masked share")
    if (masked := holes(library)).num_rows:
        right.bar_chart(masked, x="holes %", y="pairs", color="verdict")
    st.caption(f"Shards (at most {MOST_ROWS})")
    st.dataframe(shards(library), hide_index=True)
    st.caption("Files, those that give least first")
    st.dataframe(by_source(library), hide_index=True)
