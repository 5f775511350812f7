"""RAFT, small or large, as torchvision has it. Needs torch and torchvision (extras ``metrics`` and ``models``).

Source: Teed and Deng, "RAFT: Recurrent All-Pairs Field Transforms for Optical Flow", ECCV 2020; torchvision's networks
and weights (BSD-3-Clause): ``C_T_V2`` of the small one, ``C_T_SKHT_V2`` of the large one, its defaults.
"""

import importlib
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from spatialdreamer_core.errors import WeightsError
from spatialdreamer_core.flow.network_pictures import network_pictures
from spatialdreamer_core.torchvision_shim import ensure_torchvision

RaftName = Literal["raft-small", "raft-large"]

MULTIPLE, LEAST_SIDE = 8, 128
"""Sides are padded to multiples of the one and at least to the other: features are halved thrice, matches too."""
UPDATES = 12
"""Refinements, as torchvision's own default."""


class RaftFlow:
    """Optical flow by RAFT; see ``FlowEstimator``.

    Args:
        name: Which of the two.
        tensors: Its weights.
        device: Where to compute.

    Raises:
        WeightsError: If torchvision is missing, or the weights are of another network.
    """

    colour = True

    def __init__(self, name: RaftName, tensors: Mapping[str, NDArray[Any]], device: str = "cpu") -> None:
        if ensure_torchvision() == "absent":
            raise WeightsError(
                f"{name} needs torchvision; pip install 'spatialdreamer[models]', or give --flow dis-medium"
            )
        models = importlib.import_module("torchvision.models.optical_flow")
        self.name: str = name
        self._device = torch.device(device)
        self._net = (models.raft_small if name == "raft-small" else models.raft_large)(weights=None, progress=False)
        try:
            self._net.load_state_dict({key: torch.tensor(np.asarray(value)) for key, value in tensors.items()})
        except RuntimeError as error:
            raise WeightsError(f"{name}: these are the weights of another network; get {name}") from error
        self._net.to(self._device).eval()

    @torch.inference_mode()
    def estimate(self, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Find the motion from ``first`` to ``second``, [H, W, 3] uint8 RGB each (or grey [H, W]).

        Raises:
            ValueError: If the pictures differ in size.
        """
        h, w = first.shape[:2]
        pad = max(-w % MULTIPLE, LEAST_SIDE - w), max(-h % MULTIPLE, LEAST_SIDE - h)
        pictures = (picture / 127.5 - 1 for picture in network_pictures(first, second, pad, self._device))
        flow = self._net(*pictures, num_flow_updates=UPDATES)[-1][0, :, :h, :w]
        return np.ascontiguousarray(flow.permute(1, 2, 0).cpu().numpy(), np.float32)
