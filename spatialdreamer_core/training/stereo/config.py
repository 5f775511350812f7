"""Settings of one training: frozen, checked once, the whole of what the trained weights depend on besides the data."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from spatialdreamer_core.errors import ConfigError

Size = Literal["mini", "svd"]
Stage = Literal[1, 2]
Device = Literal["auto", "cpu", "cuda"]
Schedule = Literal["cosine", "constant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """What the trained weights depend on. The defaults are those of ``mini``; ``DEFAULTS`` has what others differ in.

    Attributes:
        size: Which network.
        stage: 1 trains on frames, 2 on clips and only what connects frames.
        pairs: Output of make-pairs, a folder or URL.
        pictures: Folder of pictures with depth (shards of ``train-depth draw``), made into pairs on the fly.
        start_from: Folder or file of weights to begin with; None begins with random ones.
        network: Settings of the network by name; the recipe checks them.
        data: Settings of the recipe's data and losses by name; the recipe checks them.
        seed: Of the first weights, the order of samples and every drawn number.
        steps: Steps over which the schedule runs, and after which training ends.
        batch: Samples of one step and process.
        rate: Peak learning rate.
        schedule: ``cosine`` falls to a thousandth of the peak, ``constant`` stays there.
        warmup: Steps over which the rate rises from nothing.
        weight_decay: Of AdamW.
        clip: Largest norm of the gradients; larger ones are scaled down to it.
        ema: Decay per step of the averaged weights, which are the ones that are measured and written; 0 for none.
        dropout: Share of the samples whose condition (reference, strength) is left out, in [0, 1).
        half: bfloat16 where the numbers allow it: None on a GPU only.
        loader_threads: Batches made at once, beside the training, where clips are read.
        loader_processes: Processes that make batches of pictures for ``mini``; a GPU wants many. 0 is one thread.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    size: Size = "mini"
    stage: Stage = 1
    pairs: str | None = None
    pictures: str | None = None
    start_from: str | None = None
    network: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    steps: int = 10_000
    batch: int = 8
    rate: float = 3e-4
    schedule: Schedule = "cosine"
    warmup: int = 200
    weight_decay: float = 1e-2
    clip: float = 1.0
    ema: float = 0.999
    dropout: float = 0.1
    half: bool | None = None
    loader_threads: int = 2
    loader_processes: int = 0

    def __post_init__(self) -> None:
        for name, value, low in (
            ("seed", self.seed, 0), ("steps", self.steps, 1), ("batch", self.batch, 1), ("warmup", self.warmup, 0),
            ("weight_decay", self.weight_decay, 0), ("loader_threads", self.loader_threads, 1),
            ("loader_processes", self.loader_processes, 0),
        ):  # fmt: skip
            if value < low:
                raise ConfigError(f"{name} must be at least {low}, got {value:g}")
        if not self.rate > 0 or not self.clip > 0:
            raise ConfigError(f"rate and clip must be above 0, got {self.rate:g} and {self.clip:g}")
        if not 0 <= self.ema < 1 or not 0 <= self.dropout < 1:
            raise ConfigError(f"ema and dropout must lie in [0, 1), got {self.ema:g} and {self.dropout:g}")


DEFAULTS: dict[tuple[Size, Stage], dict[str, Any]] = {
    ("svd", 1): {"steps": 30_000, "batch": 1, "rate": 1e-5, "schedule": "constant"},
    ("svd", 2): {"steps": 10_000, "batch": 1, "rate": 1e-5, "schedule": "constant"},
}
"""By size and stage, after what is public of AnimateAnyone's training, the parent of this network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """When a training looks up from its work; nothing that the weights depend on.

    Attributes:
        minutes: Wall time of this run, after which it leaves a checkpoint and ends; None trains all steps.
        validate_every: Steps between validations, each with pictures and written weights.
        save_every: Steps between checkpoints.
        log_every: Steps between lines of the curve.
        keep: Checkpoints that are kept.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    minutes: float | None = None
    validate_every: int = 1000
    save_every: int = 500
    log_every: int = 20
    keep: int = 3

    def __post_init__(self) -> None:
        if self.minutes is not None and not self.minutes > 0:
            raise ConfigError(f"minutes must be above 0, got {self.minutes:g}")
        for name in ("validate_every", "save_every", "log_every", "keep"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
