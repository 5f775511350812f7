"""One write again after a pause, where storage fails now and then: cheaper than making what was to be written again."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from spatialdreamer_core.errors import StoreError
from spatialdreamer_core.store.place import FullDiskError

log = logging.getLogger(__name__)

TRIES = 4
FIRST_PAUSE_S = 0.5

R = TypeVar("R")


def patiently(act: Callable[[], R]) -> R:
    """Do something in the store that may be done twice; on trouble again, up to four times, each pause twice as long.

    Raises:
        FullDiskError: At once: waiting makes no room.
        StoreError: If it still fails at the last try.
    """
    for attempt in range(TRIES - 1):
        try:
            return act()
        except FullDiskError:
            raise
        except StoreError as error:
            log.warning("%s; trying again", error)
            time.sleep(FIRST_PAUSE_S * 2**attempt)
    return act()
