"""Whether a Prefect API is configured, asked without the two seconds that importing Prefect takes."""

import os


def api_is_set() -> bool:
    """Tell whether runs should be recorded with a Prefect server."""
    return bool(os.environ.get("PREFECT_API_URL"))


def recording_wanted(choice: str) -> bool:
    """Tell whether a run is a Prefect flow run: ``on`` always, ``off`` never, ``auto`` where an API is set."""
    return choice == "on" or (choice == "auto" and api_is_set())
