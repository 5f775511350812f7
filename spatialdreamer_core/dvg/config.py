"""Settings of make-pairs that the bytes of a sample depend on: frozen, checked once at the door."""

import re
from dataclasses import dataclass, field
from typing import ClassVar, Literal, get_args

from spatialdreamer_core.config import _STRICT, DepthConfig, _check
from spatialdreamer_core.errors import ConfigError
from spatialdreamer_core.flow.dis import PRESETS

Refine = Literal["off", "union", "previous", "next", "soft"]
Range = tuple[float, float]


def _check_range(name: str, pair: Range, low: float, high: float) -> None:
    if not low <= pair[0] <= pair[1] <= high:
        raise ConfigError(f"{name} must be two rising numbers in [{low:g}, {high:g}], got {pair[0]:g}, {pair[1]:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipsConfig:
    """How shots are cut into clips.

    Attributes:
        frames: Frames of a clip, 2 to 128; 16 and 25 are usual.
        frame_step: Source frames from one frame of a clip to its next; 1 takes each.
        stride: Source frames from the start of a clip to the start of the next in the same shot; None is the clip's
            own span, so that clips neither overlap nor leave frames between them.
        buckets: Sizes that clips come in, ``WIDTHxHEIGHT``, sides multiples of 8; each source takes the one whose
            shape is nearest to its own.
        max_upscale: A source that its bucket would enlarge by more is set aside.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    frames: int = 16
    frame_step: int = 1
    stride: int | None = None
    buckets: tuple[str, ...] = ("512x288", "288x512", "384x384")
    max_upscale: float = 1.5

    def __post_init__(self) -> None:
        _check("clip frames", self.frames, 2, 128)
        _check("frame step", self.frame_step, 1, 60)
        if self.stride is not None:
            _check("stride", self.stride, 1, 100_000)
        _check("max upscale", self.max_upscale, 1, 100)
        if not self.buckets:
            raise ConfigError("buckets are empty; name at least one size, such as 512x288")
        for name in self.buckets:
            bucket_size(name)

    @property
    def span(self) -> int:
        """Source frames from a clip's first frame to its last, both counted."""
        return (self.frames - 1) * self.frame_step + 1


def bucket_size(name: str) -> tuple[int, int]:
    """Read ``WIDTHxHEIGHT``.

    Raises:
        ConfigError: If it is not that, or a side is no multiple of 8 or lies outside [64, 4096].
    """
    match = re.fullmatch(r"(\d+)x(\d+)", name)
    sides = [int(side) for side in match.groups()] if match else []
    if not sides or any(side % 8 or not 64 <= side <= 4096 for side in sides):
        raise ConfigError(f"bucket {name!r} must be WIDTHxHEIGHT, both multiples of 8 in [64, 4096], such as 512x288")
    return sides[0], sides[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class WarpConfig:
    """How a clip's second view is made; each pair of numbers is a range that a value is drawn from, uniformly.

    Attributes:
        double_share: Share of clips made by the paper's double rendering; the others get the analytic mask.
        disparity_pct: Disparity from inverse depth 0 to 1, percent of the width.
        convergence: The inverse depth in [0, 1] that lands on the screen.
        dilation_px: Pixels by which the nearer side of a depth edge grows, whole numbers.
        swap_roles: Whether the real clip is the left or the right eye at random; else it is always the left.
        tear_pct: Step of inverse depth between two neighbours beyond which a surface tears, percent of its range; a
            stretch of a pixel never does.
        crop_pct: Part of the width and height that is cropped away, percent.
        rotate_deg: Angle of rotation, degrees, of either sign.
        rotate_share: Share of clips that are rotated.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    double_share: float = 0.3
    disparity_pct: Range = (2.0, 10.0)
    convergence: Range = (0.0, 1.0)
    dilation_px: tuple[int, int] = (0, 2)
    swap_roles: bool = True
    tear_pct: float = 4.0
    crop_pct: Range = (0.0, 10.0)
    rotate_deg: Range = (0.0, 5.0)
    rotate_share: float = 0.25

    def __post_init__(self) -> None:
        _check("double share", self.double_share, 0, 1)
        _check_range("disparity", self.disparity_pct, 0.1, 30)
        _check_range("convergence", self.convergence, 0, 1)
        _check_range("dilation", self.dilation_px, 0, 16)
        _check("tear", self.tear_pct, 0, 100)
        _check_range("crop", self.crop_pct, 0, 50)
        _check_range("rotate", self.rotate_deg, 0, 45)
        _check("rotate share", self.rotate_share, 0, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskConfig:
    """How masks are made steady in time; ``refine`` and its parts are the ablation switches.

    Attributes:
        refine: ``off``; ``union``: a pixel is masked if it is, or if the mask of t-1 or t+1, pulled along a
            confident flow, is there; ``previous`` and ``next``: with that neighbour alone; ``soft``: with soft
            confidence, where neighbours add up to 1 (the paper's equation, read literally).
        carry_border: Whether refinement also carries the strip that lies beyond the other view's border, as the paper's
            formula does. It belongs to the frame and not to the scene: carried, it leaves false strips within.
        close_px: Gaps of the mask up to about twice as wide are closed before it is refined; 0 closes none.
        flow: Optical flow, ``dis-ultrafast``, ``dis-fast`` or ``dis-medium``.
        half_flow: Whether flow is found at half size.
        share: Part of the motion that going there and back may miss.
        slack_px2: What it may miss without motion, squared pixels.
        store_flow: Whether samples carry the flow.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    refine: Refine = "union"
    carry_border: bool = False
    close_px: int = 1
    flow: str = "dis-fast"
    half_flow: bool = True
    share: float = 0.01
    slack_px2: float = 0.5
    store_flow: bool = False

    def __post_init__(self) -> None:
        if self.refine not in get_args(Refine):
            raise ConfigError(f"refine must be one of {', '.join(get_args(Refine))}, got {self.refine!r}")
        if self.flow not in PRESETS:
            raise ConfigError(f"no optical flow is called {self.flow!r}; choose one of {', '.join(PRESETS)}")
        _check("close", self.close_px, 0, 8)
        _check("share", self.share, 0, 1)
        _check("slack", self.slack_px2, 0, 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterConfig:
    """What a clip must be to be made into a pair at all; every score is recorded, whatever comes of it.

    Attributes:
        min_motion_px: Least motion of the fastest parts, pixels a frame for a width of 512; less is a still picture.
        max_motion_px: Most mean motion; more is not followed by flow.
        max_repeated_share: Most frames that may repeat the one before.
        max_blur: Most blur, [0, 1], see ``corpus.filters``.
        max_text_share: Most of the picture that titles, captions or credits may cover.
        min_brightness: Least mean luma, grey levels.
        min_contrast: Least standard deviation of luma, grey levels.
        max_bars_share: Most of the height or width that black bars may take.
        min_flow_confidence: Least share of pixels whose flow comes back.
        min_likeness: Least correlation of neighbouring frames along the flow; less is a cut within the clip.
        max_duplicate_bits: Pictures whose perceptual hashes (64 bits) differ by no more are alike; a clip most of which
            another shot has shown is left out, see ``corpus.duplicates``. -1 keeps all.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    min_motion_px: float = 0.25
    max_motion_px: float = 40.0
    max_repeated_share: float = 0.5
    max_blur: float = 0.8
    max_text_share: float = 0.01
    min_brightness: float = 16.0
    min_contrast: float = 10.0
    max_bars_share: float = 0.02
    min_flow_confidence: float = 0.4
    min_likeness: float = 0.5
    max_duplicate_bits: int = 4

    def __post_init__(self) -> None:
        _check("duplicate bits", self.max_duplicate_bits, -1, 6)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictConfig:
    """What marks a made pair ``train``, ``review`` or ``reject``: beyond the first number review, the second reject.

    Attributes:
        cycle_psnr_db: There and back outside the mask, least.
        hole_share: Masked share of the pixels, most.
        occlusion_share: Share of pixels hidden behind something, least: without them a pair teaches borders only.
        mask_growth: What refinement added, as a share of the mask before it, most.
        mask_stability: Agreement of masks in time, least.
        flow_confidence: Share of pixels whose flow comes back, least.
        depth_spread: Distance of the 2nd and 98th percentile of inverse depth, least; less is a flat scene or a failed
            estimate.
        depth_flicker: Mean change of inverse depth along the flow, most.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    cycle_psnr_db: Range = (30.0, 25.0)
    hole_share: Range = (0.3, 0.5)
    occlusion_share: Range = (0.001, 0.0)
    mask_growth: Range = (0.6, 2.0)
    mask_stability: Range = (0.65, 0.4)
    flow_confidence: Range = (0.7, 0.4)
    depth_spread: Range = (0.3, 0.1)
    depth_flicker: Range = (0.03, 0.08)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairsConfig:
    """Everything that the bytes of a sample depend on, next to the clip itself.

    Attributes:
        seed: Another seed draws other values for the same clips.
        val_share: Share of sources that go to ``val``; a source is never on both sides.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    clips: ClipsConfig = field(default_factory=ClipsConfig)
    depth: DepthConfig = field(default_factory=DepthConfig)
    warp: WarpConfig = field(default_factory=WarpConfig)
    mask: MaskConfig = field(default_factory=MaskConfig)
    filters: FilterConfig = field(default_factory=FilterConfig)
    verdict: VerdictConfig = field(default_factory=VerdictConfig)
    seed: int = 0
    val_share: float = 0.05

    def __post_init__(self) -> None:
        _check("val share", self.val_share, 0, 1)
