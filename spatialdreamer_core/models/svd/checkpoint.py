"""Trained weights in our own layout: one safetensors file per part, and ``svd.json`` with sizes and digests.

The folder appears whole or not at all: ``svd.json`` is written last into a scratch folder, which is then renamed.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from safetensors.torch import save_file
from torch import nn

from spatialdreamer_core.errors import StoreError, WeightsError
from spatialdreamer_core.models.svd.memory import refuse_weights_that_do_not_fit
from spatialdreamer_core.models.svd.network import SvdNetwork, empty_network
from spatialdreamer_core.models.svd.sizes import Sizes
from spatialdreamer_core.models.svd.tensors import fit_tensors, read_tensors
from spatialdreamer_core.weights.hub import file_digest

CONFIG_FILE = "svd.json"
VERSION = 1
PARTS = ("unet", "reference", "vae", "image_encoder")
REST = "rest"
"""File of what belongs to no part."""


def write_trained(
    network: SvdNetwork, folder: Path, about: Mapping[str, Any] | None = None, *, dtype: torch.dtype | None = None
) -> None:
    """Write the files into a folder that is there; ``save_trained`` makes one that appears whole.

    Args:
        network: With the weights.
        folder: Where to.
        about: What else is to be known: data, licences, stage, steps.
        dtype: To write in; None writes what the network holds.

    Raises:
        StoreError: If the folder cannot be written.
    """
    try:
        files = {}
        for name in (*PARTS, REST):
            part = getattr(network, name, None)
            tensors = {"no_image": network.no_image.data} if name == REST else _tensors(part)
            if not tensors:
                continue
            file = folder / f"{name}.safetensors"
            save_file(
                {key: value.detach().to("cpu", dtype or value.dtype).contiguous() for key, value in tensors.items()},
                file,
            )
            files[name] = {"bytes": file.stat().st_size, "sha256": file_digest(file)}
        config = {
            "format": "spatialdreamer-svd", "version": VERSION, "sizes": asdict(network.sizes),
            "reach": network.reach, "strength": network.strength, "about": dict(about or {}),
            "files": files,
        }  # fmt: skip
        (folder / CONFIG_FILE).write_text(json.dumps(config, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    except OSError as error:
        raise StoreError(f"svd: {folder} cannot be written ({error.strerror}); free it or give another") from error


def save_trained(network: SvdNetwork, folder: Path, about: Mapping[str, Any] | None = None) -> None:
    """Write the weights as a new folder.

    Raises:
        StoreError: If it exists or cannot be written.
    """
    if folder.exists():
        raise StoreError(f"svd: {folder} exists; give a new folder")
    scratch = folder.with_name(f".{folder.name}.{uuid4().hex}")
    try:
        scratch.mkdir(parents=True)
        write_trained(network, scratch, about)
        scratch.rename(folder)
    except OSError as error:
        raise StoreError(f"svd: {folder} cannot be written ({error.strerror}); free it or give another") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def load_trained(folder: Path, dtype: torch.dtype = torch.float32) -> tuple[SvdNetwork, str]:
    """Read what ``save_trained`` wrote; every byte is checked.

    Returns:
        The network in eval mode, and the digest of its weights.

    Raises:
        ConfigError: If memory is too small for the weights.
        WeightsError: If a file is missing, cut short, changed, or of another size than ``svd.json`` says.
    """
    config = _config(folder)
    try:
        sizes = Sizes(**config["sizes"])
        network = empty_network(sizes, reach=config["reach"], strength=config["strength"])
        files = {str(name): (int(one["bytes"]), str(one["sha256"])) for name, one in config["files"].items()}
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"svd: {folder / CONFIG_FILE} is damaged ({type(error).__name__}: {error}); get it again"
        ) from error
    refuse_weights_that_do_not_fit(network, dtype)
    parts = [name for name in PARTS if getattr(network, name) is not None]
    for name in (*parts, REST):
        file = folder / f"{name}.safetensors"
        _check(file, *files.get(name, (0, "")))
        tensors = read_tensors([file])
        if name == REST:
            fit_tensors(rest := _Rest(network.no_image), tensors, str(file), dtype)
            network.no_image = rest.no_image
        else:
            fit_tensors(getattr(network, name), tensors, str(file), dtype)
    digest = "-".join(files[name][1][:12] for name in (*parts, REST))
    return network.to(dtype).eval(), digest


class _Rest(nn.Module):
    def __init__(self, no_image: nn.Parameter) -> None:
        super().__init__()
        self.no_image = no_image


def _tensors(part: nn.Module | None) -> dict[str, torch.Tensor]:
    return {} if part is None else dict(part.state_dict())


def _config(folder: Path) -> dict[str, Any]:
    file = folder / CONFIG_FILE
    try:
        config = dict(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise WeightsError(f"svd: {file} is missing; give a folder that training wrote") from error
    except (OSError, ValueError, TypeError) as error:
        raise WeightsError(f"svd: {file} cannot be read ({error}); get it again") from error
    if config.get("format") != "spatialdreamer-svd" or config.get("version") != VERSION:
        raise WeightsError(
            f"svd: {file} is of format {config.get('format')} {config.get('version')}, not spatialdreamer-svd "
            f"{VERSION}; load it with the version of this program that wrote it"
        )
    return config


def _check(file: Path, size: int, sha256: str) -> None:
    if not file.is_file():
        raise WeightsError(f"svd: {file} is missing; copy the whole folder again")
    found = file.stat().st_size
    if found != size:
        raise WeightsError(f"svd: {file} has {found} bytes of {size}; it was cut short, copy it again")
    if (digest := file_digest(file)) != sha256:
        raise WeightsError(
            f"svd: {file} is not what was written (sha256 {digest[:12]}, not {sha256[:12]}); copy it again"
        )
