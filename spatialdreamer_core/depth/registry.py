"""Depth estimators by name. Importing this imports neither torch nor transformers."""

import importlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from spatialdreamer_core.config import DepthConfig
from spatialdreamer_core.depth.protocol import DepthEstimator
from spatialdreamer_core.depth.runtimes import NEEDS, RuntimeName
from spatialdreamer_core.errors import ConfigError

NEED_MODELS = "pip install 'spatialdreamer[models]'"


@dataclass(frozen=True, slots=True)
class HubModel:
    """A depth network on the Hugging Face hub.

    Attributes:
        repository: Its name there.
        licence: Of the weights.
        note: What a user should know before choosing it.
    """

    repository: str
    licence: str
    note: str


HUB_MODELS: dict[str, HubModel] = {
    "depth-anything-v2-small": HubModel(
        "depth-anything/Depth-Anything-V2-Small-hf", "Apache-2.0", "25 M parameters; the usual choice"
    ),
    "depth-anything-v2-base": HubModel(
        "depth-anything/Depth-Anything-V2-Base-hf", "CC-BY-NC-4.0", "98 M parameters; NOT for commercial use"
    ),
    "depth-anything-v2-large": HubModel(
        "depth-anything/Depth-Anything-V2-Large-hf", "CC-BY-NC-4.0", "335 M parameters; NOT for commercial use"
    ),
    "dpt": HubModel("Intel/dpt-large", "Apache-2.0", "MiDaS 3.0 with a large transformer, 343 M parameters"),
    "midas": HubModel("Intel/dpt-hybrid-midas", "Apache-2.0", "MiDaS 3.0 hybrid, 123 M parameters"),
}


@dataclass(frozen=True, slots=True)
class DepthName:
    """One line of help about an estimator.

    Attributes:
        name: What goes into ``DepthConfig.name``.
        about: What it is and under which licence.
        state: ``present``, or what to do to get it.
    """

    name: str
    about: str
    state: str


def list_depth_names() -> list[DepthName]:
    """List what ``DepthConfig.name`` may be, with what is missing on this machine. Loads nothing."""
    names = [
        DepthName("builtin", "our own small network, its weights ship with the package (Apache-2.0)", _runtime_state()),
        DepthName("builtin-openvino", "the same network through OpenVINO, on some CPUs faster", _openvino_state()),
        DepthName("cues", "no weights: position, motion parallax and sharpness; a stopgap (Apache-2.0)", "present"),
    ]
    for name, model in HUB_MODELS.items():
        names.append(DepthName(name, f"{model.repository}: {model.note} ({model.licence})", _hub_state(model)))
    names.append(
        DepthName("FOLDER", "a folder with a transformers depth model: config.json and *.safetensors", _library_state())
    )
    names.append(DepthName("MODULE:CLASS", "a class of your own: CLASS(config, device) is a DepthEstimator", "present"))
    return names


def create_depth_estimator(config: DepthConfig, device: str = "cpu") -> DepthEstimator:
    """Make the estimator that the settings name; loads its weights.

    Depth that is imported for many sources is found per source: see ``imported.for_source``.

    Args:
        config: ``import_from`` wins over ``name``.
        device: ``cpu``, ``cuda`` or ``cuda:N``; only networks look at it.

    Raises:
        ConfigError: If no estimator has that name, its weights are not here and may not be downloaded, or the
            libraries it needs are not installed.
    """
    if config.import_from is not None:
        from spatialdreamer_core.depth.imported import ImportedDepth

        return ImportedDepth(config.import_from)
    if config.name in ("builtin", "builtin-openvino"):
        return _builtin(config, device)
    if config.name == "cues":
        from spatialdreamer_core.depth.cues import CuesDepth

        return CuesDepth()
    if config.name in HUB_MODELS:
        return _network(HUB_MODELS[config.name].repository, config, device)
    if Path(config.name).is_dir():
        return _network(config.name, config, device)
    if ":" in config.name:
        return _own(config, device)
    known = ", ".join(["builtin", "builtin-openvino", "cues", *HUB_MODELS])
    raise ConfigError(
        f"no depth estimator is called {config.name!r} and no folder either; choose one of {known}, "
        "a folder with a transformers model, or module:Class"
    )


def _builtin(config: DepthConfig, device: str) -> DepthEstimator:
    from spatialdreamer_core.depth.builtin import BuiltinDepth

    runtime: RuntimeName = "torch" if device.startswith("cuda") else "onnxruntime"
    if config.name == "builtin-openvino":
        runtime = "openvino"
    return BuiltinDepth(flip=config.mirrored, parallax=config.parallax, runtime=runtime, device=device)


def _network(where: str, config: DepthConfig, device: str) -> DepthEstimator:
    missing = [name for name in ("torch", "transformers", "safetensors") if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"depth {config.name!r} needs {' and '.join(missing)}: {NEED_MODELS}")
    from spatialdreamer_core.depth.hub import HubDepth

    return HubDepth(where, name=config.name, device=device, allow_network=config.allow_network)


def _own(config: DepthConfig, device: str) -> DepthEstimator:
    module_name, _, class_name = config.name.partition(":")
    try:
        made = getattr(importlib.import_module(module_name), class_name)(config, device)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"depth {config.name!r} cannot be loaded as module:Class: {error}") from error
    if not isinstance(made, DepthEstimator):
        raise ConfigError(f"depth {config.name!r} is no estimator: it needs name, digest and infer(request)")
    return made


def _runtime_state() -> str:
    return "present" if importlib.util.find_spec("onnxruntime") else NEEDS["onnxruntime"]


def _openvino_state() -> str:
    return "present" if importlib.util.find_spec("openvino") else NEEDS["openvino"]


def _library_state() -> str:
    return "present" if importlib.util.find_spec("transformers") and importlib.util.find_spec("torch") else NEED_MODELS


def _hub_state(model: HubModel) -> str:
    if _library_state() != "present":
        return NEED_MODELS
    if importlib.util.find_spec("huggingface_hub") is not None:
        from huggingface_hub import try_to_load_from_cache

        if isinstance(try_to_load_from_cache(model.repository, "config.json"), str):
            return "present"
    return "not downloaded; allow network (--allow-network), or give a folder with its files"
