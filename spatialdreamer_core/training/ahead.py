"""Batches made beside the training, and brought to its device: GPUs are to wait for nothing."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import cv2
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

AHEAD = 3
"""Batches that each process makes before they are asked for."""


class _Made(Dataset[Any]):
    """A function as a data set whose index is the order."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self._make = make

    def __getitem__(self, order: Any) -> Any:
        return self._make(order)


def made_ahead(make: Callable[[Any], Any], orders: Iterable[Any], processes: int, *, pinned: bool) -> Iterator[Any]:
    """``make(order)`` for each order, in order, whatever the number of processes.

    Args:
        make: Pure, or the results depend on which process makes them. It is inherited by fork and never sent, so it
            may hold gigabytes of pictures; it must not touch a GPU.
        orders: Without end if need be; about ``AHEAD`` a process are asked for in advance.
        processes: 0 makes each batch when it is asked for, in this process.
        pinned: Whether results come in page-locked memory, from which they reach a GPU while it computes.
    """
    if processes == 0:
        yield from map(make, orders)
        return
    cv2.setNumThreads(1)  # ends its pool: one that is forked waits for threads that are not there
    yield from DataLoader(
        _Made(make), batch_size=None, sampler=orders, num_workers=processes, prefetch_factor=AHEAD, pin_memory=pinned,
        multiprocessing_context="fork",
    )  # fmt: skip


def moved(batch: Any, device: torch.device) -> Any:
    """A batch on another device: whatever has ``to``, also inside tuples, lists and dicts."""
    if isinstance(batch, dict):
        return {name: moved(value, device) for name, value in batch.items()}
    if isinstance(batch, (tuple, list)):
        parts = [moved(value, device) for value in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    return batch.to(device) if hasattr(batch, "to") else batch
