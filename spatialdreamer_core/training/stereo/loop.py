"""The training loop: steps, a look at the result now and then, checkpoints, an orderly end."""

import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor

from spatialdreamer_core.errors import ConfigError, SpatialDreamerError, TrainingError
from spatialdreamer_core.store.place import Place
from spatialdreamer_core.training.stereo.checkpoints import checkpoint_key, newest_checkpoint, save_checkpoint
from spatialdreamer_core.training.stereo.config import Pace, TrainConfig
from spatialdreamer_core.training.stereo.journal import VALIDATED, WEIGHTS, Journal, publish_folder
from spatialdreamer_core.training.stereo.peers import Peers
from spatialdreamer_core.training.stereo.progress import TrainProgress, TrainReport
from spatialdreamer_core.training.stereo.recipe import LOSS, Recipe
from spatialdreamer_core.training.stereo.schedule import rate_at
from spatialdreamer_core.training.stereo.training import NotANumberError, Training

TELL_EVERY_S = 1.0


class Loop:
    """One run of a training, from the last checkpoint to the last step or an earlier end.

    Args:
        recipe: What is trained.
        config: What the weights depend on.
        pace: When checkpoints and the rest are due.
        place: Where all goes.
        peers: This process and those beside it.
        on_progress: Told about once a second, on the process that writes.
        stop: Asked after every step whether to leave.
    """

    def __init__(
        self,
        recipe: Recipe,
        config: TrainConfig,
        pace: Pace,
        place: Place,
        peers: Peers,
        on_progress: Callable[[TrainProgress], None],
        stop: Callable[[], bool],
    ) -> None:
        self._recipe, self._config, self._pace, self._place = recipe, config, pace, place
        self._peers, self._on_progress, self._stop = peers, on_progress, stop
        self._started = time.monotonic()
        self._training = Training(recipe, config, peers)
        state = newest_checkpoint(place, peers.device, self._say)
        if state is not None:
            changed = self._taken_up(state)
            self._say("; ".join([f"going on after step {self._training.step} of {config.steps}", *changed]))
        self._first = self._training.step
        self._journal = Journal(place, self._first, self._say) if peers.writes else None
        self._saved = self._first if state is not None else -1
        self._seen: list[dict[str, Tensor]] = []
        self._seen_since = self._told = self._begun = time.monotonic()
        self._losses: dict[str, float] = {}
        self._figures: dict[str, float] = {}
        self._samples_s = 0.0

    def run(self) -> TrainReport:
        """Train.

        Raises:
            TrainingError: If a loss is not finite; the batch is saved, and so is all that was learnt before.
            StoreError: If the output cannot be written.
        """
        try:
            if self._training.step == 0:
                self._validate()  # what would fail at the first validation fails now
            stopped = self._steps()
            self._leave(validate=stopped == "done")
        finally:
            if self._journal is not None:
                self._journal.close()
        made = self._training.step - self._first
        return TrainReport(
            step=self._training.step,
            steps=self._config.steps,
            steps_made=made,
            samples=made * self._config.batch * self._peers.world,
            seconds=time.monotonic() - self._started,
            stopped=stopped,
            loss=self._losses.get(LOSS),
            figures=self._figures,
        )

    def _taken_up(self, state: dict[str, Any]) -> list[str]:
        try:
            return self._training.load(state)
        except ConfigError as error:
            raise ConfigError(f"output {self._place}: {error}") from error

    def _steps(self) -> str:
        pace, training = self._pace, self._training
        self._seen_since = self._begun = time.monotonic()
        while training.step < self._config.steps:
            self._seen.append(self._one_step())
            done = training.step == self._config.steps
            if training.step % pace.log_every == 0 or done:
                self._log()
            if self._peers.writes and time.monotonic() - self._told > TELL_EVERY_S:
                self._tell()
            if training.step % pace.validate_every == 0 and not done:
                self._validate()
            late = pace.minutes is not None and time.monotonic() - self._started > 60 * pace.minutes
            asked, late_too = self._peers.most(int(self._stop()), int(late))
            if asked or late_too:
                return "signal" if asked else "minutes"
            if training.step % pace.save_every == 0 and not done:
                self._save()
        return "done"

    def _one_step(self) -> dict[str, Tensor]:
        try:
            return self._training.one_step()
        except NotANumberError as error:
            self._give_up(error)
        except torch.OutOfMemoryError as error:
            raise TrainingError(
                f"step {self._training.step + 1} of {self._place}: {self._peers.device} has too little memory for a "
                f"batch of {self._config.batch}; give a smaller --batch, or --half, and run the command again"
            ) from error
        except SpatialDreamerError:  # of the data: the weights are as after the step before
            if self._peers.world == 1 and self._saved != self._training.step:
                with suppress(SpatialDreamerError):  # the first error is the one to tell
                    self._save()
            raise

    def _leave(self, *, validate: bool) -> None:
        if self._seen:
            self._log()
        if self._training.step != self._saved:
            self._save()
        if validate and self._peers.most(int(not self._validated()))[0]:
            self._validate()
        elif self._training.step != self._first:
            self._export()
        if self._journal is not None:
            rows = self._journal.rows
            self._figures = self._figures or next((_figures(r) for r in reversed(rows) if _figures(r)), {})
            self._losses = self._losses or next(({LOSS: r[LOSS]} for r in reversed(rows) if LOSS in r), {})

    def _validated(self) -> bool:
        return self._journal is None or self._journal.validated(self._training.step)

    def _log(self) -> None:
        """Note the means since the last time."""
        names = list(self._seen[0])
        means = torch.stack([torch.stack([row[name] for row in self._seen]).mean() for name in names])
        spent = time.monotonic() - self._seen_since
        self._samples_s = len(self._seen) * self._config.batch * self._peers.world / spent
        shared = [float(value) for value in self._peers.mean(means)]
        self._losses = dict(zip(names, shared, strict=True))
        self._seen, self._seen_since = [], time.monotonic()
        if self._journal is None:
            return
        rate = rate_at(self._training.step - 1, self._config)
        row = self._losses | {"rate": rate, "samples_s": round(self._samples_s, 3)}
        if self._peers.device.type == "cuda":
            row["gpu_peak_mb"] = round(torch.cuda.max_memory_allocated(self._peers.device) / 2**20)
        self._journal.note(self._training.step, row)

    def _validate(self) -> None:
        """Measure and write the averaged weights; the others wait."""
        if self._journal is not None:
            since, step = time.monotonic(), self._training.step
            net = self._training.net
            with self._training.averaged(), torch.no_grad():
                seen = self._recipe.validate(net.eval(), self._peers.device)
            self._figures = dict(seen.figures)
            if seen.pictures is not None:
                self._journal.show(step, seen.pictures)
            self._export()
            spent = time.monotonic() - since
            figures = {f"val_{name}": value for name, value in seen.figures.items()}
            self._journal.note(step, figures | {VALIDATED: round(spent, 2)})
            self._journal.publish()
            self._seen_since += spent
            told = ", ".join(f"{name} {value:.4g}" for name, value in seen.figures.items())
            self._say(f"step {step}: {told or 'validated'}")
        self._peers.wait()

    def _export(self) -> None:
        if self._journal is not None:
            with tempfile.TemporaryDirectory() as folder, self._training.averaged():
                self._recipe.export(self._training.net, Path(folder))
                publish_folder(self._place, Path(folder), WEIGHTS)

    def _save(self) -> None:
        since, state = time.monotonic(), self._training.state()
        if self._journal is not None:
            self._journal.publish()
            save_checkpoint(self._place, self._training.step, state, self._pace.keep)
        self._seen_since += time.monotonic() - since
        self._saved = self._training.step
        self._peers.wait()

    def _give_up(self, error: NotANumberError) -> NoReturn:
        """Save the batch and what was learnt before it."""
        step = self._training.step
        key = f"bad/step-{step:08d}-rank-{self._peers.rank}.pt"
        with self._place.scratch() as path:
            torch.save({"step": step, "losses": error.losses, "batch": error.batch}, path)
            self._place.publish_file(path, key)
        self._save()  # its loader stands behind the batch
        losses = ", ".join(f"{name} {value:g}" for name, value in error.losses.items())
        raise TrainingError(
            f"step {step + 1} of {self._place} gave no finite numbers ({losses}); its batch lies in {key}, what was "
            f"learnt before it in {checkpoint_key(step)}; run the command again to go on behind that batch, with a "
            "lower --rate if it comes back"
        ) from error

    def _tell(self) -> None:
        made = self._training.step - self._first
        per_step = (time.monotonic() - self._begun) / made if made else None
        left = self._config.steps - self._training.step
        self._told = time.monotonic()
        losses, speed = self._losses, self._samples_s
        if not losses:  # before the first line of the curve
            losses = {name: float(value) for name, value in self._seen[-1].items()}
            speed = made * self._config.batch * self._peers.world / (self._told - self._begun)
        self._on_progress(
            TrainProgress(
                self._training.step, self._config.steps, losses, rate_at(self._training.step, self._config),
                speed, None if per_step is None else per_step * left,
            )
        )  # fmt: skip

    def _say(self, message: str) -> None:
        if self._peers.writes:
            step = self._training.step
            self._on_progress(TrainProgress(step, self._config.steps, message=message))


def _figures(row: dict[str, float]) -> dict[str, float]:
    return {name.removeprefix("val_"): value for name, value in row.items() if name.startswith("val_")}
