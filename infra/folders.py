"""Where this machine keeps what can be fetched again."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """``SPATIALDREAMER_CACHE``, else ``spatialdreamer`` in ``XDG_CACHE_HOME`` or ``~/.cache``."""
    own = os.environ.get("SPATIALDREAMER_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "spatialdreamer")
