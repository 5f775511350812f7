"""One run at a time on one local output folder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spatialdreamer_core.errors import StoreError
from spatialdreamer_core.store.place import WORK_FOLDER, Place, store_error


@contextmanager
def exclusive_run(place: Place) -> Iterator[None]:
    """Hold the output place for one run.

    A local folder is held by an advisory lock that the system frees when the process dies, however it dies. A remote
    place is not locked: there, commits are exclusive, so that two runs waste work but cannot spoil it.

    Raises:
        StoreError: If another run holds the folder.
    """
    if not place.is_local:
        yield
        return
    path = Path(place.full(f"{WORK_FOLDER}/lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("a+")
    except OSError as error:
        raise store_error(error, f"lock {path}") from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            handle.seek(0)
            holder = handle.read().strip() or "unknown"
            raise StoreError(
                f"output {place}: another run (process {holder}) works here; wait for it or choose another --output"
            ) from error
        try:
            os.truncate(handle.fileno(), 0)
            os.write(handle.fileno(), str(os.getpid()).encode())  # unbuffered: closing must not fail once more
        except OSError as error:
            raise store_error(error, f"lock {path}") from error
        yield
