"""flows -> tasks -> spatialdreamer_core, flows -> infra; nothing points up."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FORBIDDEN = {
    "spatialdreamer_core": {"ray", "prefect", "tasks", "flows", "infra"},
    "tasks": {"prefect", "flows", "infra"},
    "infra": {"spatialdreamer_core", "tasks", "flows"},
}


def imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield node.module or ""


@pytest.mark.parametrize("layer", FORBIDDEN)
def test_layer_does_not_look_up(layer: str) -> None:
    files = sorted((ROOT / layer).rglob("*.py"))
    assert files, f"no code found under {ROOT / layer}"
    found = {(file.name, name.split(".")[0]) for file in files for name in imported(file)}
    assert [pair for pair in sorted(found) if pair[1] in FORBIDDEN[layer]] == []
