"""How threads of numeric libraries wait for each other."""

import os


def wait_quietly() -> None:
    """Let OpenMP threads sleep while they wait; to be called before torch is imported.

    By default they spin, which makes small operations ten times slower on a machine that has other work to do.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
