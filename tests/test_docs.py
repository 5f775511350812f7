"""The documents say what the program does: commands parse, links lead somewhere, queries are the tested ones."""

import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from flows.cli import app
from spatialdreamer_core.pairs.manifest import DUCKDB_EXAMPLES as PAIRS_EXAMPLES
from spatialdreamer_core.store.manifest import DUCKDB_EXAMPLES, POLARS_EXAMPLES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "BENCHMARKS.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
CLI = typer.main.get_command(app)


def blocks(text: str, language: str) -> list[str]:
    """What stands between fences of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands_in(text: str) -> list[str]:
    lines = "".join(blocks(text, "bash")).replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if re.match(r"\s*(\.venv/bin/)?spatialdreamer ", line)]


def every_command(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from every_command(inner, (*path, name))


COMMANDS = dict(every_command(CLI))
ENDS = {path: command for path, command in COMMANDS.items() if not isinstance(command, TyperGroup)}
OTHERS = {"--help", "--minutes", "--strict"}  # every program's, the training's, mypy's
SHOWN = [
    pytest.param(line, id=f"{path.name}: {line}")
    for path in DOCUMENTS
    if path.exists()
    for line in commands_in(path.read_text(encoding="utf-8"))
]


def test_the_readme_shows_commands() -> None:
    assert len(commands_in(README)) >= 5
    assert len(ENDS) >= 6


@pytest.mark.parametrize("line", SHOWN)
def test_every_command_in_a_document_parses(line: str) -> None:
    words = [word for word in shlex.split(line, comments=True)[1:] if word != "&"]
    path = max((path for path in COMMANDS if tuple(words[: len(path)]) == path), key=len)
    rest = words[len(path) :]
    if rest == ["--help"]:
        return
    assert path in ENDS, f"there is no such command: {line}"
    with ENDS[path].make_context(" ".join(path), rest) as context:  # parses, runs nothing
        assert context.command is ENDS[path]


@pytest.mark.parametrize("path", ENDS, ids=" ".join)
def test_every_command_of_the_program_is_documented(path: tuple[str, ...]) -> None:
    text = README if path[0] not in APART else (ROOT / APART[path[0]]).read_text(encoding="utf-8")
    assert re.search(rf"spatialdreamer {' '.join(path)}\b", text)


APART = {"train-depth": "docs/depth.md"}
"""Commands with a document of their own, which the README names."""


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_option_that_a_document_names_exists(document: Path) -> None:
    parameters = [parameter for command in COMMANDS.values() for parameter in command.params]
    known = {option for parameter in parameters for option in (*parameter.opts, *parameter.secondary_opts)}
    text = document.read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    named = {word for code in re.findall(r"`([^`]+)`", prose) for word in re.findall(r"(?<![\w-])--[a-z][a-z-]*", code)}
    assert sorted(named - known - OTHERS) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_and_picture_of_a_document_exists(document: Path) -> None:
    text = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)(?: \"[^\"]*\")?\)", text)
    local = [target.partition("#")[0] for target in targets if not re.match(r"[a-z]+:|#", target)]
    assert [target for target in local if not (document.parent / target).exists()] == []


def plain(code: str) -> str:
    return "\n".join(line.rstrip() for line in textwrap.dedent(code).strip().splitlines())


@pytest.mark.parametrize(
    ("language", "known"), [("sql", DUCKDB_EXAMPLES), ("python", POLARS_EXAMPLES)], ids=["DuckDB", "Polars"]
)
def test_queries_in_the_readme_are_the_tested_ones(language: str, known: dict[str, str]) -> None:
    assert_tested(README, language, known)


def test_queries_about_pairs_are_the_tested_ones() -> None:
    assert_tested((ROOT / "docs" / "pairs.md").read_text(encoding="utf-8"), "sql", PAIRS_EXAMPLES)


def assert_tested(text: str, language: str, known: dict[str, str]) -> None:
    shown = [plain(block) for block in blocks(text, language)]
    assert shown
    tested = {plain(query) for query in known.values()}
    assert [query for query in shown if query not in tested] == []


def test_the_settings_file_in_the_readme_is_valid(tmp_path: Path) -> None:
    from flows.config import read_settings, run_config

    file = tmp_path / "readme.yaml"
    for block in blocks(README, "yaml"):
        file.write_text(block, encoding="utf-8")
        run_config(read_settings(file), "README.md")
