"""Progress of a run as a Prefect artifact, throttled: each update is a request."""

import time
from collections.abc import Callable
from typing import cast
from uuid import UUID

from prefect import get_run_logger
from prefect.artifacts import create_progress_artifact, update_progress_artifact

from tasks.progress import Progress

PROGRESS_EVERY_S = 5.0
Listener = Callable[[Progress], None]


def progress_artifact(key: str) -> Callable[[float, bool], None]:
    """Make an artifact, and give what keeps it up to date: told a share in [0, 1], and whether this is the end.

    Args:
        key: Of the artifact.
    """
    artifact = cast(UUID, create_progress_artifact(progress=0.0, key=key))  # not a coroutine here
    last = time.monotonic()

    def show(share: float, ended: bool) -> None:
        nonlocal last
        if ended or time.monotonic() - last >= PROGRESS_EVERY_S:
            last = time.monotonic()
            update_progress_artifact(artifact, 100 * share)

    return show


def artifact_progress(listener: Listener | None, key: str) -> Listener:
    """Give a listener that keeps an artifact up to date, warns of failures in the log, and tells another one.

    Args:
        listener: Told first, if given.
        key: Of the artifact.
    """
    show, failed = progress_artifact(key), 0

    def tell(progress: Progress) -> None:
        nonlocal failed
        if listener is not None:
            listener(progress)
        if progress.message and progress.clips_failed > failed:
            get_run_logger().warning(progress.message)
        failed = progress.clips_failed
        ended = progress.files_done + progress.files_failed == progress.files
        show(progress.frames_done / progress.frames if progress.frames else float(ended), ended)

    return tell
