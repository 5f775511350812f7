"""The gate of a conversion: what passes, what is made again, and that it ends in the same bytes by whatever way."""

from pathlib import Path
from typing import Any

import pytest

from spatialdreamer_core.store.place import Place
from tests.flows.conftest import Library
from tests.media import decoded, scene, write_video

NAME = "3D.FSBS_LRF_Full_SBS.mkv"
TINY = {"convert.segment_frames": 12}
HARSH = TINY | {"gate.e_warp_ratio": {"review": 0.0, "fail": 0.0}}  # whatever is measured fails
AGAIN = HARSH | {"gate.rerender": True}
FRAMES, SEGMENTS = 40, 4  # of two shots


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of two shots, each in two segments."""
    folder = tmp_path_factory.mktemp("films")
    shots = [*scene(20, width=64, height=36, seed=1), *scene(20, width=64, height=36, seed=2, cell=5)]
    write_video(folder / "film.mkv", shots)
    return folder


@pytest.fixture(scope="module")
def plain(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Library:
    """The film converted without making anything again."""
    library = Library(films, tmp_path_factory.mktemp("plain"))
    library.convert(**TINY)
    return library


@pytest.fixture(scope="module")
def gated(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Library:
    """The film with both shots made again."""
    library = Library(films, tmp_path_factory.mktemp("gated"))
    report = library.convert(**AGAIN)
    assert (report.shots_retaken, report.frames_made, report.clips_done) == (2, 2 * FRAMES, SEGMENTS)
    return library


@pytest.fixture
def film(films: Path, tmp_path: Path) -> Library:
    return Library(films, tmp_path / "out")


def told(library: Library) -> list[tuple[Any, ...]]:
    names = ("segment", "shot", "gate", "gate_reasons", "take", "strength_pct", "convergence", "work_key", "notes")
    return [tuple(row[name] for name in names) for row in library.rows()]


def test_other_limits_judge_again_without_making_anything(film: Library, plain: Library) -> None:
    film.convert(**TINY)
    assert {row["take"] for row in film.rows()} == {1}
    report = film.convert(**HARSH)
    assert report.frames_made == 0
    assert [row["gate"] for row in film.rows()] == ["fail"] * SEGMENTS
    assert all("e_warp_ratio" in row["gate_reasons"] for row in film.rows())
    assert (report.gate, report.shots_retaken) == ({"pass": 0, "review": 0, "fail": SEGMENTS}, 0)
    assert film.videos() == plain.videos()


def test_a_failing_clip_has_its_whole_shot_made_again_and_no_other(film: Library, plain: Library) -> None:
    first = plain.rows()
    worst = max(first, key=lambda row: row["e_warp_ratio"])
    below = max(row["e_warp_ratio"] for row in first if row["shot"] != worst["shot"])
    between = (below + worst["e_warp_ratio"]) / 2
    only_one = {"gate.e_warp_ratio": {"review": None, "fail": between}, "gate.luma_step_max": {}}
    report = film.convert(**TINY | only_one | {"gate.rerender": True})
    rows = film.rows()
    for row, before in zip(rows, first, strict=True):
        again = row["shot"] == worst["shot"]
        assert row["strength_pct"] == pytest.approx((0.6 if again else 1.0) * before["strength_pct"])
        assert row["take"] == (2 if again else 1)
        said = [note for note in row["notes"] if note.startswith("gate: the shot failed for e_warp_ratio and was made")]
        assert len(said) == again
    assert (report.shots_retaken, report.frames_made, len(rows)) == (1, FRAMES + 20, SEGMENTS)
    assert len({row["work_key"] for row in rows}) == 1
    made, before_pictures = decoded(film.output / f"film.{NAME}"), decoded(plain.output / f"film.{NAME}")
    pairs = zip(made, before_pictures, strict=True)
    same = [bytes(a.planes[0]) == bytes(b.planes[0]) for a, b in pairs]
    assert same == [row["shot"] != worst["shot"] for row in rows for _ in range(row["frames"])]


def test_a_shot_is_made_again_once_and_the_same_command_makes_nothing_more(gated: Library) -> None:
    videos, rows = gated.videos(), gated.rows()
    assert {row["gate"] for row in rows} == {"fail"}, "it still fails, and that is said"
    report = gated.convert(**AGAIN)
    assert (report.frames_made, report.shots_retaken, report.files_done) == (0, 2, 1)
    assert (gated.videos(), gated.rows()) == (videos, rows)
    assert not [key for key in Place(str(gated.output)).keys(".spatialdreamer") if key.endswith(".mkv")]


def test_gating_what_is_finished_ends_in_the_same_bytes(film: Library, gated: Library) -> None:
    film.convert(**TINY)
    report = film.convert(**AGAIN)
    assert report.frames_made == FRAMES, "its chunks are gone, so all of it is made again"
    assert film.videos() == gated.videos()
    assert told(film) == told(gated)


@pytest.mark.parametrize("part", ["/plan.npz", "/retakes/", "/chunks/", f"film.{NAME}", "/finished/", "manifest/"])
def test_a_run_that_dies_at_the_second_take_goes_on_to_the_same_bytes(
    film: Library, gated: Library, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    publish_file, first_takes = Place.publish_file, {"/plan.npz": 1, "/chunks/": SEGMENTS + 1}.get(part, 0)
    met = 0

    def dying(place: Place, scratch: Path, key: str) -> None:
        nonlocal met
        met += part in key
        if part in key and met > first_takes:
            raise KeyboardInterrupt
        publish_file(place, scratch, key)

    with monkeypatch.context() as patch:
        patch.setattr(Place, "publish_file", dying)
        with pytest.raises(KeyboardInterrupt):
            film.convert(**AGAIN)
    film.convert(**AGAIN)
    assert film.videos() == gated.videos()
    assert told(film) == told(gated)


def test_a_lost_result_and_a_lost_plan_are_made_again(film: Library, gated: Library) -> None:
    film.convert(**AGAIN)
    (film.output / f"film.{NAME}").unlink()
    for plan in film.output.glob(".spatialdreamer/work/*/*/plan.npz"):
        plan.unlink()
    assert film.convert(**AGAIN).frames_made == FRAMES
    assert film.videos() == gated.videos()
    assert told(film) == told(gated)


def test_a_twin_gets_the_second_take_and_a_bad_file_fails_for_its_reason(tmp_path: Path, gated: Library) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    for name in ("film.mkv", "twin.mkv"):
        (folder / name).write_bytes((gated.films / "film.mkv").read_bytes())
    (folder / "empty.mp4").write_bytes(b"")
    library = Library(folder, tmp_path / "out")
    report = library.convert(**AGAIN)
    assert library.videos()[f"film.{NAME}"] == library.videos()[f"twin.{NAME}"] == gated.videos()[f"film.{NAME}"]
    rows = {(Path(row["source_uri"]).name, row["segment"]): row for row in library.rows()}
    assert len(rows) == 2 * SEGMENTS + 1
    bad = rows.pop(("empty.mp4", -1))
    assert (bad["gate"], bad["gate_reasons"], bad["take"]) == ("fail", [bad["reason"]], None)
    assert {row["take"] for row in rows.values()} == {2}
    assert (report.files_done, report.frames_made) == (2, 2 * FRAMES)


def test_exported_depth_is_whole_after_a_second_take(film: Library) -> None:
    film.convert(**AGAIN | {"convert.export_depth": True})
    assert len(list((film.output / "film_depth").glob("*.png"))) == FRAMES
