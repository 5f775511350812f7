"""Read a torch state dict as arrays, by torch's restricted unpickler: tensors are let in, and nothing that runs."""

import io
import pickle

import numpy as np

from spatialdreamer_core.errors import WeightsError
from spatialdreamer_core.weights.numpy_pickle import Arrays


def state_dict_arrays(data: bytes, what: str) -> Arrays:
    """Named arrays of a state dict.

    Raises:
        WeightsError: If it is none, or torch is missing.
    """
    try:
        import torch
    except ImportError as error:
        raise WeightsError(f"{what}: needs torch; pip install 'spatialdreamer[metrics]'") from error
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        return {name: np.ascontiguousarray(tensor.numpy()) for name, tensor in state.items()}
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, AttributeError, TypeError) as error:
        raise WeightsError(f"{what}: cannot be read as a state dict ({' '.join(str(error).split())[:80]})") from error
