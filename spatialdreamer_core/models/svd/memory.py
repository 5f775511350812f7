"""How much memory one part of a window takes, told before any work starts."""

from dataclasses import dataclass
from pathlib import Path

import torch

from spatialdreamer_core.errors import ConfigError
from spatialdreamer_core.models.svd.network import ENCODED_AT_ONCE, SvdNetwork
from spatialdreamer_core.models.svd.sizes import Sizes

UNET_WORKSPACE = 20
"""Maps of the widest level that live at once in the U-Net: a gated feed-forward with its input and residuals."""
ENCODER_WORKSPACE, DECODER_WORKSPACE = 5, 12
"""Maps of full size that live at once in the autoencoder, in units of its first level's channels: what
``benchmarks.svd`` measured, 3.9 and 10.6, and some more."""
BESIDE = 256 << 20
"""What libraries keep for themselves; measured, 150 MiB."""


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes.

    Attributes:
        weights: Of all networks.
        window: Of activations, at their peak.
    """

    weights: int
    window: int


def memory_need(
    network: SvdNetwork, *, frames: int, reference_frames: int, rows: int, columns: int, decode_at_once: int
) -> Need:
    """Estimate what one tile of a window takes.

    Args:
        network: Its weights count as they are held.
        frames: Of the window.
        reference_frames: Those, and those they interact with.
        rows: Pixels of a tile.
        columns: Pixels of a tile.
        decode_at_once: Frames in the decoder at a time.
    """
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    size = torch.finfo(network.dtype).bits // 8
    unet = activation_elements(network.sizes, frames, reference_frames, rows, columns)
    at_once = max(ENCODER_WORKSPACE * min(ENCODED_AT_ONCE, reference_frames), DECODER_WORKSPACE * decode_at_once)
    vae = int(network.sizes.vae["block_out_channels"][0]) * rows * columns * at_once
    return Need(weights, size * max(unet, vae) + BESIDE)


def activation_elements(sizes: Sizes, frames: int, reference_frames: int, rows: int, columns: int) -> int:
    """Numbers that live at once in the U-Nets: recorded features, skip connections, and the widest block's own."""
    widths = [int(width) for width in sizes.unet["block_out_channels"]]
    layers = int(sizes.unet["layers_per_block"])
    cells = [-(-rows // (sizes.latent_step << i)) * -(-columns // (sizes.latent_step << i)) for i in range(len(widths))]
    maps = [width * count for width, count in zip(widths, cells, strict=True)]
    recorded = (2 * layers + 1) * sum(maps[:-1]) + maps[-1]
    skips = maps[0] + (layers + 1) * sum(maps)
    most = max(frames, reference_frames)
    return most * (skips + UNET_WORKSPACE * maps[0]) + (frames + reference_frames) * recorded


def refuse_weights_that_do_not_fit(network: SvdNetwork, dtype: torch.dtype) -> None:
    """Count the weights of a network that is still empty.

    Args:
        network: On the meta device, mostly.
        dtype: That its weights will be in.

    Raises:
        ConfigError: If this machine has not the memory to load them.
    """
    wanted = sum(p.numel() for p in network.parameters()) * torch.finfo(dtype).bits // 8
    there = free_bytes(torch.device("cpu"), 1.0)
    if there is not None and wanted > there:
        raise ConfigError(
            f"svd: its weights take {gib(wanted)} as {str(dtype).removeprefix('torch.')}, {gib(there)} of memory are "
            "free; load them on a larger machine, or for use (not training) as bfloat16"
        )


def gib(count: int) -> str:
    """Bytes for people."""
    return f"{count / 2**30:.1f} GiB"


def free_bytes(device: torch.device, fraction: float) -> int | None:
    """What may be used beside what is: of a GPU's memory, or the memory that Linux calls available; None if unknown.

    Args:
        device: Where.
        fraction: Of all of the GPU's memory that this process may have, in (0, 1].
    """
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        used, held = torch.cuda.memory_allocated(device), torch.cuda.memory_reserved(device)
        return min(int(fraction * total) - used, free + held - used)
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None
