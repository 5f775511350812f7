"""Optical flow by networks whose weights do not ship: for measuring, not for converting. Made, they need torch."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from spatialdreamer_core.flow.dis import FlowEstimator

LEARNED = ("gmflow", "raft-small", "raft-large")
"""Names of networks, which are those of their weights."""


def create_learned_flow(name: str, tensors: Mapping[str, NDArray[Any]], device: str = "cpu") -> FlowEstimator:
    """Make the network of that name.

    Args:
        name: One of ``LEARNED``.
        tensors: The weights of that name.
        device: Where to compute.

    Raises:
        WeightsError: If the weights are of another network, or torchvision is missing.
    """
    if name == "gmflow":
        from spatialdreamer_core.flow.gmflow import GmFlow

        return GmFlow(tensors, device)
    from spatialdreamer_core.flow.raft import RaftFlow

    return RaftFlow("raft-small" if name == "raft-small" else "raft-large", tensors, device)
