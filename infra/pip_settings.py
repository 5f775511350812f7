"""How pip is set up on this machine: indexes and certificate, so that downloads go where the user's pip goes."""

import ast
import subprocess
import sys
from dataclasses import dataclass

PYPI = "https://pypi.org/simple"
_ORDER = (":env:.", "download.", "global.")  # what pip itself lets win first


@dataclass(frozen=True, slots=True)
class PipSettings:
    """What matters of pip's settings.

    Attributes:
        indexes: Simple indexes, the main one first.
        certificate: File of trusted certificates, or None.
    """

    indexes: tuple[str, ...]
    certificate: str | None


def pip_settings() -> PipSettings:
    """Ask pip; without pip (uv makes such environments) it is the public index."""
    try:
        command = [sys.executable, "-m", "pip", "config", "list", "--disable-pip-version-check"]
        text = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        text = ""
    return parse_pip_settings(text)


def parse_pip_settings(text: str) -> PipSettings:
    """Read the output of ``pip config list``."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        name, _, value = line.partition("=")
        try:
            values[name.strip()] = str(ast.literal_eval(value.strip()))
        except (ValueError, SyntaxError):
            continue

    def first(key: str) -> str | None:
        return next((values[place + key] for place in _ORDER if place + key in values), None)

    main = [] if (first("no-index") or "").lower() in ("1", "true", "yes", "on") else [first("index-url") or PYPI]
    return PipSettings((*main, *(first("extra-index-url") or "").split()), first("cert"))
