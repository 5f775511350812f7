"""``spatialdreamer train`` as people run it: in a process, with a tiny network in the place of a real one."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from flows.cli import app
from spatialdreamer_core.training.stereo.sizes import RECIPES

ROOT = Path(__file__).parents[2]
PROGRAM = """
from spatialdreamer_core.training.stereo.sizes import RECIPES
RECIPES["mini"] = "tests.tiny_recipe"
RECIPES["svd"] = "tests.no_such_recipe"
from flows.cli import main
main()
"""
PATIENCE_S = 60.0


def arguments(output: Path, *more: str) -> list[str]:
    settings = output.with_suffix(".yaml")
    settings.write_text(
        "train: {size: mini, steps: 40, batch: 4, rate: 0.02, warmup: 5, ema: 0.9, data: {sleep_s: 0.02}}\n"
        "pace: {validate_every: 20, save_every: 5, log_every: 5}\n"
    )
    return ["train", "--config", str(settings), "--output", str(output), "--threads", "1", "--device", "cpu", *more]


def started(*words: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment, cwd=ROOT,
    )  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def tiny() -> Iterator[None]:
    """The tiny recipe in this process too, and torch's threads as they were."""
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RECIPES, "mini", "tests.tiny_recipe")
        patch.setitem(RECIPES, "svd", "tests.no_such_recipe")
        yield
    torch.set_num_threads(threads)


def ran(*words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, list(words))
    return done.exit_code, done.stdout, " ".join(done.stderr.split())


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, f"{path} never came"
        time.sleep(0.005)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("train") / "undisturbed"
    code, out, err = ran(*arguments(output))
    assert (code, err) == (0, ""), err
    assert "step 40 of 40" in out
    assert str(output / "weights") in out
    return output


def weights(output: Path) -> dict[str, list[float]]:
    return {name: value.flatten().tolist() for name, value in load_file(output / "weights/tiny.safetensors").items()}


def test_a_killed_training_goes_on_and_ends_in_the_same_weights(undisturbed: Path, tmp_path: Path) -> None:
    output = tmp_path / "killed"
    process = started(*arguments(output))
    wait_for(output / "checkpoints" / "step-00000025.json", process)
    process.kill()
    process.communicate()
    code, out, _ = ran(*arguments(output, "--json"))
    assert code == 0
    events = [json.loads(line) for line in out.splitlines()]
    assert events[-1]["event"] == "done"
    assert 0 < events[-1]["steps_made"] <= 15
    assert weights(output) == weights(undisturbed)


def test_a_terminated_training_leaves_a_checkpoint_of_its_last_step(undisturbed: Path, tmp_path: Path) -> None:
    output = tmp_path / "terminated"
    process = started(*arguments(output, "--quiet"))
    wait_for(output / "checkpoints" / "step-00000005.json", process)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=PATIENCE_S)
    newest = sorted((output / "checkpoints").glob("*.pt"))[-1]
    step = torch.load(newest, weights_only=True)["step"]
    assert (process.returncode, out) == (130, "")
    assert err.strip() == f"stopped at step {step} with a checkpoint; run the same command again to go on"
    assert (output / "weights" / "tiny.safetensors").exists()
    assert ran(*arguments(output))[0] == 0
    assert weights(output) == weights(undisturbed)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--rate", "-1"], 2, "rate and clip must be above 0"),
        (["--dropout", "1"], 2, "ema and dropout must lie in [0, 1)"),
        (["--size", "svd"], 2, "size svd: this version cannot train it"),
        (["--device", "cuda"], 2, "device cuda: torch finds no GPU here; give --device cpu"),
        (["--gpus", "2", "--workers", "3"], 2, "gpus: device is cpu; give one or the other"),
        (["--gpus", "2", "--workers", "3", "--device", "auto"], 2, "got 2 GPUs and 3 workers"),
        (["--size", "svd", "--device", "auto"], 2, "size svd needs a GPU and torch finds none here"),
    ],
)
def test_what_cannot_be_trained_is_told_in_one_sentence(words: list[str], code: int, told: str, tmp_path: Path) -> None:
    if "device cuda" in told or "needs a GPU" in told:
        assert not torch.cuda.is_available(), "this machine has a GPU"
    got, out, err = ran(*arguments(tmp_path / "out", *words))
    assert (got, out) == (code, "")
    assert told in err
    assert "Traceback" not in err
    assert not (tmp_path / "out" / "checkpoints").exists()


def test_a_misspelt_setting_fails_before_work_starts(tmp_path: Path) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text("train: {size: mini, learning_rate: 1}\npace: {save_evry: 3}\n")
    code, _, err = ran("train", "--config", str(settings), "--output", str(tmp_path / "out"))
    assert code == 2
    assert "train.learning_rate: " in err
    assert "pace.save_evry: " in err
    assert not (tmp_path / "out").exists()


def test_help_needs_no_torch_and_a_training_without_it_says_what_to_install(tmp_path: Path) -> None:
    hidden = f"""
import sys
sys.modules["torch"] = None
from typer.testing import CliRunner
import flows.cli, flows.run_train
helped = CliRunner().invoke(flows.cli.app, ["train", "--help"])
assert helped.exit_code == 0 and "--validate-every" in helped.stdout, helped.output
flows.cli.app(["train", "-o", {str(tmp_path)!r}])
"""
    done = subprocess.run([sys.executable, "-c", hidden], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 2
    assert done.stderr.strip() == "training needs torch; pip install 'spatialdreamer[train]'"
