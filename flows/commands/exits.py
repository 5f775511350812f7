"""How a command ends: one sentence on stderr and an exit code."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer
from rich.console import Console

from infra.ray_session import RayUnavailableError
from spatialdreamer_core.errors import ConfigError, SpatialDreamerError

STOPPED, USAGE, SOME_FAILED, INTERRUPTED = 1, 2, 3, 130


def stop(code: int, message: str) -> NoReturn:
    """End the command with one sentence."""
    console = Console(stderr=True)
    console.print(message, markup=False, highlight=False, soft_wrap=True, style="red" if console.is_terminal else None)
    raise typer.Exit(code)


@contextmanager
def told() -> Iterator[None]:
    """Turn errors of ours into one sentence and an exit code; a termination signal into an interruption."""
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    except ConfigError as error:
        stop(USAGE, str(error))
    except (SpatialDreamerError, RayUnavailableError) as error:
        stop(STOPPED, str(error))
    except KeyboardInterrupt:
        stop(INTERRUPTED, "interrupted; what is done is kept, run the same command again to go on")
    finally:
        signal.signal(signal.SIGTERM, previous)


def _interrupt(*_: Any) -> NoReturn:
    raise KeyboardInterrupt
