"""Settings of one evaluation: frozen, checked once, the whole of what its figures depend on."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal, get_args

from spatialdreamer_core.config import DepthConfig, FillConfig
from spatialdreamer_core.errors import ConfigError
from spatialdreamer_core.flow.dis import PRESETS
from spatialdreamer_core.flow.learned import LEARNED

Protocol = Literal["true-disparity", "own-depth"]
Kind = Literal["identity", "warp", "fill", "views"]
LpipsName = Literal["alex", "vgg"]
Matcher = Literal["sgm", "gmflow"]

MEASURE_VERSION = 3
"""Raised when a figure is computed otherwise: rows of another version are made again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One way to get a right view.

    Attributes:
        name: Its row in the table.
        kind: ``identity`` (the left view), ``warp`` (holes stay black), ``fill`` (warp and fill) or ``views`` (ready
            ones from a folder).
        fill: For ``fill``: how holes are painted.
        refine: For ``fill``: the network that paints over it, ``mini`` or a folder with weights of another one or of
            ``svd``; None for none.
        folder: For ``views``: where they lie.
        depth: Where own depth comes from; None takes the run's.
    """

    name: str
    kind: Kind
    fill: FillConfig = field(default_factory=FillConfig)
    refine: str | None = None
    folder: str | None = None
    depth: DepthConfig | None = None


IDENTITY = Method(name="identity", kind="identity")
_PLAIN: dict[str, Method] = {
    method.name: method
    for method in (
        IDENTITY,
        Method(name="warp", kind="warp"),
        Method(name="row", kind="fill", fill=FillConfig(name="row", temporal=False)),
        Method(name="telea", kind="fill", fill=FillConfig(name="telea", temporal=False)),
        Method(name="ns", kind="fill", fill=FillConfig(name="ns", temporal=False)),
        Method(name="background", kind="fill", fill=FillConfig(name="background", temporal=False)),
        Method(name="ours", kind="fill"),
        Method(name="mini", kind="fill", refine="mini"),
    )
}
METHODS = tuple(_PLAIN)
DEFAULT_METHODS = ("warp", "telea", "ns", "ours")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateConfig:
    """What the figures depend on, besides the material.

    Attributes:
        methods: Rows of the table, without the identity row, which is always there.
        protocol: ``true-disparity`` warps by the material's disparity (what it lacks is matched); ``own-depth``
            estimates depth from the left view, with one scale and offset per clip.
        frames: Frames taken of each clip.
        start_frame: First of them.
        lpips: Networks.
        vgg_every: LPIPS VGG is measured on every so many frames, since it costs more than all the rest.
        match_every: Disparity is matched on every so many frames.
        fvd: Whether FVD is measured: 3 s a clip and method.
        depth: Own depth.
        flow: Optical flow of E_warp: one of ``flow.dis.PRESETS`` or of ``flow.learned.LEARNED``.
        matcher: What finds disparity in made pairs and in true ones: ``sgm``, or ``gmflow``, 4 s a picture.
        exchange_swapped: Exchange eyes that are found swapped, instead of stopping.
        seam_frames: Frames that begin a window of a method, for the seam step; multiples of this. None: no seams.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    methods: tuple[Method, ...] = tuple(_PLAIN[name] for name in DEFAULT_METHODS)
    protocol: Protocol = "true-disparity"
    frames: int = 16
    start_frame: int = 0
    lpips: tuple[LpipsName, ...] = ("alex", "vgg")
    vgg_every: int = 16
    match_every: int = 4
    fvd: bool = False
    depth: DepthConfig = field(default_factory=DepthConfig)
    flow: str = "dis-medium"
    matcher: Matcher = "sgm"
    exchange_swapped: bool = False
    seam_frames: int | None = None

    def __post_init__(self) -> None:
        for name in ("frames", "vgg_every", "match_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name.replace('_', ' ')} must be at least 1, got {getattr(self, name)}")
        if self.start_frame < 0:
            raise ConfigError(f"start frame must not be negative, got {self.start_frame}")
        if unknown := set(self.lpips) - set(get_args(LpipsName)):
            raise ConfigError(f"no LPIPS network is called {', '.join(sorted(unknown))}; choose alex, vgg or none")
        names = [method.name for method in self.methods]
        if doubles := {name for name in names if names.count(name) > 1}:
            raise ConfigError(f"two methods are called {', '.join(sorted(doubles))}; give each its own name")
        if self.flow not in (*PRESETS, *LEARNED):
            raise ConfigError(f"no optical flow is called {self.flow!r}; choose {', '.join((*PRESETS, *LEARNED))}")
        if self.fvd and self.frames < 10:
            raise ConfigError(f"FVD needs at least 10 frames of each clip, got {self.frames}")


def parse_method(text: str) -> Method:
    """Read a method as the command line gives it.

    ``ours``, ``warp``, ... by name; ``NAME=FOLDER`` for ready right views; ``NAME:key=value,...`` for ours with
    settings: ``fill`` (background, row, telea, ns), ``temporal`` (yes, no), ``depth`` (an estimator's name), ``refine``
    (``mini``, or a folder with the files of another network of its kind).

    Raises:
        ConfigError: If it is none of these.
    """
    name, colon, settings = text.partition(":")
    if colon and "=" not in name:
        return _with_settings(name, settings)
    name, equals, folder = text.partition("=")
    if equals:
        if not name or not folder:
            raise ConfigError(f"method {text!r}: NAME=FOLDER is needed for ready right views")
        return Method(name=name, kind="views", folder=folder)
    if text not in _PLAIN:
        raise ConfigError(f"no method is called {text!r}; choose {', '.join(METHODS)}, NAME=FOLDER or NAME:key=value")
    return _PLAIN[text]


def _with_settings(name: str, settings: str) -> Method:
    values = dict(part.partition("=")[::2] for part in settings.split(","))
    if unknown := set(values) - {"fill", "temporal", "depth", "refine"}:
        raise ConfigError(
            f"method {name}: {', '.join(sorted(unknown))} is no setting; choose fill, temporal, depth, refine"
        )
    fill = values.get("fill", "background")
    if fill not in ("background", "row", "telea", "ns"):
        raise ConfigError(f"method {name}: no fill is called {fill!r}; choose background, row, telea or ns")
    temporal = values.get("temporal", "yes")
    if temporal not in ("yes", "no"):
        raise ConfigError(f"method {name}: temporal must be yes or no, got {temporal!r}")
    return Method(
        name=name,
        kind="fill",
        fill=FillConfig(name=fill, temporal=temporal == "yes"),  # type: ignore[arg-type]
        refine=values.get("refine"),
        depth=DepthConfig(name=values["depth"]) if "depth" in values else None,
    )
