import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from spatialdreamer_core.depth.protocol import DepthRequest
from spatialdreamer_core.errors import ConfigError, StoreError
from spatialdreamer_core.store.lock import exclusive_run
from spatialdreamer_core.store.place import Place
from tasks.progress import Progress
from tests.flows.conftest import Library
from tests.media import decoded, flip_bytes, scene, write_audio, write_video

FULL_SBS = "3D.FSBS_LRF_Full_SBS.mkv"
ONLY_IN_THE_SECOND_SEGMENT = 90  # of a film of 96 frames; the first segment's window ends at 78


def add_long_film(library: Library) -> dict[str, Any]:
    write_video(library.films / "long.mkv", scene(96, width=64, height=36, seed=3))
    return {"convert.segment_frames": 48}


class BreaksOnce:
    """Depth that fails for one frame of long films, until the file named by an environment variable is gone."""

    name, digest = "breaks-once", "breaks-once-1"

    def __init__(self, config: Any, device: str) -> None:
        del config, device

    def infer(self, request: DepthRequest) -> NDArray[np.float32]:
        flag = os.environ.get("BREAK_FLAG", "")
        depth = request.pictures.mean(axis=3).astype(np.float32)
        if flag and Path(flag).exists() and request.frame_indices[0] == ONLY_IN_THE_SECOND_SEGMENT:
            depth[:] = np.nan
        return depth


class Dies(BreaksOnce):
    """Depth that kills its process at the same place."""

    name, digest = "dies", "dies-1"

    def infer(self, request: DepthRequest) -> NDArray[np.float32]:
        depth = super().infer(request)
        if np.isnan(depth).any():
            os._exit(1)
        return depth


def test_a_library_becomes_stereo_files_one_row_per_clip_and_a_page(library: Library) -> None:
    events: list[Progress] = []
    report = library.convert(events)
    assert (report.files_done, report.clips_done, report.clips_failed, report.frames_made) == (2, 4, 0, 68)
    assert set(library.visible()) == {
        f"pan.{FULL_SBS}",
        f"series/cut.{FULL_SBS}",
        "manifest.parquet",
        "report.html",
    }
    rows = library.rows()
    assert [(row["segment"], row["shot"], row["frames"]) for row in rows] == [
        (0, 0, 18), (1, 0, 22), (0, 0, 14), (1, 1, 14),
    ]  # fmt: skip
    assert all(row["status"] == "done" and row["hole_share_mean"] is not None for row in rows)
    assert [len(decoded(library.output / name)) for name in sorted(library.videos())] == [40, 28]
    assert (events[-1].frames_done, events[-1].files_done) == (68, 2)
    assert b"pan.mkv" in library.visible()["report.html"]


def test_the_same_command_again_makes_nothing_and_keeps_everything(library: Library) -> None:
    library.convert()
    before, rows = library.visible(), library.rows()
    report = library.convert()
    assert (report.files_done, report.clips_done, report.frames_made) == (2, 4, 0)
    assert library.rows() == rows
    assert library.visible() | {"report.html": b""} == before | {"report.html": b""}


def test_other_settings_do_not_mix_with_old_work(library: Library) -> None:
    library.convert()
    report = library.convert(**{"convert.encode.layout": "half-tb"})
    assert report.frames_made == 68
    assert len(library.videos()) == 4
    assert len({row["work_key"] for row in library.rows()}) == 2


@pytest.mark.ray
def test_ray_actors_and_this_process_make_the_same_bytes(library: Library, ray_session: None) -> None:
    library.convert()
    here = library.videos()
    other = Library(library.films, library.output.with_name("ray"))
    report = other.convert(executor="ray", workers=2)
    assert report.files_done == 2
    assert other.videos() == here


def test_bad_files_get_a_row_each_and_harm_no_other(library: Library) -> None:
    films = library.films
    (films / "empty.mp4").write_bytes(b"")
    (films / "text.mp4").write_text("this is no film")
    write_audio(films / "song.m4v", codec="aac")
    whole = (films / "series" / "cut.mp4").read_bytes()
    (films / "torn.mp4").write_bytes(whole[: len(whole) // 2])
    write_video(films / "one.mkv", scene(1, width=32, height=18))
    flip_bytes(write_video(films / "bruised.mkv", scene(30, width=64, height=36, seed=5)), 0.5, 0.6)
    report = library.convert()
    failed = {Path(row["source_uri"]).name: row for row in library.rows() if row["status"] == "failed"}
    assert set(failed) == {"empty.mp4", "text.mp4", "song.m4v", "torn.mp4"}
    for name, row in failed.items():
        assert name in row["message"], row["message"]
        assert row["reason"] in {"unreadable", "no_video", "decode_failed"}
    assert (report.files_done, report.files_failed) == (4, 4)
    assert f"one.{FULL_SBS}" in library.videos()


def test_a_source_that_appears_mended_loses_its_failed_row(library: Library) -> None:
    (library.films / "late.mkv").write_bytes(b"")
    library.convert()
    write_video(library.films / "late.mkv", scene(10, width=32, height=18))
    library.convert()
    assert {row["status"] for row in library.rows()} == {"done"}


def test_a_clip_that_failed_is_set_aside_then_retried_on_request(
    library: Library, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from flows.commands.quarantine import retry
    from tasks.set_aside import list_set_aside

    flag = tmp_path / "break"
    flag.touch()
    monkeypatch.setenv("BREAK_FLAG", str(flag))
    options = add_long_film(library) | {"convert.depth.name": f"{__name__}:BreaksOnce"}
    report = library.convert(**options)
    assert (report.files_done, report.clips_done, report.clips_failed) == (2, 4, 1)
    assert f"long.{FULL_SBS}" not in library.videos()
    bad = next(row for row in library.rows() if row["status"] == "failed")
    assert (bad["reason"], bad["segment"], bad["start_frame"]) == ("depth_failed", 1, 48)
    flag.unlink()
    assert library.convert(**options).clips_failed == 1, "what was set aside stays so until somebody asks"
    assert len(list_set_aside(Place(str(library.output)))) == 1
    retry(str(library.output))
    report = library.convert(**options)
    assert (report.files_done, report.clips_failed, report.frames_made) == (3, 0, 48)


@pytest.mark.ray
def test_a_clip_that_kills_its_worker_is_set_aside_and_the_rest_is_made(
    library: Library, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    flag = tmp_path / "break"
    flag.touch()
    script = tmp_path / "run.py"
    script.write_text(
        "import json, sys\nfrom flows.config import run_config\nfrom flows.run_convert import run_convert\n"
        "report = run_convert(run_config(json.loads(sys.argv[1]), 'test'), lambda _: None)\n"
        "print(json.dumps([report.files_done, report.clips_done, report.clips_failed]))\n"
    )
    options = add_long_film(library) | {"convert.depth.name": "tests.flows.test_run_convert:Dies"}
    settings = library.settings(executor="ray", workers=2, **options)
    import subprocess
    import sys

    root = Path(__file__).parents[2]
    environment = os.environ | {"BREAK_FLAG": str(flag), "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, str(script), json.dumps(settings)],
        env=environment, capture_output=True, text=True, check=True, cwd=root, timeout=200,
    )  # fmt: skip
    assert json.loads(done.stdout.splitlines()[-1]) == [2, 4, 1]
    bad = next(row for row in library.rows() if row["status"] == "failed")
    assert (bad["reason"], bad["attempts"], bad["segment"]) == ("worker_died", 2, 1)


def test_one_content_under_two_names_is_converted_once(library: Library) -> None:
    (library.films / "twin.mkv").write_bytes((library.films / "pan.mkv").read_bytes())
    report = library.convert()
    assert report.frames_made == 68
    videos = library.videos()
    assert videos[f"pan.{FULL_SBS}"] == videos[f"twin.{FULL_SBS}"]
    assert len(library.rows()) == 6


def test_nothing_half_written_stays_after_a_run(library: Library) -> None:
    library.convert()
    names = [path.name for path in (library.output / ".spatialdreamer").rglob("*") if path.is_file()]
    assert not [name for name in names if name.endswith(".mkv")], "chunks go once they are joined"
    assert not list((library.output / ".spatialdreamer" / "scratch").iterdir())


def test_a_lost_result_is_made_again(library: Library) -> None:
    library.convert()
    before = library.videos()
    (library.output / f"pan.{FULL_SBS}").unlink()
    assert library.convert().frames_made == 40
    assert library.videos() == before


def test_depth_is_exported_beside_the_film(library: Library) -> None:
    library.convert(**{"convert.export_depth": True, "include": ["*pan*"]})
    assert len(list((library.output / "pan_depth").glob("*.png"))) == 40


def test_left_and_right_files_are_two(library: Library) -> None:
    library.convert(**{"convert.encode.layout": "left-right-files", "include": ["*cut*"]})
    assert len(library.videos()) == 2


def test_only_the_chosen_part_is_converted(library: Library) -> None:
    report = library.convert(**{"convert.start_s": 0.4, "convert.duration_s": 0.8, "include": ["*pan*"]})
    assert report.frames_made == 20
    assert len(decoded(library.output / f"pan.{FULL_SBS}")) == 20


def test_two_runs_on_one_output_are_refused(library: Library) -> None:
    place = Place(str(library.output))
    place.prepare()
    with exclusive_run(place), pytest.raises(StoreError, match="another run"):
        library.convert()


def test_results_do_not_go_into_the_source_folder_itself(library: Library) -> None:
    with pytest.raises(ConfigError, match="is a source folder itself"):
        Library(library.films, library.films).convert()


def test_a_folder_without_videos_says_where_it_looked(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    with pytest.raises(ConfigError, match=str(tmp_path / "films")):
        Library(tmp_path / "films", tmp_path / "out").convert()


def test_an_unknown_depth_stops_before_work(library: Library) -> None:
    with pytest.raises(ConfigError, match="no depth estimator is called 'nothing'"):
        library.convert(**{"convert.depth.name": "nothing"})
    assert library.visible() == {}  # no empty manifest, no page of nothing
