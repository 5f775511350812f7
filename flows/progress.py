"""How a run is shown: bars on a terminal, plain lines elsewhere, JSON lines for programs, or nothing."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import PurePosixPath
from typing import Literal

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from tasks import progress

Mode = Literal["bars", "lines", "json", "quiet"]
Listener = Callable[[progress.Progress], None]

LINE_EVERY_S = 5.0


@contextmanager
def shown(mode: Mode, console: Console) -> Iterator[Listener]:
    """Give a listener that shows progress in the chosen way."""
    match mode:
        case "bars":
            with _bars(console) as listener:
                yield listener
        case "lines":
            yield _lines(console)
        case "json":
            yield _json
        case _:
            yield _only_failures(console)


def choose_mode(console: Console, *, quiet: bool, as_json: bool) -> Mode:
    """Bars only where somebody can see them."""
    if as_json:
        return "json"
    if quiet:
        return "quiet"
    return "bars" if console.is_terminal else "lines"


class _Rate(ProgressColumn):
    """Frames per second of work done in this run, and the time left at that rate."""

    def render(self, task: Task) -> Text:
        """Show one task's rate."""
        made, begin = task.fields["made"], task.fields["begin"]
        spent = time.monotonic() - begin
        if not made or spent <= 0:
            return Text("-- frames/s, ETA --")
        fps = made / spent
        left = max(0.0, (task.total or 0) - task.completed) / fps
        return Text(f"{fps:.1f} frames/s, ETA {duration(left)}")


def duration(seconds: float) -> str:
    """``1:02:03`` or ``2:03``."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


@contextmanager
def _bars(console: Console) -> Iterator[Listener]:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        _Rate(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, expand=True) as bars:
        begin = time.monotonic()
        overall = bars.add_task("all", total=1, made=0, begin=begin)
        files: dict[str, tuple[TaskID, int]] = {}

        def tell(event: progress.Progress) -> None:
            done = f"all: {event.files_done + event.files_failed}/{event.files} files"
            if event.clips_failed:
                done += f", {event.clips_failed} clips failed"
            bars.update(
                overall,
                description=done,
                total=max(event.frames, 1),
                completed=event.frames_done,
                made=event.frames_made,
            )
            if event.message:
                bars.console.print(event.message, markup=False, highlight=False)
            if event.source_frames:
                _update_file(bars, files, event)

        yield tell


def _update_file(bars: Progress, files: dict[str, tuple[TaskID, int]], event: progress.Progress) -> None:
    if event.source not in files:
        name = PurePosixPath(event.source).name
        before = event.source_frames_done
        task = bars.add_task(name, total=event.source_frames, made=0, begin=time.monotonic())
        files[event.source] = task, before
    task, before = files[event.source]
    bars.update(task, completed=event.source_frames_done, made=event.source_frames_done - before)
    if event.message:  # a file's last event: its line makes room
        bars.remove_task(task)
        del files[event.source]


def _lines(console: Console) -> Listener:
    begin = last = time.monotonic()

    def tell(event: progress.Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if event.message:
            console.print(event.message, markup=False, highlight=False, soft_wrap=True)
        elif event.frames and now - last >= LINE_EVERY_S:
            last = now
            fps = event.frames_made / (now - begin)
            eta = duration((event.frames - event.frames_done) / fps) if fps else "--"
            line = (
                f"{event.frames_done}/{event.frames} frames, {fps:.1f} frames/s, ETA {eta}, "
                f"{event.files_done + event.files_failed}/{event.files} files, {event.clips_failed} clips failed"
            )
            console.print(line, markup=False, highlight=False, soft_wrap=True)

    return tell


def _json(event: progress.Progress) -> None:
    sys.stdout.write(json.dumps({"event": "progress"} | asdict(event)) + "\n")
    sys.stdout.flush()


def _only_failures(console: Console) -> Listener:
    failed = 0

    def tell(event: progress.Progress) -> None:
        nonlocal failed
        if event.clips_failed > failed and event.message:
            console.print(event.message, markup=False, highlight=False, soft_wrap=True)
        failed = event.clips_failed

    return tell
