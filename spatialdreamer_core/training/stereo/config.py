"""Settings of one training: frozen, checked once, the whole of what the trained weights depend on besides the data."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from spatialdreamer_core.errors import ConfigError

Size = Literal["mini", "svd"]
Stage = Literal[1, 2]
Schedule = Literal["cosine", "constant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """What the trained weights depend on. Where a default is None, the recipe of the size and stage has its own.

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
        loader_threads: Batches made at once, beside the training.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    size: Size
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

    def __post_init__(self) -> None:
        for name, value, low in (
            ("seed", self.seed, 0), ("steps", self.steps, 1), ("batch", self.batch, 1), ("warmup", self.warmup, 0),
            ("weight_decay", self.weight_decay, 0), ("loader_threads", self.loader_threads, 1),
        ):  # fmt: skip
            if value < low:
                raise ConfigError(f"{name} must be at least {low}, got {value:g}")
        if not self.rate > 0 or not self.clip > 0:
            raise ConfigError(f"rate and clip must be above 0, got {self.rate:g} and {self.clip:g}")
        if not 0 <= self.ema < 1 or not 0 <= self.dropout < 1:
            raise ConfigError(f"ema and dropout must lie in [0, 1), got {self.ema:g} and {self.dropout:g}")
