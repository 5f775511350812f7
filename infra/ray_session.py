"""A Ray to run on: one of our own on this machine, or a cluster by address."""

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

log = logging.getLogger(__name__)

# Set before ray is imported: no usage reports, no token file for a Ray that only this process talks to,
# and no hiding of GPUs from actors that ask for none.
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
}
OBJECT_STORE_BYTES = 200 * 2**20  # jobs and rows pass through it, never frames


class RayUnavailableError(RuntimeError):
    """Ray did not come up, or a cluster cannot be joined; the message says what to do."""


@contextmanager
def ray_session(address: str | None, *, cpus: int, gpus: int = 0) -> Iterator[None]:
    """Have Ray initialised inside the block; a Ray that was there before is used and left as it was.

    Args:
        address: ``auto``, ``host:port`` or None for a Ray of our own that ends with the block.
        cpus: Cores of our own Ray.
        gpus: GPUs of our own Ray.

    Raises:
        RayUnavailableError: If Ray does not come up or cannot be joined.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if address is None:
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    import ray

    if ray.is_initialized():
        yield
        return
    on_term = signal.getsignal(signal.SIGTERM)
    own: dict[str, Any] = {
        "num_cpus": cpus, "num_gpus": gpus, "include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES,
    }  # fmt: skip
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **(own if address is None else {"address": address}))
    except Exception as error:  # Ray raises bare Exceptions when its processes are slow to come up
        what = "could not be started here" if address is None else f"at {address} cannot be joined"
        raise RayUnavailableError(
            f"Ray {what} ({' '.join(str(error).split())[:160]}); try again when the machine is less busy, "
            "or give --executor in-process"
        ) from error
    if on_term is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_term)  # Ray puts its own in place, which ends the process without a word
    try:
        yield
    finally:
        ray.shutdown()
