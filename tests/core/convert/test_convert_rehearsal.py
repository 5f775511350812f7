from numba.core.dispatcher import Dispatcher

from spatialdreamer_core.config import ConvertConfig, DepthConfig
from spatialdreamer_core.convert.rehearse import rehearse
from spatialdreamer_core.depth import carry, edges
from spatialdreamer_core.flow.dis import create_flow
from spatialdreamer_core.geometry import fill, holes, reveal, splat_kernels, upsample


def test_after_a_rehearsal_every_kernel_of_the_stream_is_loaded():
    rehearse(ConvertConfig(depth=DepthConfig(import_from="nowhere"), start_s=100.0), create_flow("dis-fast"))
    kernels = {
        f"{module.__name__}.{name}": value
        for module in (upsample, splat_kernels, fill, holes, reveal, carry, edges)
        for name, value in vars(module).items()
        if isinstance(value, Dispatcher)
    }
    entered = {name for name, kernel in kernels.items() if kernel.signatures}
    for name in (
        "_upsample",
        "map_rows",
        "resample_planes",
        "_paint_rows",
        "_find_runs",
        "_trace",
        "_add_neighbour",
        "_snap",
    ):
        assert any(found.endswith(f".{name}") for found in entered), name
