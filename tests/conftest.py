import os
from collections.abc import Iterator

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    from infra.ray_session import ray_session as session

    with session(None, cpus=2):
        yield
