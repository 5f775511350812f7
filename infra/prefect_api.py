"""Whether a Prefect API is configured, asked without the two seconds that importing Prefect takes."""

import os


def api_is_set() -> bool:
    """Tell whether runs should be recorded with a Prefect server."""
    return bool(os.environ.get("PREFECT_API_URL"))
