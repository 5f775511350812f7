"""``spatialdreamer doctor``: what this machine can do."""

import json
import os
import platform
import shutil
from importlib import metadata
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from infra.prefect_api import api_is_set
from spatialdreamer_core import __version__
from spatialdreamer_core.depth.registry import list_depth_names
from spatialdreamer_core.refine.registry import list_refiners

ENCODERS = {"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1", "prores": "prores_ks"}
PACKAGES = (
    "av",
    "numpy",
    "numba",
    "opencv-python-headless",
    "ray",
    "prefect",
    "fastapi",
    "pyarrow",
    "torch",
    "s3fs",
    "duckdb",
    "streamlit",
)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON on stdout.")] = False,
) -> None:
    """Tell what this machine can do: cores, memory, GPUs, encoders, depth estimators, refiners, versions."""
    found = examine()
    if as_json:
        typer.echo(json.dumps(found))
        return
    table = Table(show_header=False, box=None)
    for label, value in found.items():
        entries = value.items() if isinstance(value, dict) else [("", value)]
        for number, (name, text) in enumerate(entries):
            table.add_row(label if number == 0 else "", f"{name}: {text}" if name else str(text))
    Console().print(table, soft_wrap=True, markup=False)


def examine() -> dict[str, Any]:
    """Look at the machine; plain data."""
    return {
        "spatialdreamer": __version__,
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "cores": len(os.sched_getaffinity(0)),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB",
        "disk free here": f"{shutil.disk_usage('.').free / 2**30:.1f} GiB",
        "GPUs": _gpus(),
        "encoders": {codec: "present" if _has_encoder(name) else "missing" for codec, name in ENCODERS.items()},
        "depth": {entry.name: entry.state for entry in list_depth_names()},
        "refine": {entry.name: entry.state for entry in list_refiners()},
        "prefect": "runs are recorded at PREFECT_API_URL" if api_is_set() else "no API set; runs are not recorded",
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _gpus() -> Any:
    try:
        import torch
    except ImportError:
        return "torch is not installed; pip install 'spatialdreamer[models]' to use GPUs"
    if not torch.cuda.is_available():
        return "none that torch can use; everything runs on the CPU"
    return {f"cuda:{index}": torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())}


def _has_encoder(name: str) -> bool:
    from av.codec import codecs_available

    return name in codecs_available


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
