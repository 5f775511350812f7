"""Tensors of one part of the network: found in a folder, read from safetensors alone, and fitted to the part."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from spatialdreamer_core.errors import WeightsError

_STEMS = ("diffusion_pytorch_model", "model")
_PICKLED = (".bin", ".ckpt", ".pt", ".pth")


def part_settings(folder: Path, wanted: str) -> dict[str, Any]:
    """Read a part's ``config.json``.

    Args:
        folder: Of the part, as ``save_pretrained`` leaves it.
        wanted: The class that it must be of.

    Raises:
        WeightsError: If it is missing, damaged or of another class.
    """
    file = folder / "config.json"
    try:
        settings = dict(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise WeightsError(f"svd: {file} is missing; give a folder as diffusers writes it") from error
    except (OSError, ValueError, TypeError) as error:
        raise WeightsError(f"svd: {file} cannot be read ({error}); get it again") from error
    found = settings.get("_class_name") or next(iter(settings.get("architectures") or []), None)
    if found != wanted:
        raise WeightsError(f"svd: {folder} holds a {found}, not a {wanted}; give another folder")
    return settings


def weights_files(folder: Path) -> list[Path]:
    """The safetensors of a part: one file, several with an index, or those of half precision.

    Raises:
        WeightsError: If there are none, or the index is damaged.
    """
    for stem in (name + variant for variant in ("", ".fp16") for name in _STEMS):
        if (whole := folder / f"{stem}.safetensors").is_file():
            return [whole]
        base, _, variant = stem.partition(".")
        index = folder / f"{base}.safetensors.index{f'.{variant}' if variant else ''}.json"
        if index.is_file():
            return _indexed(index)
    pickled = sorted(path.name for path in folder.glob("*") if path.suffix in _PICKLED)
    if pickled:
        raise WeightsError(
            f"svd: {folder} has its weights only as {pickled[0]}, which can run code and is not loaded; "
            "give the same weights as safetensors"
        )
    raise WeightsError(f"svd: no *.safetensors in {folder}; give the folder of a whole model")


def _indexed(index: Path) -> list[Path]:
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"svd: {index} cannot be read ({type(error).__name__}); get it again") from error
    outside = [name for name in names if not isinstance(name, str) or Path(name).name != name]
    if outside:
        raise WeightsError(f"svd: {index} names {outside[0]}, which is no file beside it; get it again")
    return [index.parent / name for name in names]


def read_tensors(files: Iterable[Path]) -> dict[str, Tensor]:
    """Read files of safetensors into one.

    Raises:
        WeightsError: If one is missing, cut short or damaged.
    """
    tensors: dict[str, Tensor] = {}
    for file in files:
        if not file.is_file():
            raise WeightsError(f"svd: {file} is missing; get the model again")
        try:
            tensors |= load_file(file)
        except (SafetensorError, OSError, ValueError) as error:
            raise WeightsError(f"svd: {file} is cut short or damaged ({error}); get it again") from error
    return tensors


def fit_tensors(
    part: nn.Module, tensors: Mapping[str, Tensor], where: str, dtype: torch.dtype, *, spare: tuple[str, ...] = ()
) -> None:
    """Give a part its weights; what it holds until then may lie on the meta device.

    Args:
        part: Of the network.
        tensors: By name.
        where: They come from, for people.
        dtype: To hold them in.
        spare: Beginnings of names of tensors that the part has no use for.

    Raises:
        WeightsError: If any is missing, too many, or of another shape.
    """
    wanted = part.state_dict()
    extra = [name for name in tensors if name not in wanted and not name.startswith(spare or ("\0",))]
    missing = [name for name in wanted if name not in tensors]
    if missing or extra:
        kind, names = ("lacks", missing) if missing else ("has", extra)
        more = "that the network has" if missing else "that the network does not have"
        raise WeightsError(
            f"svd: {where} {kind} {len(names)} tensors {more}, such as {names[0]}; it is of another model or size"
        )
    other = [name for name in wanted if wanted[name].shape != tensors[name].shape]
    if other:
        name = other[0]
        raise WeightsError(
            f"svd: {where} is of another size: {len(other)} tensors differ in shape, such as {name} "
            f"{list(tensors[name].shape)} where the network has {list(wanted[name].shape)}"
        )
    fitted = {name: tensors[name].to(dtype) if wanted[name].is_floating_point() else tensors[name] for name in wanted}
    part.load_state_dict(fitted, assign=True)
