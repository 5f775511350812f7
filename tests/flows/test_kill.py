"""What is left when processes are killed in the middle of a run, and how the next run goes on from it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from spatialdreamer_core.store.place import Place
from tests.flows.conftest import Library
from tests.media import scene, write_video

ROOT = Path(__file__).parents[2]
WORKERS, SEGMENTS = 2, 16
PATIENCE_S = 120.0

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


@dataclass
class Run:
    """Conversions of two small films in processes of their own."""

    library: Library
    settings: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, **options: Any) -> "subprocess.Popen[str]":
        self.settings.write_text(yaml.safe_dump(self.library.settings(executor="ray", workers=WORKERS, **options)))
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "convert", "--config", str(self.settings)],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        self.started.append(process)
        return process

    @property
    def state(self) -> Path:
        return self.library.output / ".spatialdreamer"

    def commits(self) -> dict[str, dict[str, Any]]:
        """Rows of the committed segments, by the path of their record."""
        found = sorted(self.state.glob("work/*/*/commits/*.json"))
        return {str(path.relative_to(self.state)): json.loads(path.read_bytes())["row"] for path in found}

    def scratch(self) -> list[str]:
        return sorted(path.name for path in (self.state / "scratch").glob("*"))


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    films = tmp_path / "films"
    films.mkdir()
    for seed in (1, 2):
        write_video(films / f"film{seed}.mkv", scene(8 * 24 - 6, width=48, height=32, seed=seed, speed=0.2))
    run = Run(Library(films, tmp_path / "out"), tmp_path / "settings.yaml")
    yield run
    for process in run.started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The films of an undisturbed run elsewhere."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "films").mkdir()
    for seed in (1, 2):
        write_video(folder / "films" / f"film{seed}.mkv", scene(8 * 24 - 6, width=48, height=32, seed=seed, speed=0.2))
    library = Library(folder / "films", folder / "out")
    assert library.convert().clips_done == SEGMENTS
    return library.videos()


def wait_until(
    happened: Callable[[], Any], process: "subprocess.Popen[str] | None" = None, patience_s: float = PATIENCE_S
) -> None:
    end = time.monotonic() + patience_s
    while not happened():
        assert process is None or process.poll() is None, f"the run ended early: {process.communicate()}"
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def command_of(pid: int) -> str:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return "" if state == "Z" else Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def family(pid: int) -> set[int]:
    """A process and all that descend from it."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    members, before = {pid}, 0
    while before < len(members):
        before = len(members)
        members |= {child for child, parent in parents.items() if parent in members}
    return members


@pytest.mark.ray
def test_a_killed_run_goes_on_where_it_was_and_makes_the_same_bytes(run: Run, undisturbed: dict[str, bytes]) -> None:
    driver = run.start()
    wait_until(run.commits, driver)
    members = {pid: command_of(pid) for pid in family(driver.pid)}
    # Ray's two agents do no work, and wait a minute for the rest of their Ray before they end.
    members = {pid: command for pid, command in members.items() if command and "Agent" not in command}
    assert len(members) > WORKERS
    driver.kill()
    driver.wait()
    wait_until(lambda: not any(command_of(pid) == command for pid, command in members.items()), patience_s=20)
    kept, left_over = run.commits(), run.scratch()
    assert 0 < len(kept) < SEGMENTS
    assert len([name for name in left_over if name.endswith(".mkv")]) <= WORKERS, "one segment per worker is lost"

    again = run.start()
    out, err = again.communicate(timeout=PATIENCE_S)
    assert again.returncode == 0, err
    assert run.library.videos() == undisturbed
    rows = run.library.rows()
    assert len(rows) == SEGMENTS
    assert {row["status"] for row in rows} == {"done"}
    first_run = {row["run_id"] for row in kept.values()}
    assert len(first_run) == 1
    assert sum(row["run_id"] in first_run for row in rows) == len(kept)
    after = run.commits()
    assert {name: after[name] for name in kept} == kept, "what was committed is not made again"
    assert f"{SEGMENTS} clips" in out
    assert run.scratch() == []


@pytest.mark.ray
def test_a_killed_worker_costs_one_retry_and_no_clip(run: Run, undisturbed: dict[str, bytes]) -> None:
    driver = run.start()
    wait_until(run.commits, driver)
    worker = int(next(iter(run.commits().values()))["worker"].rpartition(":")[2])
    assert worker in family(driver.pid)
    os.kill(worker, signal.SIGKILL)
    _, err = driver.communicate(timeout=PATIENCE_S)
    assert driver.returncode == 0, err
    assert "tried once more, alone" in err
    assert run.library.videos() == undisturbed
    assert len(run.library.rows()) == SEGMENTS
    assert run.library.convert().frames_made == 0


@pytest.mark.ray
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_run_says_so_keeps_its_rows_and_goes_on(
    run: Run, undisturbed: dict[str, bytes], number: signal.Signals
) -> None:
    driver = run.start()
    wait_until(lambda: len(run.commits()) > WORKERS, driver)  # then the driver knows of one at least
    if number == signal.SIGINT:
        os.killpg(driver.pid, number)  # as a terminal does
    else:
        driver.send_signal(number)
    _, err = driver.communicate(timeout=PATIENCE_S)
    assert driver.returncode == 130, err
    assert "interrupted; what is done is kept" in err
    assert "Traceback" not in err
    rows, kept = run.library.rows(), run.commits()
    assert 0 < len(rows) <= len(kept) < SEGMENTS
    assert (run.library.output / "report.html").exists()
    report = run.library.convert()
    assert (report.files_done, report.clips_done) == (2, SEGMENTS)
    assert run.library.videos() == undisturbed
    assert run.scratch() == []


def test_scratch_of_dead_processes_is_swept_and_that_of_living_ones_is_not(tmp_path: Path) -> None:
    place = Place(str(tmp_path))
    place.prepare()
    folder = tmp_path / ".spatialdreamer" / "scratch"
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for name in (f"{ended.pid}-0a.mkv", f"{os.getpid()}-0b.mkv", f"{os.getppid()}-0c.mkv", "notes.txt"):
        (folder / name).touch()
    place.sweep_scratch()
    assert {path.name for path in folder.iterdir()} == {f"{os.getppid()}-0c.mkv", "notes.txt"}


def test_scratch_of_remote_places_is_swept_when_it_is_a_day_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    place = Place("memory://out")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with place.scratch() as path:
        folder = path.parent
    for name in (f"{ended.pid}-old", f"{ended.pid}-new", f"{os.getpid()}-old"):
        (folder / name).touch()
        if name.endswith("old"):
            os.utime(folder / name, (0, 0))
    place.sweep_scratch()
    assert {path.name for path in folder.iterdir()} == {f"{ended.pid}-new", f"{os.getpid()}-old"}
