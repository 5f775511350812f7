"""What a training tells of itself while it runs, and at its end."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TrainProgress:
    """One moment of a training.

    Attributes:
        step: Steps done, of all runs.
        steps: Steps of the schedule.
        losses: Means since the last moment; ``loss`` is the one that is minimised.
        rate: Learning rate.
        samples_s: Samples per second of all processes.
        eta_s: Seconds left at this run's speed; None before it is known.
        message: A line for people, or nothing.
    """

    step: int
    steps: int
    losses: dict[str, float] = field(default_factory=dict)
    rate: float = 0.0
    samples_s: float = 0.0
    eta_s: float | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class TrainReport:
    """What came of a run.

    Attributes:
        step: Steps done, of all runs.
        steps: Steps of the schedule.
        steps_made: Steps of this run.
        samples: Samples of this run, of all processes.
        seconds: Wall time of this run.
        stopped: Why it ended: ``done``, ``minutes`` or ``signal``.
        loss: Of the last line of the curve; None if there is none.
        figures: Of the last validation.
    """

    step: int
    steps: int
    steps_made: int
    samples: int
    seconds: float
    stopped: str
    loss: float | None
    figures: dict[str, float]

    @property
    def samples_s(self) -> float:
        """Samples per second, validations and checkpoints included."""
        return self.samples / self.seconds if self.seconds else 0.0
