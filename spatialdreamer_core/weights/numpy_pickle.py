"""Read pickles that hold nothing but numpy arrays in dictionaries; anything else in them is refused, not run."""

import io
import pickle
from typing import Any

import numpy as np

try:  # where the function lives depends on numpy's version; pickles name the old place
    from numpy._core.multiarray import _reconstruct
except ImportError:  # pragma: no cover
    from numpy.core.multiarray import _reconstruct  # type: ignore[no-redef]

from spatialdreamer_core.errors import WeightsError

_ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}

Arrays = dict[str, np.ndarray[Any, np.dtype[Any]]]


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ADMITTED:
            return _ADMITTED[module, name]
        raise pickle.UnpicklingError(f"it names {module}.{name}, which is not an array")


def arrays_of(data: bytes, what: str) -> Arrays:
    """Give the arrays of a pickled tree of dictionaries by their path, ``a/b/kernel``.

    Args:
        data: The pickle.
        what: Name for messages.

    Raises:
        WeightsError: If it holds anything but dictionaries of numeric arrays, or is torn.
    """
    try:
        tree = _ArraysOnly(io.BytesIO(data)).load()
    except Exception as error:  # a torn pickle raises whatever its bytes happen to mean
        raise WeightsError(f"{what}: not a plain pickle of arrays ({error}); nothing of it was used") from error
    found: Arrays = {}
    _collect(tree, "", found, what)
    return found


def _collect(tree: Any, path: str, found: Arrays, what: str) -> None:
    if isinstance(tree, dict):
        for name, inner in tree.items():
            _collect(inner, f"{path}/{name}" if path else str(name), found, what)
    elif isinstance(tree, np.ndarray) and tree.dtype.kind in "fiu":
        found[path] = tree
    else:
        raise WeightsError(f"{what}: {path or 'its top'} is no numeric array; nothing of it was used")
