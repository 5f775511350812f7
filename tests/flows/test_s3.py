"""Sources and results on S3, against a server of the same protocol on this machine."""

import io
import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq
import pytest

pytest.importorskip("s3fs")
pytest.importorskip("moto.server")

import s3fs
from moto.server import ThreadedMotoServer

from flows.config import run_config
from flows.dashboard import queries
from flows.dashboard.library import open_library
from flows.dashboard.preview import preview
from flows.report import publish_report, write_report_to
from flows.run_convert import run_convert
from spatialdreamer_core.errors import ConfigError, StoreError
from spatialdreamer_core.pairs.dataset import dataset_shards
from spatialdreamer_core.pairs.garbage import find_orphans
from spatialdreamer_core.pairs.verify import verify_shard
from spatialdreamer_core.store.place import Place
from tasks.convert_library import LibraryReport
from tests.flows.pairs_corpus import Corpus
from tests.media import decoded, scene, write_video

NAME = "3D.FSBS_LRF_Full_SBS.mkv"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[s3fs.S3FileSystem]:
    """An S3 whose bucket ``library`` holds two tiny films under ``films``."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "tester",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    s3 = s3fs.S3FileSystem()
    s3.mkdir("library")
    write_video(tmp_path / "a.mkv", scene(30, width=48, height=32))
    write_video(tmp_path / "b.mp4", scene(10, width=48, height=32, seed=2), audio_s=0.4)
    s3.put_file(str(tmp_path / "a.mkv"), "library/films/a.mkv")
    s3.put_file(str(tmp_path / "b.mp4"), "library/films/season 1/b.mp4")
    yield s3
    s3.rm("library", recursive=True)
    s3fs.S3FileSystem.clear_instance_cache()


def convert(output: str = "s3://library/stereo", source: str = "s3://library/films") -> LibraryReport:
    settings = {
        "sources": [source],
        "output": output,
        "executor": "in-process",
        "prefect": "off",
        "convert": {"depth": {"width": 64}, "segment_frames": 18},
    }
    return run_convert(run_config(settings, "test"), lambda _: None)


def test_a_library_on_s3_becomes_stereo_on_s3(bucket: s3fs.S3FileSystem, tmp_path: Path) -> None:
    report = convert()
    assert (report.files_done, report.files_failed, report.frames_made) == (2, 0, 40)
    found = {path for path in bucket.find("library/stereo") if ".spatialdreamer" not in path}
    assert found == {
        f"library/stereo/{name}" for name in (f"a.{NAME}", f"season 1/b.{NAME}", "manifest.parquet", "report.html")
    }
    for name, frames in ((f"a.{NAME}", 30), (f"season 1/b.{NAME}", 10)):
        bucket.get_file(f"library/stereo/{name}", str(tmp_path / "back.mkv"))
        assert len(decoded(tmp_path / "back.mkv")) == frames
    rows = pq.read_table(io.BytesIO(bucket.cat_file("library/stereo/manifest.parquet"))).to_pylist()
    assert {row["source_uri"] for row in rows} == {"s3://library/films/a.mkv", "s3://library/films/season 1/b.mp4"}
    assert {row["status"] for row in rows} == {"done"}
    assert b"a.mkv" in bucket.cat_file("library/stereo/report.html")


def test_the_page_of_a_library_on_s3_is_made_again_with_its_pictures(bucket: s3fs.S3FileSystem, tmp_path: Path) -> None:
    convert()
    page = bucket.cat_file("library/stereo/report.html")
    assert page.count(b"data:image/jpeg") >= 2  # a clip of each film, and those to look at first
    bucket.rm_file("library/stereo/report.html")
    publish_report("s3://library/stereo")
    write_report_to("s3://library/stereo", tmp_path / "page.html")
    assert bucket.cat_file("library/stereo/report.html") == (tmp_path / "page.html").read_bytes() == page


def test_the_dashboard_reads_a_library_on_s3_and_cuts_a_preview_out_of_it(bucket: s3fs.S3FileSystem) -> None:
    convert()
    library = open_library("s3://library/stereo")
    assert queries.totals(library)["clips"] == library.rows == 3
    clip = queries.clip_at(library, "s3://library/films/a.mkv", 1)
    assert clip is not None
    shown = preview(library.place, clip, "full-sbs", swapped=False)
    assert (shown.stereo, shown.width, shown.height) == (True, 96, 32)
    convert(source="s3://library/films/a.mkv", output="s3://library/other")
    assert open_library("s3://library/other").version != library.version


def test_the_bytes_are_those_of_a_local_run(bucket: s3fs.S3FileSystem, tmp_path: Path) -> None:
    convert()
    convert(output=str(tmp_path / "out"))
    assert bucket.cat_file(f"library/stereo/a.{NAME}") == (tmp_path / "out" / f"a.{NAME}").read_bytes()


def test_the_same_run_again_on_s3_makes_nothing(bucket: s3fs.S3FileSystem) -> None:
    convert()
    before = {path: bucket.info(path)["ETag"] for path in bucket.find("library/stereo") if path.endswith(".mkv")}
    report = convert()
    assert (report.files_done, report.frames_made) == (2, 0)
    bucket.invalidate_cache()
    assert {path: bucket.info(path)["ETag"] for path in before} == before


def test_a_result_lost_from_s3_is_made_again(bucket: s3fs.S3FileSystem) -> None:
    convert()
    bucket.rm_file(f"library/stereo/a.{NAME}")
    assert convert().frames_made == 30


def test_pairs_made_on_s3_are_those_of_a_local_run_and_train_from_there(
    bucket: s3fs.S3FileSystem, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    from spatialdreamer_core.training.data import PairsData

    films = tmp_path / "films"
    films.mkdir()
    here, there = Corpus(films, tmp_path / "here"), Corpus(films, tmp_path / "there")
    bucket.put_file(str(here.add_film("pan.mkv", clips=5, seed=1)), "library/pairs films/pan.mkv")
    here.make()
    for again in (False, True):
        report = there.make(sources=["s3://library/pairs films"], output="s3://library/pairs")
        assert (report.clips_done, report.frames_made) == (5, 0 if again else 20)
    tars = {path.removeprefix("library/pairs/"): bucket.cat_file(path) for path in bucket.find("library/pairs/shards")}
    assert [len(tar) for tar in tars.values()] == [len(tar) for tar in here.shards().values()]  # but for the URL inside
    place = Place("s3://library/pairs")
    assert [verify_shard(place, commit) for commit in dataset_shards(place)] == [[], []]
    assert find_orphans(place) == []
    local, remote = (PairsData(url, verdicts=("train", "review", "reject")) for url in (str(here.output), place.url))
    for a, b in zip(local, remote, strict=True):
        assert a.keys == b.keys
        assert a.target.equal(b.target)
    remote.load_state_dict(remote.state_dict(batches=3) | {"epoch": 0})
    assert len(list(remote)) == 2


def test_of_many_writers_of_one_commit_exactly_one_wins(bucket: s3fs.S3FileSystem) -> None:
    place = Place("s3://library/stereo")
    place.prepare()

    def write(number: int) -> bool:
        return Place("s3://library/stereo").create("commits/000001.json", json.dumps(number).encode())

    with ThreadPoolExecutor(4) as pool:
        won = list(pool.map(write, range(8)))
    assert sum(won) == 1
    assert place.read("commits/000001.json") == json.dumps(won.index(True)).encode()
    assert not place.create("commits/000001.json", b"late")


def test_a_store_that_keeps_its_promises_is_not_warned_of(
    bucket: s3fs.S3FileSystem, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        Place("s3://library/stereo").prepare()
    assert "spatialdreamer" not in " ".join(record.name for record in caplog.records)
    assert bucket.find("library/stereo") == [], "trying the place leaves nothing behind"


def test_a_bucket_that_does_not_exist_is_told_in_a_sentence(bucket: s3fs.S3FileSystem) -> None:
    with pytest.raises((StoreError, ConfigError), match="no-such-bucket"):
        convert(output="s3://no-such-bucket/stereo")
    with pytest.raises((StoreError, ConfigError), match="no-such-bucket"):
        convert(source="s3://no-such-bucket/films")


def test_what_is_gone_from_s3_is_told_in_a_sentence(bucket: s3fs.S3FileSystem) -> None:
    place = Place("s3://library/stereo")
    assert place.read("nothing") is None
    assert place.size("nothing") is None
    with pytest.raises(StoreError, match=r"chunks/1\.mkv"), place.local_copy("chunks/1.mkv"):
        pass


def test_a_server_that_is_away_is_told_in_a_sentence(
    bucket: s3fs.S3FileSystem, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3fs.S3FileSystem.clear_instance_cache()
    write_video(tmp_path / "film.mkv", scene(2, width=32, height=18))
    with pytest.raises((StoreError, ConfigError), match=r"s3://library/stereo"):
        convert(source=str(tmp_path / "film.mkv"))


def test_a_training_on_s3_goes_on_from_there_and_leaves_all_that_a_local_one_does(
    bucket: s3fs.S3FileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    from flows.run_train import run_train
    from flows.train_config import train_run_config
    from spatialdreamer_core.training.stereo.progress import TrainProgress
    from spatialdreamer_core.training.stereo.sizes import RECIPES

    monkeypatch.setitem(RECIPES, "mini", "tests.tiny_recipe")
    settings = {
        "output": "s3://library/trained",
        "device": "cpu",
        "train": {"steps": 12, "batch": 2},
        "pace": {"save_every": 4, "minutes": 1e-6},
    }
    report = run_train(train_run_config(settings, "test"), lambda event: None)
    assert (report.stopped, report.step) == ("minutes", 1)
    events: list[TrainProgress] = []
    report = run_train(train_run_config(settings | {"pace": {"save_every": 4}}, "test"), events.append)
    assert (report.stopped, report.steps_made) == ("done", 11)
    assert events[0].message.startswith("going on after step 1 of 12")
    folders = {path.removeprefix("library/trained/").partition("/")[0] for path in bucket.find("library/trained")}
    assert folders == {"weights", "curve.jsonl", "pictures", "tensorboard", "checkpoints", ".spatialdreamer"}
    assert len(bucket.ls("library/trained/checkpoints")) == 2 * 3
    assert [json.loads(line)["step"] for line in bucket.cat_file("library/trained/curve.jsonl").splitlines()][-1] == 12
