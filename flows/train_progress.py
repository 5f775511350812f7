"""How a training is shown: a bar on a terminal, plain lines elsewhere, JSON lines for programs, or nothing."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from flows.progress import Mode, duration
from spatialdreamer_core.training.stereo.progress import TrainProgress

Listener = Callable[[TrainProgress], None]

LINE_EVERY_S = 10.0


@contextmanager
def train_shown(mode: Mode, console: Console) -> Iterator[Listener]:
    """Give a listener that shows progress in the chosen way."""
    match mode:
        case "bars":
            with _bar(console) as listener:
                yield listener
        case "lines":
            yield _lines(console)
        case "json":
            yield _json
        case _:
            yield lambda event: None


def told_speed(event: TrainProgress) -> str:
    """``loss 0.0312, 41.2 samples/s, ETA 1:02:03``."""
    eta = "--" if event.eta_s is None else duration(event.eta_s)
    loss = f"loss {event.losses['loss']:.4g}, " if "loss" in event.losses else ""
    return f"{loss}{event.samples_s:.3g} samples/s, ETA {eta}"


@contextmanager
def _bar(console: Console) -> Iterator[Listener]:
    columns = (
        TextColumn("step {task.completed:.0f}/{task.total:.0f}"),
        BarColumn(bar_width=None),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, expand=True) as bar:
        task = bar.add_task("starting", total=1)

        def tell(event: TrainProgress) -> None:
            bar.update(task, completed=event.step, total=event.steps)
            if event.message:
                bar.console.print(event.message, markup=False, highlight=False)
            else:
                bar.update(task, description=told_speed(event))

        yield tell


def _lines(console: Console) -> Listener:
    last = time.monotonic()

    def tell(event: TrainProgress) -> None:
        nonlocal last
        now = time.monotonic()
        if event.message:
            console.print(event.message, markup=False, highlight=False, soft_wrap=True)
        elif now - last >= LINE_EVERY_S:
            last = now
            line = f"step {event.step}/{event.steps}, {told_speed(event)}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)

    return tell


def _json(event: TrainProgress) -> None:
    sys.stdout.write(json.dumps({"event": "progress"} | asdict(event)) + "\n")
    sys.stdout.flush()
