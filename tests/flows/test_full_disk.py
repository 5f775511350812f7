"""An output place without room: the run stops with a sentence, spoils nothing, and goes on when there is room."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner, Result

from flows.cli import app
from tests.flows.conftest import Library
from tests.media import decoded, write_video

FRAMES = 48


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One film of noise, which no encoder makes small."""
    folder = tmp_path_factory.mktemp("films")
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (64, 96, 3), dtype=np.uint8) for _ in range(FRAMES)]
    write_video(folder / "noise.mkv", noise)
    return folder


@pytest.fixture(scope="module")
def whole(films: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    library = Library(films, tmp_path_factory.mktemp("whole"))
    library.convert()
    return library.videos()


Mount = Callable[[int], Path]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Mount]:
    """Mounts a disk of so many bytes, or gives the mounted one another size."""
    if not sys.platform.startswith("linux"):
        pytest.skip("needs tmpfs")
    point = tmp_path / "disk"
    point.mkdir()
    mounted = False

    def mount(size: int) -> Path:
        nonlocal mounted
        options = f"remount,size={size}" if mounted else f"size={size}"
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(point)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"mounting is not permitted here: {done.stderr.strip()}")
        mounted = True
        return point

    yield mount
    if mounted:
        subprocess.run(["umount", str(point)], check=True)


def command(library: Library, tmp_path: Path) -> Result:
    settings = tmp_path / "run.yaml"
    settings.write_text(yaml.safe_dump(library.settings()))
    return CliRunner().invoke(app, ["convert", "--config", str(settings)])


@pytest.mark.parametrize("share", [0.2, 0.8, 1.5])  # it ends in the first segment, in a later one, while joining
def test_a_full_disk_stops_the_run_and_it_goes_on_when_there_is_room(
    films: Path, whole: dict[str, bytes], small_disk: Mount, tmp_path: Path, share: float
) -> None:
    (size,) = (len(data) for data in whole.values())
    disk = small_disk(int(size * share) + 64 * 1024)
    (disk / "diary.txt").write_text("mine")
    library = Library(films, disk / "out")
    result = command(library, tmp_path)
    assert result.exit_code == 1, result.output
    assert "no space left; free some room and run the same command again" in result.stderr
    assert "Traceback" not in result.output
    assert library.videos() == {}, "nothing half-written has a final name"
    assert (disk / "diary.txt").read_text() == "mine"
    assert list((library.output / ".spatialdreamer" / "scratch").glob("*")) == []
    assert list((library.output / ".spatialdreamer" / "work").rglob("failed/*")) == [], "no clip is to blame"
    if (library.output / "manifest.parquet").exists():
        assert {row["status"] for row in pq.read_table(library.output / "manifest.parquet").to_pylist()} <= {"done"}

    small_disk(size * 4 + 4 * 2**20)
    result = command(library, tmp_path)
    assert result.exit_code == 0, result.output
    assert library.videos() == whole
    (name,) = whole
    assert len(decoded(library.output / name)) == FRAMES


def fill(path: Path) -> None:
    with suppress(OSError), path.open("wb", buffering=0) as ballast:
        while ballast.write(b"\0" * 4096):
            pass


def test_a_disk_that_is_full_from_the_start_is_told_in_a_sentence(
    films: Path, small_disk: Mount, tmp_path: Path
) -> None:
    disk = small_disk(64 * 1024)
    fill(disk / "ballast")
    result = command(Library(films, disk / "out"), tmp_path)
    assert result.exit_code == 1, result.output
    assert "no space left" in result.stderr
    assert "Traceback" not in result.output
