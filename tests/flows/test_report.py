"""``spatialdreamer report`` as people type it."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from flows.cli import app
from spatialdreamer_core.pairs.manifest import PAIRS
from spatialdreamer_core.store.manifest import write_fragment
from tests.flows.conftest import Library

DONE, STOPPED = 0, 1
ROW = {"source_uri": "a.mp4", "segment": 0, "shot": 0, "status": "done", "start_s": 0.0, "end_s": 4.0}


def report(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


def library_of(folder: Path, *rows: dict[str, object]) -> Path:
    folder.mkdir()
    write_fragment(rows, folder / "manifest.parquet")
    return folder


def test_it_writes_the_page_that_convert_wrote(library: Library) -> None:
    library.convert()
    page = library.output / "report.html"
    before = page.read_bytes()
    page.unlink()
    result = report(library.output)
    assert (result.exit_code, result.stdout) == (DONE, f"{library.output}/report.html\n")
    assert page.read_bytes() == before
    assert b"data:image/jpeg" in before


def test_it_writes_to_another_file_and_nothing_to_the_library(tmp_path: Path) -> None:
    library = library_of(tmp_path / "out", ROW)
    result = report(library, "--output", tmp_path / "pages" / "a.html")
    assert (result.exit_code, result.stdout) == (DONE, f"{tmp_path}/pages/a.html\n")
    assert "The one clip is done" in (tmp_path / "pages" / "a.html").read_text()
    assert [path.name for path in library.iterdir()] == ["manifest.parquet"]


def test_refresh_gathers_what_a_conversion_under_way_has_done(library: Library) -> None:
    library.convert(include=["*pan*"])
    for name in ("manifest.parquet", "report.html"):
        (library.output / name).unlink()
    assert report(library.output).exit_code == STOPPED
    assert report(library.output, "--refresh").exit_code == DONE
    assert "All 2 clips are done" in (library.output / "report.html").read_text()


def test_an_empty_manifest_makes_a_page_that_says_so(tmp_path: Path) -> None:
    assert report(library_of(tmp_path / "out")).exit_code == DONE
    assert "Nothing has been converted yet" in (tmp_path / "out" / "report.html").read_text()


def test_a_dataset_of_pairs_has_its_page_too(tmp_path: Path) -> None:
    PAIRS.write([{"source_uri": "a.mp4", "status": "filtered", "reason": "dark"}], tmp_path / "pairs.parquet")
    assert report(tmp_path).exit_code == DONE
    assert "0 pairs made" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("option", [(), ("--refresh",)])
def test_a_folder_that_is_none_is_named_and_not_made(tmp_path: Path, option: tuple[str, ...]) -> None:
    result = report(tmp_path / "nothing", *option)
    assert result.exit_code == STOPPED
    assert f"{tmp_path}/nothing: no " in result.stderr
    assert not (tmp_path / "nothing").exists()


def test_a_torn_and_a_foreign_manifest_are_named_and_no_page_is_written(tmp_path: Path) -> None:
    torn = library_of(tmp_path / "torn", *({**ROW, "segment": n} for n in range(50)))
    whole = (torn / "manifest.parquet").read_bytes()
    (torn / "manifest.parquet").write_bytes(whole[: len(whole) // 2])
    foreign = library_of(tmp_path / "foreign", ROW)
    pq.write_table(pa.table({"a": [1]}), foreign / "manifest.parquet")
    for folder, said in ((torn, "not a readable Parquet file"), (foreign, "not a manifest of this program")):
        result = report(folder)
        assert result.exit_code == STOPPED
        assert f"{folder} manifest.parquet: " in result.stderr
        assert said in result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert not (folder / "report.html").exists()


@pytest.mark.parametrize("key", ["../secret.jpg", "/etc/hostname", "a/../../secret.jpg"])
def test_a_manifest_that_points_outside_of_the_library_is_refused(tmp_path: Path, key: str) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    library = library_of(tmp_path / "out", ROW | {"sheet": key})
    result = report(library)
    assert result.exit_code == STOPPED
    assert "names a picture outside of the output" in result.stderr
    assert not (library / "report.html").exists()


def test_a_page_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    library = library_of(tmp_path / "out", ROW)
    (tmp_path / "file").write_text("")
    result = report(library, "--output", tmp_path / "file" / "a.html")
    assert result.exit_code == STOPPED
    assert f"page {tmp_path}/file/a.html: " in result.stderr
