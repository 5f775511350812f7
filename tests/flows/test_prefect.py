"""The flow against a real Prefect API: what it returns, and what can be seen of it afterwards."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.sorting import ArtifactSort
from prefect.testing.utilities import prefect_test_harness

from flows.config import run_config
from tasks.convert_library import LibraryReport
from tasks.progress import Progress
from tests.flows.conftest import Library
from tests.media import scene, write_video

Convert = Flow[..., LibraryReport]

pytestmark = [
    pytest.mark.prefect,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def api() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=90):
        yield


@pytest.fixture
def one_film(tmp_path: Path) -> Library:
    (tmp_path / "films").mkdir()
    write_video(tmp_path / "films" / "pan.mkv", scene(12, width=48, height=32))
    return Library(tmp_path / "films", tmp_path / "out")


@pytest.fixture(scope="module")
def convert() -> Convert:
    from flows.convert import convert

    return cast(Convert, convert)


def seen() -> dict[str, Any]:
    """What the API knows: states of flow runs, names of task runs, artifacts by key."""
    with get_client(sync_client=True) as client:
        artifacts = client.read_artifacts(sort=ArtifactSort.CREATED_DESC)
        return {
            "flows": [run.state_name for run in client.read_flow_runs()],
            "tasks": sorted(run.name.rsplit("-", 1)[0] for run in client.read_task_runs()),
            "artifacts": {artifact.key: artifact for artifact in reversed(artifacts)},  # the newest of each key
        }


def new(before: dict[str, Any], after: dict[str, Any], what: str) -> list[str]:
    rest = list(after[what])
    for name in before[what]:
        rest.remove(name)
    return rest


def test_the_flow_converts_a_library_in_three_task_runs_and_leaves_a_summary(
    one_film: Library, convert: Convert
) -> None:
    before, events = seen(), list[Progress]()
    report = convert(run_config(one_film.settings(), "test"), events.append)
    assert (report.files_done, report.clips_failed, report.frames_made) == (1, 0, 12)
    assert events[-1].files_done == 1
    assert len(one_film.videos()) == 1
    assert len(one_film.rows()) == 1
    after = seen()
    assert new(before, after, "flows") == ["Completed"]
    assert new(before, after, "tasks") == ["convert-sources", "publish-manifest", "publish-report"]
    summary = after["artifacts"]["convert-summary"]
    assert report.run_id in str(summary.data)
    assert "1 / 0 of 1" in str(summary.data)
    assert "convert-progress" in after["artifacts"]
    assert float(after["artifacts"]["convert-progress"].data) == 100.0


def test_plain_settings_work_as_a_deployment_gives_them(one_film: Library, convert: Convert) -> None:
    report = convert(one_film.settings())
    assert (report.files_done, report.frames_made) == (1, 12)
    assert convert(one_film.settings()).frames_made == 0


def test_wrong_settings_fail_the_flow_with_the_place_of_the_mistake(one_film: Library, convert: Convert) -> None:
    before = seen()
    with pytest.raises(ValueError, match="wokers"):
        convert(one_film.settings(wokers=3))
    assert new(before, seen(), "flows") == ["Failed"]


def test_failed_clips_are_in_the_report_the_summary_and_the_manifest(one_film: Library, convert: Convert) -> None:
    (one_film.films / "bad.mp4").write_bytes(b"")
    report = convert(one_film.settings())
    assert (report.files_done, report.files_failed) == (1, 1)
    assert {row["status"] for row in one_film.rows()} == {"done", "failed"}
    assert "| 1 / 1 of 2 |" in str(seen()["artifacts"]["convert-summary"].data)


def test_the_command_records_its_run_when_asked(one_film: Library, tmp_path: Path) -> None:
    import yaml
    from typer.testing import CliRunner

    from flows.cli import app

    settings = tmp_path / "run.yaml"
    settings.write_text(yaml.safe_dump(one_film.settings()))
    before = seen()
    result = CliRunner().invoke(app, ["convert", "--config", str(settings), "--prefect", "on", "--quiet"])
    assert result.exit_code == 0, result.output
    assert new(before, seen(), "flows") == ["Completed"]


def test_an_evaluation_leaves_its_table_as_an_artifact(tmp_path: Path) -> None:
    from flows.evaluate import evaluate
    from tests.core.evaluate.made import write_still

    write_still(tmp_path / "pairs" / "board")
    settings = {"material": [str(tmp_path / "pairs")], "output": str(tmp_path / "out"), "evaluate": {"lpips": []}}
    before = seen()
    report = evaluate(settings)
    after = seen()
    assert (report.clips, report.rows_made) == (1, 5)
    assert new(before, after, "tasks") == ["measure-clips"]
    assert "| identity |" in str(after["artifacts"]["evaluate-table"].data)


def test_pairs_are_made_in_three_task_runs_with_progress_and_a_summary(tmp_path: Path) -> None:
    from flows.make_pairs import make_pairs
    from tests.flows.pairs_corpus import Corpus

    (tmp_path / "films").mkdir()
    corpus = Corpus(tmp_path / "films", tmp_path / "out")
    corpus.add_film("pan.mkv", clips=3, seed=1)
    before = seen()
    report = make_pairs(corpus.settings())
    assert (report.clips_done, report.frames_made) == (3, 12)
    after = seen()
    assert new(before, after, "flows") == ["Completed"]
    assert new(before, after, "tasks") == ["make-pairs-of-sources", "publish-pairs-manifest", "publish-pairs-report"]
    assert report.run_id in str(after["artifacts"]["make-pairs-summary"].data)
    assert float(after["artifacts"]["make-pairs-progress"].data) == 100.0


def test_the_flow_trains_in_one_task_run_and_leaves_a_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.train import train
    from flows.train_config import train_run_config
    from spatialdreamer_core.training.stereo.progress import TrainProgress
    from spatialdreamer_core.training.stereo.sizes import RECIPES

    monkeypatch.setitem(RECIPES, "mini", "tests.tiny_recipe")
    settings = {"output": str(tmp_path / "out"), "device": "cpu", "train": {"steps": 6, "batch": 2}}
    before, events = seen(), list[TrainProgress]()
    report = train(train_run_config(settings, "test"), events.append)
    assert (report.stopped, report.step) == ("done", 6)
    assert events[-1].message.startswith("step 6: error")
    after = seen()
    assert new(before, after, "flows") == ["Completed"]
    assert new(before, after, "tasks") == ["train-network"]
    assert after["artifacts"]["train-progress"].data == 100
    assert f"{tmp_path}/out/weights" in after["artifacts"]["train-summary"].data
