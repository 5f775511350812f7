"""The command as people type it: tables appear whole or not at all, and every mistake is one sentence."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from flows.cli import app
from tests.core.evaluate.made import pair, write_png, write_still


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["evaluate", *(str(a) for a in arguments), "--prefect", "off"])


@pytest.fixture
def material(tmp_path: Path) -> Path:
    write_still(tmp_path / "pairs" / "board")
    return tmp_path / "pairs"


def test_one_command_gives_the_table(material: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    result = run(material, "--output", output, "--lpips", "none")
    assert result.exit_code == 0, result.output
    for name in ("identity", "warp", "telea", "ns", "ours"):
        assert f"| {name} |" in result.output
    assert {"evaluation.parquet", "table.md", "table.tex"} <= {path.name for path in output.iterdir()}
    assert (output / "table.md").read_text() in result.output


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--method", "magic"], 2, "no method is called 'magic'"),
        (["--lpips", "squeeze"], 2, "Input should be 'alex' or 'vgg'"),
        (["--frames", "0"], 2, "frames must be at least 1"),
        ([], 1, "spatialdreamer weights get lpips-alex"),
    ],
)
def test_wrong_settings_and_missing_weights_end_in_one_sentence(
    material: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], code: int, said: str
) -> None:
    monkeypatch.setenv("SPATIALDREAMER_CACHE", str(tmp_path / "empty"))
    result = run(material, "--output", tmp_path / "out", *options)
    assert result.exit_code == code
    assert said in " ".join(result.output.split())
    assert not (tmp_path / "out" / "table.md").exists()


def test_swapped_eyes_end_the_run_unless_they_may_be_exchanged(tmp_path: Path) -> None:
    left, right, _ = pair()
    write_png(tmp_path / "pairs" / "a_left.png", right)
    write_png(tmp_path / "pairs" / "a_right.png", left)
    arguments = (tmp_path / "pairs", "--output", tmp_path / "out", "--lpips", "none", "--method", "warp")
    refused = run(*arguments)
    assert refused.exit_code == 1
    assert "clip a: its eyes are swapped" in refused.output
    assert not (tmp_path / "out" / "evaluation.parquet").exists()
    assert run(*arguments, "--exchange-swapped").exit_code == 0
    assert "have been exchanged: a" in (tmp_path / "out" / "table.md").read_text()
