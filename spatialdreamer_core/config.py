"""Settings of one conversion: frozen, checked once at the door, the whole of what the made bytes depend on."""

from dataclasses import dataclass, field, fields
from typing import ClassVar, Literal, get_args

from spatialdreamer_core.errors import ConfigError

Layout = Literal[
    "full-sbs",
    "half-sbs",
    "full-tb",
    "half-tb",
    "anaglyph-dubois",
    "anaglyph-red-cyan",
    "interleaved",
    "left-right-files",
    "rgbd",
]
Container = Literal["mkv", "mp4", "mov"]
Codec = Literal["auto", "h264", "hevc", "av1", "prores"]
Quality = Literal["fast", "best"]
RefineName = Literal["auto", "none", "mini", "svd"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]

LAYOUTS: tuple[Layout, ...] = get_args(Layout)

_STRICT = {"extra": "forbid"}  # a misspelt name in a settings file is an error, not a setting that does nothing


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{name} must lie in [{low:g}, {high:g}], got {value:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StereoConfig:
    """How deep the stereo is.

    Attributes:
        strength_pct: Disparity range (nearest minus farthest) in percent of the width; None chooses per shot.
        max_strength_pct: The comfort limit that the automatic choice stays under, percent of the width.
        convergence: The inverse depth in [0, 1] that lands on the screen; None chooses per shot.
        swap_eyes: Show the right eye on the left (for cross-eyed viewing).
    """

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    strength_pct: float | None = None
    max_strength_pct: float = 3.0
    convergence: float | None = None
    swap_eyes: bool = False

    def __post_init__(self) -> None:
        if self.strength_pct is not None:
            _check("strength", self.strength_pct, 0.0, 10.0)
        _check("max strength", self.max_strength_pct, 0.1, 10.0)
        if self.convergence is not None:
            _check("convergence", self.convergence, 0.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthConfig:
    """Where depth comes from.

    Attributes:
        name: ``builtin`` (the network that ships), ``cues`` (no weights), a hub model (``depth-anything-v2-small``
            ...), a folder with a transformers model, or ``module:Class`` of one's own.
        import_from: Folder or file of ready depth instead of a model; None estimates.
        width: Columns at which depth is estimated and stabilised.
        key_interval: Depth is estimated every so many frames and carried by flow between.
        blend_keys: Keys on each side that a key's depth is blended with, 0 to 2: more is steadier and slower.
        mirrored: Whether ``builtin`` also looks at the mirrored picture: twice the time, a little better.
        parallax: Whether ``builtin`` also looks at motion: where the camera travels, parallax corrects the network.
        allow_network: Whether a hub model may be downloaded; otherwise only local files count.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    name: str = "builtin"
    import_from: str | None = None
    width: int = 320
    key_interval: int = 6
    blend_keys: int = 1
    mirrored: bool = False
    parallax: bool = True
    allow_network: bool = False

    def __post_init__(self) -> None:
        _check("depth width", self.width, 64, 2048)
        _check("key interval", self.key_interval, 1, 60)
        _check("blend keys", self.blend_keys, 0, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class FillConfig:
    """How what the made eye uncovers is painted.

    Attributes:
        name: ``background`` (ours), ``row``, ``telea`` or ``ns``.
        temporal: Whether neighbouring frames that show the background are used.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    name: Literal["background", "row", "telea", "ns"] = "background"
    temporal: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SvdConfig:
    """How the full-size network paints.

    Attributes:
        steps: Of the solver, from noise to picture.
        guidance: How far to lead away from what is made without CLIP and strength; 1 does not, and costs half.
        window: Frames that are made together; shorter shots are one window.
        window_overlap: Frames that two windows share at least, cross-faded.
        tile_rows: Pixels of a tile, a multiple of 64; smaller pictures are one tile.
        tile_columns: The same.
        tile_overlap: Pixels that two tiles share at least, blended in latent space, a multiple of 64.
        decode_at_once: Frames that the autoencoder decodes together, and smooths over time.
        own_share: Of a frame's own attention where frames of the source interact, in [0, 1]; 1 switches that off.
        neighbours: Distances of the frames of a window that interact.
        key_step: Every so many frames of a shot one is a key frame, asked from afar.
        keys: How many of the nearest key frames are asked, at most 2.
        precision: Of weights and arithmetic; ``auto`` is bfloat16 on a GPU and float32 on a CPU.
        seed: Of the noise.
        on_cpu: Whether it may run without a GPU: minutes for a frame.
        gpu_memory_fraction: Share of a GPU's memory that a worker may take, in (0, 1].
    """

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    steps: int = 8
    guidance: float = 1.0
    window: int = 14
    window_overlap: int = 4
    tile_rows: int = 576
    tile_columns: int = 1024
    tile_overlap: int = 128
    decode_at_once: int = 7
    own_share: float = 0.7
    neighbours: tuple[int, ...] = (-1, 1)
    key_step: int = 16
    keys: int = 2
    precision: Precision = "auto"
    seed: int = 0
    on_cpu: bool = False
    gpu_memory_fraction: float = 0.9

    def __post_init__(self) -> None:
        if self.window < 1 or not 0 <= self.window_overlap < self.window or self.decode_at_once < 1:
            raise ConfigError(
                f"svd: a window of {self.window} frames cannot share {self.window_overlap} and be decoded "
                f"{self.decode_at_once} at once; give a larger window or a smaller overlap"
            )
        for name in ("tile_rows", "tile_columns", "tile_overlap"):
            if getattr(self, name) % 64 or getattr(self, name) < 0:
                raise ConfigError(f"svd: {name} must be a multiple of 64 pixels, got {getattr(self, name)}")
        if not self.tile_overlap < min(self.tile_rows, self.tile_columns):
            raise ConfigError(
                f"svd: tiles of {self.tile_columns}x{self.tile_rows} cannot share {self.tile_overlap} pixels; "
                "give larger tiles or a smaller overlap"
            )
        if not 0 < self.gpu_memory_fraction <= 1:
            raise ConfigError(f"gpu memory fraction must lie in (0, 1], got {self.gpu_memory_fraction:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RefineConfig:
    """Whether a network paints what the made eye uncovers, after the fill.

    Attributes:
        name: ``none``; ``mini``, the small network that ships; ``svd``, the full-size one, whose weights are trained
            elsewhere; ``auto`` goes by quality: ``fast`` takes ``mini`` where a shot earns it, ``best`` the best
            network present for every shot, and without weights both go without.
        least_hole_share: What a shot earns it with: share of the picture, [0, 1], that its plan expects in holes at
            least 4 pixels wide between near and far things. None is 0.005 for ``auto`` with quality ``fast`` and else
            0, which refines every shot.
        borders: Whether the strips that come in at the picture's sides are painted as well: nobody can know what is
            there, and often they are most of the holes. None leaves them out for ``auto`` with quality ``fast``.
        deviation: Stereo deviation strength that the network is told, in its own measure (``mini``: median disparity
            over width, about 0.01); None is computed.
        weights: Folder with other weights than those that ship; what is in it tells ``mini`` from ``svd``.
        svd: How the full-size network paints.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    name: RefineName = "auto"
    least_hole_share: float | None = None
    borders: bool | None = None
    deviation: float | None = None
    weights: str | None = None
    svd: SvdConfig = field(default_factory=SvdConfig)

    def __post_init__(self) -> None:
        if self.least_hole_share is not None:
            _check("refine least hole share", self.least_hole_share, 0.0, 1.0)
        if self.deviation is not None:
            _check("refine deviation", self.deviation, 0.0, 1e6)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeConfig:
    """How the result is written.

    Attributes:
        layout: How the two eyes share the picture.
        container: File format.
        codec: ``auto`` is h264 for 8 bit and hevc for 10 bit.
        crf: Constant quality; None takes the codec's default here (h264 18, hevc 20, av1 28; prores has none).
        preset: The encoder's speed word; None takes ``veryfast`` (or its like).
        max_width: Widest packed picture; wider ones are scaled down, and the manifest says so.
        threads: Encoder threads. Part of the settings because x264's bytes depend on it.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    layout: Layout = "full-sbs"
    container: Container = "mkv"
    codec: Codec = "auto"
    crf: int | None = None
    preset: str | None = None
    max_width: int = 7680
    threads: int = 1

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise ConfigError(f"layout must be one of {', '.join(LAYOUTS)}, got {self.layout!r}")
        if self.crf is not None:
            _check("crf", self.crf, 0, 63)
        _check("max width", self.max_width, 64, 32768)
        if self.codec == "prores" and self.container == "mp4":
            raise ConfigError("prores does not go into mp4; use --container mov or mkv")
        if self.codec == "av1" and self.container == "mov":
            raise ConfigError("av1 does not go into mov; use --container mp4 or mkv")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertConfig:
    """Everything that the made bytes depend on.

    Attributes:
        quality: ``fast`` or ``best``; ``best`` estimates depth more often and at a larger size, and refines every shot.
        flow: Optical flow estimator, ``dis-ultrafast``, ``dis-fast``, ``dis-fine`` or ``dis-medium``.
        start_s: Where in each source to begin, seconds.
        duration_s: How much of each source to convert, seconds; None is all of it.
        segment_frames: Longest segment; longer shots are cut. A multiple of the key interval.
        export_depth: Whether the stabilised depth is written beside the result.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    stereo: StereoConfig = field(default_factory=StereoConfig)
    depth: DepthConfig = field(default_factory=DepthConfig)
    fill: FillConfig = field(default_factory=FillConfig)
    refine: RefineConfig = field(default_factory=RefineConfig)
    encode: EncodeConfig = field(default_factory=EncodeConfig)
    quality: Quality = "fast"
    flow: str = "dis-fine"
    start_s: float = 0.0
    duration_s: float | None = None
    segment_frames: int = 240
    export_depth: bool = False

    def __post_init__(self) -> None:
        _check("start", self.start_s, 0, 1e7)
        if self.duration_s is not None:
            _check("duration", self.duration_s, 1e-3, 1e7)
        _check("segment frames", self.segment_frames, 8, 10_000)
        if self.segment_frames % self.depth.key_interval:
            raise ConfigError(
                f"segment frames ({self.segment_frames}) must be a multiple of the key interval "
                f"({self.depth.key_interval}), so that segments begin on key frames"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """From where on a measure of a clip wants a look, and from where on it fails; None never does.

    Attributes:
        review: In the measure's own unit.
        fail: The same; beyond ``review``.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    review: float | None = None
    fail: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GateConfig:
    """What lets a clip pass, by columns of the manifest.

    Attributes:
        rerender: Whether shots with a clip that fails are made once more, less deep.
        strength_share: Of a failing shot's strength that it is made with the second time, in (0, 1).
        comfort_score: Low is bad.
        hole_share_max: High is bad, like all that follow but ``sharpness_ratio``.
        luma_step_max: Flicker between the eyes, 8-bit levels.
        e_warp_ratio: Steadiness against the source's.
        sharpness_ratio: Low is bad.
        cut_jump_pct: Jump of depth from the shot before, percent of the width.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    rerender: bool = False
    strength_share: float = 0.6
    comfort_score: Limit = field(default_factory=lambda: Limit(review=80.0, fail=50.0))
    hole_share_max: Limit = field(default_factory=lambda: Limit(review=0.06, fail=0.15))
    luma_step_max: Limit = field(default_factory=lambda: Limit(review=1.5, fail=4.0))
    e_warp_ratio: Limit = field(default_factory=lambda: Limit(review=2.0, fail=4.0))
    sharpness_ratio: Limit = field(default_factory=lambda: Limit(review=0.85, fail=0.6))
    cut_jump_pct: Limit = field(default_factory=lambda: Limit(review=1.5, fail=3.0))

    LOW_IS_BAD: ClassVar[frozenset[str]] = frozenset({"comfort_score", "sharpness_ratio"})

    def __post_init__(self) -> None:
        if not 0 < self.strength_share < 1:
            raise ConfigError(f"gate strength share must lie between 0 and 1, got {self.strength_share:g}")
        for name, limit in self.limits().items():
            if limit.review is None or limit.fail is None:
                continue
            wrong = limit.fail > limit.review if name in self.LOW_IS_BAD else limit.fail < limit.review
            if wrong:
                order = "below" if name in self.LOW_IS_BAD else "above"
                raise ConfigError(
                    f"gate {name}: fail must lie {order} review, got review {limit.review:g} and fail {limit.fail:g}"
                )

    def limits(self) -> dict[str, Limit]:
        """Every limit by the column that it is about."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Limit)}
