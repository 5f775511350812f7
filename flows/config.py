"""What one run depends on, all of it: checked once, before anything starts."""

from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flows.mistakes import tell_mistakes
from spatialdreamer_core.config import ConvertConfig, GateConfig
from spatialdreamer_core.dvg.config import PairsConfig
from spatialdreamer_core.errors import ConfigError

Config = TypeVar("Config", bound="EngineConfig")
Model = TypeVar("Model", bound=BaseModel)


class EngineConfig(BaseModel):
    """What every run of the engine has, whatever it makes.

    Attributes:
        sources: Files, folders, globs, fsspec URLs, or ``@list.txt``.
        output: Folder or fsspec URL.
        include: Only sources whose name or path matches one of these patterns; all if empty.
        exclude: Not those that match one of these.
        workers: Worker processes; None is one per core, or one per GPU.
        gpus: GPUs of this machine to use, each by one worker.
        executor: ``ray`` (worker processes) or ``in-process`` (this one: for debugging).
        ray_address: A Ray cluster to join; None starts one on this machine.
        prefect: ``auto`` records the run with Prefect where ``PREFECT_API_URL`` is set; ``on`` always (an embedded
            API is started if none is set, which takes 10 to 25 s); ``off`` never.
        resume: Whether what earlier runs did is kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: tuple[str, ...] = Field(min_length=1)
    output: str = Field(min_length=1)
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    workers: int | None = Field(default=None, ge=1, le=4096)
    gpus: int = Field(default=0, ge=0, le=4096)
    executor: Literal["ray", "in-process"] = "ray"
    ray_address: str | None = None
    prefect: Literal["auto", "on", "off"] = "auto"
    resume: bool = True


class RunConfig(EngineConfig):
    """One conversion run.

    Attributes:
        convert: What the made bytes depend on.
        gate: What lets a clip pass, and whether shots that fail are made again.
    """

    convert: ConvertConfig = ConvertConfig()
    gate: GateConfig = GateConfig()


class PairsRunConfig(EngineConfig):
    """One make-pairs run.

    Attributes:
        pairs: What the made bytes depend on.
        shard_mb: How large a shard should become, megabytes; clips of one split and size share shards.
    """

    pairs: PairsConfig = PairsConfig()
    shard_mb: float = Field(default=512.0, gt=0, le=100_000)


class _Loader(yaml.SafeLoader):
    """Reads ``off`` as the word that it is (YAML 1.2), not as false: ``prefect: off`` names a choice.

    Settings that are true or false take either; pydantic knows the words.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012 -- the base class declares it so
        first: [one for one in resolvers if one[0] != "tag:yaml.org,2002:bool" or first in "tTfF"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def read_settings(path: Path) -> dict[str, Any]:
    """Read a settings file.

    Raises:
        ConfigError: If it cannot be read or is not a YAML mapping.
    """
    try:
        settings = yaml.load(path.read_text(encoding="utf-8"), _Loader) or {}
    except OSError as error:
        raise ConfigError(f"settings {path}: {error.strerror}; give a readable YAML file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"settings {path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(settings, dict):
        raise ConfigError(f"settings {path}: a mapping of names to values is needed, got {type(settings).__name__}")
    return settings


def merge(settings: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """Lay command-line options over a settings file; ``stereo.convergence`` names a nested one, None is not given."""
    merged: dict[str, Any] = {
        name: merge(value, {}) if isinstance(value, dict) else value for name, value in settings.items()
    }
    for path, value in options.items():
        if value is None:
            continue
        *folders, name = path.split(".")
        target = merged
        for folder in folders:
            if target.get(folder) is None:  # also ``convert:`` with nothing below it
                target[folder] = {}
            target = target[folder]
            if not isinstance(target, dict):
                break  # no group of settings: whoever checks them says so
        else:
            target[name] = value
    return merged


def run_config(settings: dict[str, Any], where: str) -> RunConfig:
    """Check settings.

    Raises:
        ConfigError: Naming each mistake and where it is.
    """
    return checked(RunConfig, _with_quality(settings), where)


def checked(kind: type[Model], settings: dict[str, Any], where: str) -> Model:
    """Check settings against one kind of run.

    Raises:
        ConfigError: Naming each mistake and where it is.
    """
    try:
        return kind.model_validate(settings)
    except ValidationError as error:
        raise ConfigError(f"{where}: {tell_mistakes(kind, error)}") from error


BEST: dict[str, Any] = {
    "depth": {"key_interval": 2, "width": 512, "blend_keys": 2, "mirrored": True},
    "flow": "dis-medium",
}
"""What ``quality: best`` means where nothing else is said."""
IMPORTED: dict[str, Any] = {"depth": {"key_interval": 1, "width": 640, "blend_keys": 0}}
"""Ready depth comes for every frame and costs no network, so more of it is kept."""


def _with_quality(settings: dict[str, Any]) -> dict[str, Any]:
    """Fill in what a quality or imported depth implies, under what the user said."""
    convert = settings.get("convert")
    if not isinstance(convert, dict):
        return settings
    depth = convert.get("depth")
    if isinstance(depth, dict) and depth.get("import_from"):
        convert = _under(convert, IMPORTED)
    if convert.get("quality") == "best":
        convert = _under(convert, BEST)
    return settings | {"convert": convert}


def _under(settings: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    merged = dict(settings)
    for name, value in defaults.items():
        if isinstance(value, dict):
            merged[name] = _under(merged.get(name) or {}, value)
        else:
            merged.setdefault(name, value)
    return merged
