"""Clips that were set aside: one record each, in the ``failed`` folder of their work; it goes when they are retried."""

import json
from dataclasses import asdict
from typing import Any

from spatialdreamer_core.store.patience import patiently
from spatialdreamer_core.store.place import WORK_FOLDER, Place, canonical_json
from tasks.jobs import Failure

FOLDER = "failed"


def set_aside(place: Place, key: str, row: dict[str, Any], failure: Failure) -> None:
    """Keep the row and the reason of a clip that failed for good.

    Args:
        place: Output place.
        key: Of the record; its folder must be ``failed``.
        row: Its manifest row.
        failure: Why.
    """
    data = canonical_json({"row": row, "failure": asdict(failure)})
    patiently(lambda: place.publish(key, data))


def list_set_aside(place: Place, folder: str = WORK_FOLDER) -> dict[str, dict[str, Any]]:
    """Every record of a clip set aside below a folder, by key."""
    keys = [key for key in place.keys(folder) if key.split("/")[-2] == FOLDER]
    return {key: json.loads(data) for key, data in place.read_many(keys).items()}


def readable(text: str) -> str:
    """Text that can be written: a name that is not UTF-8 holds lone surrogates."""
    return text.encode(errors="backslashreplace").decode()
