"""Run one function in a process of its own, so that a decoder that crashes does not take the command with it."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from spatialdreamer_core.errors import ClipError

R = TypeVar("R")


def walled(function: Callable[..., R], *args: Any) -> R:
    """Call ``function(*args)`` elsewhere and give its result.

    Raises:
        ClipError: If the process dies.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(function, *args).result()
        except BrokenProcessPool as error:
            raise ClipError(
                f"{args[0]}: reading it killed the reader process; the file is damaged or hostile"
            ) from error
