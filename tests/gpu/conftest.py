from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module")
def gpu() -> Iterator[str]:
    """A GPU whose convolutions round as a CPU's do; how much of it a process may take is given back afterwards."""
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("there is no GPU here")
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield "cuda"
    torch.cuda.set_per_process_memory_fraction(1.0)
