import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from spatialdreamer_core.depth.protocol import DepthRequest
from spatialdreamer_core.errors import SpatialDreamerError
from spatialdreamer_core.store.place import Place
from tasks.pool import RunStoppedError
from tasks.set_aside import list_set_aside
from tests.flows.pairs_corpus import Corpus, Slope
from tests.media import scene, write_video


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """Two films, of seven clips together."""
    films = tmp_path / "films"
    films.mkdir()
    corpus = Corpus(films, tmp_path / "out")
    corpus.add_film("pan.mkv", clips=4, seed=1)
    corpus.add_film("slow.mp4", clips=3, seed=2, speed=2.0)
    return corpus


class Breaks(Slope):
    """Depth that is not finite for clips that begin at frame 4, while a file is there."""

    name, digest = "breaks", "breaks-1"

    def infer(self, request: DepthRequest) -> NDArray[np.float32]:
        depth = super().infer(request)
        if Path(os.environ["BREAK_FLAG"]).exists() and 4 <= request.frame_indices[0] < 8:
            depth[:] = np.nan
        return depth


class Flat(Slope):
    """Depth that is the same everywhere."""

    name, digest = "flat", "flat-1"

    def infer(self, request: DepthRequest) -> NDArray[np.float32]:
        return np.ones(request.pictures.shape[:3], np.float32)


def test_a_run_that_stops_before_it_tries_anything_leaves_no_empty_manifest_and_no_page(corpus: Corpus) -> None:
    for model in ("nothing", str(corpus.films / "no-model")):
        with pytest.raises(SpatialDreamerError):
            corpus.make(**{"pairs.depth.name": model})
        assert [path.name for path in corpus.output.iterdir()] == [".spatialdreamer"]
    corpus.make()
    with pytest.raises(SpatialDreamerError):
        corpus.make(**{"pairs.depth.name": "nothing"})
    assert len(corpus.rows()) == 7, "what an earlier run wrote stays"


def test_clips_of_flat_depth_or_without_flow_are_filtered_out_with_the_reason(corpus: Corpus) -> None:
    flat = corpus.make(**{"pairs.depth.name": f"{__name__}:Flat"})
    assert (flat.clips_done, flat.clips_filtered, flat.clips_failed) == (0, 7, 0)
    assert {row["reason"] for row in corpus.rows()} == {"depth_flat"}
    noise = np.random.default_rng(0).integers(0, 256, (8, 72, 112, 3), np.uint8)
    write_video(corpus.films / "noise.mkv", list(noise))
    corpus.make()
    reasons = [row["reason"] for row in corpus.rows() if row["source_uri"].endswith("noise.mkv")]
    assert len(reasons) == 2
    assert all("flow_failed" in reason for reason in reasons)


def test_a_model_that_gives_flat_depth_for_clip_after_clip_stops_the_run(corpus: Corpus) -> None:
    corpus.add_film("long.mkv", clips=60, seed=5)  # a few may be filtered out before their depth is looked at
    with pytest.raises(RunStoppedError, match="broken model"):
        corpus.make(**{"pairs.depth.name": f"{__name__}:Flat"})


def test_every_planned_clip_is_in_one_shard_once_and_has_one_row(corpus: Corpus) -> None:
    report = corpus.make()
    assert (report.files, report.clips_done, report.clips_failed, report.frames_made) == (2, 7, 0, 28)
    rows = corpus.rows()
    assert sorted(corpus.keys()) == sorted(row["clip_id"] for row in rows)
    assert len(corpus.shards()) == report.shards > 1
    for row in rows:
        data = corpus.shards()[row["file"]][row["offset"] : row["offset"] + row["bytes"]]
        assert hashlib.sha256(data).hexdigest() == row["sha256"]
        assert (row["status"], row["split"], row["verdict"] is None) == ("done", "train", False)
        assert row["hole_share"] > 0
    for commit in corpus.commits().values():
        assert hashlib.sha256(corpus.shards()[commit["file"]]).hexdigest() == commit["sha256"]


def test_the_same_command_again_makes_nothing_and_changes_no_byte(corpus: Corpus) -> None:
    corpus.make()
    before, manifest = corpus.shards(), corpus.rows()
    report = corpus.make()
    assert (report.frames_made, report.clips_done, report.shards) == (0, 7, len(before))
    assert corpus.shards() == before
    assert corpus.rows() == manifest


def test_the_same_corpus_elsewhere_gives_the_same_bytes(corpus: Corpus, tmp_path: Path) -> None:
    corpus.make()
    other = Corpus(corpus.films, tmp_path / "other")
    other.make()
    assert other.shards() == corpus.shards()


def test_a_grown_corpus_keeps_its_shards_and_gets_new_ones(corpus: Corpus) -> None:
    corpus.make()
    before = corpus.shards()
    corpus.add_film("new.mkv", clips=5, seed=9)
    report = corpus.make()
    assert (report.clips_done, report.frames_made) == (12, 20)
    after = corpus.shards()
    assert {name: after[name] for name in before} == before
    assert len(set(corpus.keys())) == len(corpus.keys()) == 12
    assert {row["generation"] for row in corpus.rows()} == {1, 2}


def test_other_settings_make_other_shards_beside_the_old_ones(corpus: Corpus) -> None:
    corpus.make()
    before = corpus.shards()
    corpus.make(**{"pairs.seed": 5})
    after = corpus.shards()
    assert {name: after[name] for name in before} == before
    assert len({Path(name).parent.name for name in after}) == 2
    assert len({(row["work_key"], row["clip_id"]) for row in corpus.rows()}) == 14


def test_a_clip_that_failed_is_set_aside_its_shard_goes_on_and_a_retry_makes_a_supplement(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from flows.commands.quarantine import retry

    flag = tmp_path / "break"
    flag.touch()
    monkeypatch.setenv("BREAK_FLAG", str(flag))
    options = {"pairs.depth.name": f"{__name__}:Breaks"}
    report = corpus.make(**options)
    assert (report.clips_done, report.clips_failed) == (5, 2)
    before = corpus.shards()
    failed = [row for row in corpus.rows() if row["status"] == "failed"]
    assert {row["reason"] for row in failed} == {"depth_failed"}
    flag.unlink()
    assert corpus.make(**options).frames_made == 0, "what was set aside stays so until somebody asks"
    assert len(list_set_aside(Place(str(corpus.output)))) == 2
    retry(str(corpus.output))
    report = corpus.make(**options)
    assert (report.clips_done, report.clips_failed, report.frames_made) == (7, 0, 8)
    after = corpus.shards()
    assert {name: after[name] for name in before} == before
    assert len(set(corpus.keys())) == len(corpus.keys()) == len(corpus.rows()) == 7
    assert corpus.make(**options).frames_made == 0


def test_a_source_that_cannot_be_read_gets_its_row_and_harms_no_other(corpus: Corpus) -> None:
    (corpus.films / "bad.mkv").write_bytes(b"no film" * 100)
    write_video(corpus.films / "short.mkv", scene(2, width=112, height=72))
    report = corpus.make()
    assert (report.clips_done, report.files_failed) == (7, 2)
    reasons = {Path(row["source_uri"]).name: row["reason"] for row in corpus.rows() if row["status"] == "failed"}
    assert reasons == {"bad.mkv": "unreadable", "short.mkv": "too_short"}
    corpus.add_film("bad.mkv", clips=2, seed=4)
    assert corpus.make().clips_done == 9
    assert [row["reason"] for row in corpus.rows() if row["status"] == "failed"] == ["too_short"]


def test_filtered_clips_have_rows_with_scores_and_reasons_and_no_sample(corpus: Corpus) -> None:
    still = scene(1, width=112, height=72, seed=8, cell=5) * 8
    write_video(corpus.films / "still.mkv", still)
    write_video(corpus.films / "tiny.mkv", scene(8, width=32, height=20, seed=3))
    report = corpus.make()
    assert (report.clips_done, report.clips_filtered) == (7, 4)
    by_name: dict[str, list[dict[str, Any]]] = {}
    for row in corpus.rows():
        by_name.setdefault(Path(row["source_uri"]).name, []).append(row)
    assert {row["reason"] for row in by_name["tiny.mkv"]} == {"too_small"}
    assert {row["status"] for row in by_name["still.mkv"]} == {"filtered"}
    assert "still" in by_name["still.mkv"][0]["reason"]
    assert by_name["still.mkv"][0]["motion_px"] < 0.1
    assert corpus.make().frames_made == 0, "what was filtered out is not made again"


def test_a_copy_of_a_film_adds_no_clip_and_a_shot_that_looks_alike_is_filtered_out(corpus: Corpus) -> None:
    (corpus.films / "copy.mkv").write_bytes((corpus.films / "pan.mkv").read_bytes())
    again = scene(16, width=112, height=72, seed=1, cell=5)
    write_video(corpus.films / "z again.mkv", again, options={"crf": "30"})
    report = corpus.make(**{"pairs.filters.max_duplicate_bits": 4})
    assert (report.clips_done, report.clips_filtered) == (7, 4)
    alike = [row for row in corpus.rows() if row["status"] == "filtered"]
    assert {row["reason"] for row in alike} == {"duplicate"}
    names = {Path(row["source_uri"]).name for row in alike}  # of two of one size either may stay
    assert names in ({"z again.mkv"}, {"pan.mkv"}, {"copy.mkv"})


def test_a_torn_fragment_is_made_again_from_its_shard(corpus: Corpus) -> None:
    corpus.make()
    before = corpus.rows()
    fragment = next(corpus.output.glob(".spatialdreamer/pairs/*/rows/train*.parquet"))
    fragment.write_bytes(fragment.read_bytes()[:100])
    corpus.make()
    after = corpus.rows()
    costs = {name for name in after[0] if name.endswith(("_s", "_at", "fps", "worker", "host", "_mb", "message"))}
    for a, b in zip(after, before, strict=True):
        assert {k: v for k, v in a.items() if k not in costs} == {k: v for k, v in b.items() if k not in costs}


def test_foreign_files_are_left_alone_and_enter_nothing(corpus: Corpus) -> None:
    corpus.make()
    rows = corpus.rows()
    shards = next((corpus.output / "shards").iterdir())
    (shards / "train-96x64-g0001-000099-0123456789ab.tar").write_bytes(b"foreign")
    (corpus.output / ".spatialdreamer" / "pairs" / "notes.txt").write_text("foreign")
    corpus.make()
    assert corpus.rows() == rows
    assert (shards / "train-96x64-g0001-000099-0123456789ab.tar").read_bytes() == b"foreign"


def test_a_source_that_is_gone_when_a_run_goes_on_fails_its_open_clips_only(corpus: Corpus) -> None:
    corpus.make()
    for commit in corpus.output.glob(".spatialdreamer/pairs/*/commits/*.json"):
        commit.unlink()
    (corpus.films / "slow.mp4").rename(corpus.films.parent / "away.mp4")
    report = corpus.make()
    assert (report.clips_done, report.clips_failed, report.files_failed) == (4, 4, 1), "three clips and their source"
    statuses = {row["clip_id"]: row["status"] for row in corpus.rows() if row["clip_id"]}
    assert len(statuses) == 7
    assert set(statuses.values()) == {"done", "failed"}


def test_imported_depth_that_has_changed_since_it_was_planned_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    depth = tmp_path / "depth"
    depth.mkdir()
    for name, frames in (("pan", 16), ("slow", 12)):
        slope = np.broadcast_to(np.linspace(0, 1, 72, dtype=np.float32)[:, None], (frames, 72, 112))
        np.save(depth / f"{name}.npy", slope)
    options = {"pairs.depth.import_from": str(depth)}
    assert corpus.make(**options).clips_done == 7
    np.save(depth / "pan.npy", np.ones((16, 72, 112), np.float32))
    report = corpus.make(**options)
    assert (report.clips_done, report.files_failed) == (7, 1)
    assert "depth_changed" in {row["reason"] for row in corpus.rows()}
