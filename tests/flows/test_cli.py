"""The command as people type it: what it takes, what it prints, how it exits."""

import fcntl
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.core import TyperGroup, TyperOption
from typer.testing import CliRunner, Result

from flows.cli import app
from spatialdreamer_core import __version__
from tests.flows.conftest import Library
from tests.media import decoded, scene, write_video

DONE, STOPPED, USAGE, SOME_FAILED = 0, 1, 2, 3


@dataclass(frozen=True)
class Cli:
    """The command in this process, on a folder with one tiny film."""

    library: Library
    settings: Path

    def __call__(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments))

    def convert(self, *options: str, settings: str | None = None) -> Result:
        """Convert the library with a settings file, or with the text of another one."""
        if settings is not None:
            self.settings.write_text(settings)
        return self("convert", "--config", str(self.settings), *options)


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    (tmp_path / "films").mkdir()
    write_video(tmp_path / "films" / "pan.mkv", scene(12, width=48, height=32))
    library = Library(tmp_path / "films", tmp_path / "out")
    settings = tmp_path / "run.yaml"
    settings.write_text(yaml.safe_dump(library.settings()))
    return Cli(library, settings)


def made(cli: Cli) -> list[str]:
    return sorted(cli.library.videos())


def test_all_done_exits_0_and_says_what_was_made_and_where(cli: Cli) -> None:
    result = cli.convert()
    assert result.exit_code == DONE, result.output
    assert "1 of 1 files, 1 clips, 12 frames made at" in result.stdout
    for name in (*made(cli), "manifest.parquet", "report.html"):
        assert f"{cli.library.output}/{name}" in result.stdout
    assert result.stderr == ""


def test_a_failed_clip_exits_3_and_points_to_the_page(cli: Cli) -> None:
    (cli.library.films / "bad.mp4").write_bytes(b"")
    result = cli.convert()
    assert result.exit_code == SOME_FAILED
    assert "bad.mp4: the file is empty" in result.stdout
    assert f"1 clips failed: see {cli.library.output}/report.html" in result.stderr
    assert made(cli) == ["pan.3D.FSBS_LRF_Full_SBS.mkv"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("convert: {stereo: {strenght_pct: 1}}", ["convert.stereo.strenght_pct"]),
        ("convert: {stereo: {strength_pct: 11}}", ["convert.stereo", "strength must lie in [0, 10], got 11"]),
        ("wokers: 2", ["wokers"]),
        ("convert: [", ["not YAML", "line 1"]),
        ("just a sentence", ["a mapping", "got str"]),
        ("convert: {encode: {codec: prores, container: mp4}}", ["prores does not go into mp4"]),
    ],
)
def test_a_mistake_in_a_settings_file_exits_2_and_names_file_and_place(cli: Cli, wrong: str, said: list[str]) -> None:
    result = cli.convert(str(cli.library.films), "-o", str(cli.library.output), settings=wrong)
    assert result.exit_code == USAGE, result.output
    assert str(cli.settings) in result.stderr
    for words in said:
        assert words in result.stderr
    assert not cli.library.output.exists(), "nothing is started with wrong settings"


def test_a_settings_file_that_is_not_there_exits_2(cli: Cli) -> None:
    result = cli("convert", "film.mkv", "-o", "out", "--config", "nowhere.yaml")
    assert result.exit_code == USAGE
    assert "nowhere.yaml" in result.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--depth", "nothing"], "no depth estimator is called 'nothing'"),
        (["--convergence", "nonsense"], "--convergence: auto or a number from 0 to 1 is needed, got 'nonsense'"),
        (["--convergence", "2"], "convergence must lie in [0, 1], got 2"),
        (["--strength", "20"], "strength must lie in [0, 10], got 20"),
        (["--workers", "0"], "workers"),
        (["--flow", "unknown"], "unknown"),
        (["--duration", "0"], "duration"),
        (["--include", "*.avi"], "no video found"),
        (["--codec", "av1", "--container", "mov"], "av1 does not go into mov"),
        (["--layout", "round"], "'round' is not one of"),
        (["--import-depth", "/nowhere/depth"], "/nowhere/depth"),
    ],
)
def test_a_wrong_option_exits_2_and_says_what_is_wrong(cli: Cli, options: list[str], said: str) -> None:
    result = cli.convert(*options)
    assert result.exit_code == USAGE, result.output
    assert said in " ".join(re.sub(r"[│╭╰─╮╯]", " ", result.stderr).split())
    assert "Traceback" not in result.output
    assert cli.library.videos() == {}


def test_no_source_found_exits_2_and_says_where_it_looked(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for source in (tmp_path / "empty", tmp_path / "missing.mkv"):
        result = cli("convert", str(source), "-o", str(tmp_path / "out"))
        assert result.exit_code == USAGE
        assert "no video found" in result.stderr
        assert str(source) in result.stderr


def test_without_sources_or_output_it_exits_2(cli: Cli) -> None:
    result = cli("convert")
    assert result.exit_code == USAGE
    assert "sources" in result.stderr
    assert "output" in result.stderr


def test_an_output_that_is_a_file_exits_1(cli: Cli) -> None:
    cli.library.output.write_text("a file")
    result = cli.convert()
    assert result.exit_code == STOPPED
    assert f"output {cli.library.output} is a file; give a folder" in result.stderr
    assert cli.library.output.read_text() == "a file"


def test_an_output_that_cannot_be_written_exits_1(cli: Cli) -> None:
    result = cli.convert("-o", "/proc/stereo")  # where not even root can make a folder
    assert result.exit_code == STOPPED
    assert "/proc/stereo" in result.stderr
    assert "Traceback" not in result.output


def test_an_output_below_a_file_exits_1(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = cli.convert("-o", str(tmp_path / "file" / "out"))
    assert result.exit_code == STOPPED
    assert str(tmp_path / "file") in result.stderr


@pytest.fixture
def other_run(cli: Cli) -> Iterator[int]:
    """A process that holds the output folder, as another run does."""
    folder = cli.library.output / ".spatialdreamer"
    folder.mkdir(parents=True)
    hold = (
        "import fcntl, os, sys\nhandle = open(sys.argv[1], 'a+')\nfcntl.flock(handle, fcntl.LOCK_EX)\n"
        "handle.write(str(os.getpid()))\nhandle.flush()\nprint('held', flush=True)\nsys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", hold, str(folder / "lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process.pid
    process.communicate("", timeout=20)


def test_an_output_held_by_another_run_exits_1_and_names_its_process(cli: Cli, other_run: int) -> None:
    result = cli.convert()
    assert result.exit_code == STOPPED
    assert f"another run (process {other_run}) works here" in result.stderr
    assert cli.library.videos() == {}


def test_the_lock_is_free_after_a_run(cli: Cli) -> None:
    cli.convert()
    with (cli.library.output / ".spatialdreamer" / "lock").open() as handle:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_json_is_one_object_a_line_and_the_last_is_done(cli: Cli) -> None:
    (cli.library.films / "bad.mp4").write_bytes(b"")
    result = cli.convert("--json")
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == SOME_FAILED
    assert {event["event"] for event in events[:-1]} == {"progress"}
    last = events[-1]
    assert last["event"] == "done"
    assert (last["files_done"], last["files_failed"], last["frames_made"]) == (1, 1, 12)
    assert last["outputs"] == ["pan.3D.FSBS_LRF_Full_SBS.mkv"]
    assert any("bad.mp4" in event["message"] for event in events[:-1])


def test_quiet_prints_nothing_when_all_goes_well_and_only_failures_else(cli: Cli) -> None:
    result = cli.convert("--quiet")
    assert (result.exit_code, result.output) == (DONE, "")
    (cli.library.films / "bad.mp4").write_bytes(b"")
    result = cli.convert("-q")
    assert result.exit_code == SOME_FAILED
    assert [line for line in result.stdout.splitlines() if "bad.mp4" not in line] == []


def test_options_decide_layout_size_container_and_name(cli: Cli) -> None:
    options = "--layout half-sbs --container mp4 --strength 1 --convergence 0.25 --swap-eyes --duration 0.2"
    result = cli.convert(*options.split())
    assert result.exit_code == DONE, result.output
    assert made(cli) == ["pan.3D.HSBS_RL.mp4"]
    pictures = decoded(cli.library.output / "pan.3D.HSBS_RL.mp4")
    assert [(picture.width, picture.height) for picture in pictures] == [(48, 32)] * 5
    (row,) = cli.library.rows()
    assert (row["strength_pct"], row["convergence"]) == (1.0, 0.25)
    settings = json.loads(row["settings"])
    assert settings["stereo"]["swap_eyes"] is True
    assert settings["encode"]["container"] == "mp4"


def test_options_go_over_the_settings_file(cli: Cli) -> None:
    settings = cli.library.settings(**{"convert.encode.layout": "full-tb", "convert.stereo.convergence": 0.75})
    result = cli.convert("--crf", "30", "--convergence", "auto", settings=yaml.safe_dump(settings))
    assert result.exit_code == DONE, result.output
    (name,) = made(cli)
    assert name == "pan.3D.FTAB_TBF_TB_Full_TAB.mkv"
    kept = json.loads(cli.library.rows()[0]["settings"])
    assert (kept["encode"]["crf"], kept["stereo"]["convergence"], kept["depth"]["width"]) == (30, None, 64)


def test_every_option_reaches_the_settings_of_the_run(cli: Cli) -> None:
    wanted: dict[str, tuple[str, Any]] = {
        "convert.encode.codec": ("--codec hevc", "hevc"),
        "convert.encode.preset": ("--preset ultrafast", "ultrafast"),
        "convert.encode.crf": ("--crf 33", 33),
        "convert.encode.max_width": ("--max-width 64", 64),
        "convert.stereo.max_strength_pct": ("--max-strength 2", 2.0),
        "convert.depth.name": ("--depth cues", "cues"),
        "convert.depth.width": ("--depth-width 96", 96),
        "convert.depth.allow_network": ("--allow-network", True),
        "convert.export_depth": ("--export-depth", True),
        "convert.flow": ("--flow dis-ultrafast", "dis-ultrafast"),
        "convert.fill.name": ("--fill telea", "telea"),
        "convert.quality": ("--quality best", "best"),
        "convert.start_s": ("--start 0.08", 0.08),
        "convert.duration_s": ("--duration 0.2", 0.2),
        "workers": ("--workers 3", 3),
        "ray_address": ("--ray-address auto", "auto"),
        "executor": ("--executor in-process", "in-process"),
        "prefect": ("--prefect off", "off"),
        "resume": ("--no-resume", False),
        "include": ("--include *.mkv --include *.mp4", ["*.mkv", "*.mp4"]),
        "exclude": ("--exclude *x*", ["*x*"]),
    }
    result = cli.convert(*" ".join(option for option, _ in wanted.values()).split())
    assert result.exit_code == DONE, result.output
    (record,) = (cli.library.output / ".spatialdreamer" / "runs").glob("*.json")
    settings = json.loads(record.read_bytes())["settings"]
    for path, (option, value) in wanted.items():
        found: Any = settings
        for name in path.split("."):
            found = found[name]
        assert found == value, option
    assert len(list((cli.library.output / "pan_depth").glob("*.png"))) == 5


def test_probe_tells_what_is_in_a_file_and_what_it_would_become(cli: Cli) -> None:
    result = cli("probe", str(cli.library.films / "pan.mkv"))
    assert result.exit_code == DONE, result.output
    for words in ("h264 48x32", "12, 0 packets refused", "pan.3D.FSBS_LRF_Full_SBS.mkv: h264 96x32"):
        assert words in result.stdout


def test_probe_gives_json_and_goes_on_after_a_bad_file(cli: Cli) -> None:
    (cli.library.films / "bad.mp4").write_bytes(b"")
    result = cli("probe", "--json", str(cli.library.films))
    assert result.exit_code == SOME_FAILED
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [Path(line["uri"]).name for line in lines] == ["pan.mkv"]
    assert (lines[0]["frames"], lines[0]["shot_starts"], lines[0]["decode_errors"]) == (12, [0], 0)
    assert "bad.mp4: the file is empty" in result.stderr


def test_probe_without_shots_does_not_decode(cli: Cli) -> None:
    result = cli("probe", "--no-shots", "--json", str(cli.library.films))
    assert result.exit_code == DONE, result.output
    assert "shot_starts" not in json.loads(result.stdout)


def test_probe_of_nothing_exits_2(cli: Cli, tmp_path: Path) -> None:
    assert cli("probe", str(tmp_path / "none")).exit_code == USAGE


def test_doctor_tells_versions_encoders_and_depth(cli: Cli) -> None:
    found = json.loads(cli("doctor", "--json").stdout)
    assert found["spatialdreamer"] == __version__
    assert found["encoders"]["h264"] == "present"
    assert "cues" in found["depth"]
    assert found["cores"] >= 1
    human = cli("doctor")
    assert human.exit_code == DONE
    for label in found:
        assert label in human.stdout


def test_version_is_that_of_the_package(cli: Cli) -> None:
    assert cli("version").stdout.strip() == __version__


def test_quarantine_lists_what_was_set_aside_and_retry_lets_it_be_tried_again(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    flag = tmp_path / "break"
    flag.touch()
    monkeypatch.setenv("BREAK_FLAG", str(flag))
    write_video(cli.library.films / "long.mkv", scene(96, width=48, height=32, seed=3))
    broken = ["--depth", "tests.flows.test_run_convert:BreaksOnce"]
    settings = yaml.safe_dump(cli.library.settings(**{"convert.segment_frames": 48}))
    output = str(cli.library.output)
    assert cli.convert(*broken, settings=settings).exit_code == SOME_FAILED

    listed = cli("quarantine", "ls", output)
    assert listed.exit_code == DONE
    assert f"{cli.library.films}/long.mkv segment 1: depth_failed" in listed.stdout
    assert "1 clips set aside" in listed.stdout
    (record,) = (json.loads(line) for line in cli("quarantine", "ls", output, "--json").stdout.splitlines())
    assert record["failure"]["reason"] == "depth_failed"
    assert cli.convert(*broken).exit_code == SOME_FAILED, "it stays aside until somebody asks"

    flag.unlink()
    assert cli("quarantine", "retry", output, "--reason", "hung").stdout.startswith("0 clips")
    assert cli("quarantine", "retry", output, "--source", "pan").stdout.startswith("0 clips")
    assert cli("quarantine", "retry", output).stdout.startswith("1 clips")
    assert cli.convert(*broken).exit_code == DONE
    assert "0 clips set aside" in cli("quarantine", "ls", output).stdout


def commands(command: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(command, TyperGroup):
        for name, inner in command.commands.items():
            yield from commands(inner, f"{path} {name}".strip())
    else:
        yield path, command


EVERY_COMMAND = dict(commands(typer.main.get_command(app)))
assert "quarantine retry" in EVERY_COMMAND


@pytest.mark.parametrize("name", EVERY_COMMAND)
def test_help_of_every_command_names_every_option_and_its_purpose(cli: Cli, name: str) -> None:
    command = EVERY_COMMAND[name]
    assert command.help, f"{name} says nothing of itself"
    parameters = [parameter for parameter in command.params if parameter.name != "help"]
    without = [parameter.name for parameter in parameters if not getattr(parameter, "help", None)]
    assert without == [], f"{name}: options without a purpose"
    shown = CliRunner(env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"}).invoke(app, [*name.split(), "--help"])
    assert shown.exit_code == DONE
    for parameter in parameters:
        if isinstance(parameter, TyperOption):
            assert parameter.opts[0] in shown.stdout


def test_a_command_that_does_not_exist_exits_2(cli: Cli) -> None:
    assert cli("transmogrify").exit_code == USAGE


def test_the_module_runs_as_a_program() -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", "version"], cwd=root, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == __version__
