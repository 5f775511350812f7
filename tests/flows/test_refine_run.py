"""Conversion with a network that paints holes: what is recorded, and that it ends in the same bytes by whatever way."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from flows.cli import app
from spatialdreamer_core.depth.protocol import DepthRequest
from spatialdreamer_core.errors import ConfigError
from spatialdreamer_core.store.place import Place
from tests.core.refine.stand_in import write_stand_in
from tests.flows.conftest import Library

DEEP = {"convert.stereo.strength_pct": 10.0}


class StepInOneFilm:
    """Depth with an edge in the film of 16:9, and a slope in the other."""

    name, digest = "step", "step-1"

    def __init__(self, config: Any, device: str) -> None:
        del config, device

    def infer(self, request: DepthRequest) -> NDArray[np.float32]:
        rows, columns = request.pictures.shape[1:3]
        depth = np.tile(np.linspace(0, 1, columns, dtype=np.float32), (rows, 1))
        return np.stack([np.round(1 - depth) if rows == 36 else depth] * len(request.pictures))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stand_in(tmp_path_factory.mktemp("weights"), bright=0.3)


@pytest.fixture
def refined(weights: Path) -> dict[str, Any]:
    return DEEP | {"convert.refine.name": "mini", "convert.refine.weights": str(weights)}


def columns(library: Library) -> list[tuple[Any, ...]]:
    names = ("refiner", "refine_reason", "refined_share", "refine_s")
    return [tuple(row[name] for name in names) for row in library.rows()]


def test_every_row_says_what_painted_its_holes_and_why(library: Library, refined: dict[str, Any]) -> None:
    assert library.convert(**refined).clips_failed == 0
    assert [told[:2] for told in columns(library)] == [("mini", "every shot")] * 4
    assert all(seconds > 0 for _, _, _, seconds in columns(library))
    assert max(share for _, _, share, _ in columns(library)) > 0  # some clips' holes are too small for a tile
    assert all(row["expected_hole_share"] is not None for row in library.rows())
    assert b"Refined" in library.visible()["report.html"]
    plain = Library(library.films, library.output.with_name("plain"))
    plain.convert(**DEEP, **{"convert.refine.name": "none"})
    assert columns(plain) == [("none", "not asked for", 0.0, 0.0)] * 4
    assert plain.videos() != library.videos()


def test_shots_that_do_not_earn_it_are_made_as_without_a_network(library: Library, refined: dict[str, Any]) -> None:
    library.convert(**refined, **{"convert.refine.least_hole_share": 0.9})
    assert {told[0] for told in columns(library)} == {"none"}
    assert all("90.00 % earn it" in told[1] for told in columns(library))
    plain = Library(library.films, library.output.with_name("plain"))
    plain.convert(**DEEP, **{"convert.refine.name": "none"})
    assert plain.videos() == library.videos()


def test_a_lost_segment_is_painted_again_to_the_same_bytes(library: Library, refined: dict[str, Any]) -> None:
    library.convert(**refined)
    before, place = library.videos(), Place(str(library.output))
    for name, data in before.items():
        if name.startswith("pan"):
            (library.output / name).write_bytes(data[:-1])  # so that it must be joined again
    folders = {row["source_id"]: row["work_key"] for row in library.rows() if row["source_uri"].endswith("pan.mkv")}
    ((source, key),) = folders.items()
    place.remove(f".spatialdreamer/work/{key}/{source}/commits/000000.json")
    report = library.convert(**refined)
    assert report.files_done == 2
    assert 0 < report.frames_made < 68
    assert library.videos() == before


@pytest.mark.ray
def test_ray_actors_and_this_process_paint_the_same_bytes(
    library: Library, refined: dict[str, Any], ray_session: None
) -> None:
    library.convert(**refined)
    other = Library(library.films, library.output.with_name("ray"))
    assert other.convert(**refined, executor="ray", workers=2).files_done == 2
    assert other.videos() == library.videos()


def test_wrong_weights_are_one_sentence_before_any_work(
    library: Library, refined: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"refine weights nowhere: no such folder"):
        library.convert(**refined | {"convert.refine.weights": "nowhere"})
    (tmp_path / "cut").mkdir()
    with pytest.raises(ConfigError, match=r"mini weights .*: cannot be read"):
        library.convert(**refined | {"convert.refine.weights": str(tmp_path / "cut")})
    assert not Place(str(library.output)).keys(".spatialdreamer/work")


def test_a_network_that_fails_costs_the_clips_that_it_was_to_paint_and_no_other(
    library: Library, refined: dict[str, Any], tmp_path: Path
) -> None:
    broken = write_stand_in(tmp_path / "broken", bright=float("nan"))
    options = {
        "convert.refine.least_hole_share": 1e-6,
        "convert.refine.weights": str(broken),
        "convert.depth.name": f"{__name__}:StepInOneFilm",
    }
    report = library.convert(**refined | options)
    rows = library.rows()
    assert {row["reason"] for row in rows} == {"refine_failed", None}
    assert all("NaN or infinite colours" in row["message"] for row in rows if row["status"] == "failed")
    assert {row["refiner"] for row in rows if row["status"] == "done"} == {"none"}
    assert (report.clips_failed, report.clips_done, report.files_done) == (2, 2, 1)


def test_doctor_and_probe_tell_of_refiners(library: Library) -> None:
    doctor = CliRunner().invoke(app, ["doctor", "--json"])
    assert "mini" in json.loads(doctor.stdout)["refine"]
    probe = CliRunner().invoke(app, ["probe", "--json", "--no-shots", str(library.films / "pan.mkv")])
    assert "refine" in json.loads(probe.stdout)
