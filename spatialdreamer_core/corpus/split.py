"""Which sources train and which only measure: by the source's content, so no source is on both sides."""

import hashlib
from typing import Literal

Split = Literal["train", "val"]


def split_of(source_id: str, val_share: float) -> Split:
    """Say on which side all clips of a source are.

    Depends on nothing but the source's identity (its content, not its name), so it stays when the corpus grows, and
    two copies of a file are on one side. A larger share moves sources from ``train`` to ``val`` only.

    Args:
        source_id: Identity by content.
        val_share: Share of sources in ``val``, [0, 1].
    """
    place = int.from_bytes(hashlib.sha256(f"split:{source_id}".encode()).digest()[:8]) / 2**64
    return "val" if place < val_share else "train"
