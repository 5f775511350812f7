"""Small networks of the real classes, and folders of them as diffusers writes them."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from spatialdreamer_core.models.svd.conditioning import mask_on_latents, time_ids
from spatialdreamer_core.models.svd.library import UNet2DConditionModel, UNetSpatioTemporalConditionModel
from spatialdreamer_core.models.svd.loss import Example
from spatialdreamer_core.models.svd.network import SvdNetwork, random_network
from spatialdreamer_core.models.svd.sizes import tiny_sizes
from spatialdreamer_core.models.svd.unet import Condition

CLIPS, FRAMES, ROWS, COLUMNS = 2, 3, 4, 6  # of latents


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def condition(network: SvdNetwork, strength: float | None = None) -> Condition:
    mask = drawn(CLIPS, FRAMES, 1, 8 * ROWS, 8 * COLUMNS, seed=1) > 2.5
    return Condition(
        drawn(CLIPS, FRAMES, 4, ROWS, COLUMNS, seed=2),
        mask_on_latents(mask, 8),
        drawn(CLIPS, 1, int(network.sizes.unet["cross_attention_dim"]), seed=3),
        time_ids(CLIPS, torch.device("cpu")),
        None if strength is None else torch.full((CLIPS,), strength),
    )


def example(network: SvdNetwork) -> Example:
    target, reference = (drawn(CLIPS, FRAMES, 4, ROWS, COLUMNS, seed=seed) for seed in (4, 5))
    return Example(target, reference, condition(network, 2.0))


def tiny(**more: object) -> SvdNetwork:
    return random_network("random-tiny", **more)  # type: ignore[arg-type]


def published_folders(root: Path) -> tuple[Path, Path]:
    """Stock networks, as Stability's folders are laid out: 8 channels in, half precision in one of them."""
    sizes = tiny_sizes()
    torch.manual_seed(7)
    network = tiny()
    assert sizes.image_encoder is not None
    unet = UNetSpatioTemporalConditionModel(**(sizes.unet | {"in_channels": 8}))
    unet.save_pretrained(root / "svd" / "unet", safe_serialization=True)
    network.vae.save_pretrained(root / "svd" / "vae", safe_serialization=True)
    network.image_encoder.save_pretrained(root / "svd" / "image_encoder", safe_serialization=True)
    reference = UNet2DConditionModel(**sizes.reference)
    folder = root / "sd21" / "unet"
    reference.save_pretrained(folder, safe_serialization=True)
    (folder / "diffusion_pytorch_model.safetensors").unlink()
    half = {name: value.half() for name, value in reference.state_dict().items()}
    save_file(half, folder / "diffusion_pytorch_model.fp16.safetensors")
    assert json.loads((root / "svd" / "unet" / "config.json").read_text())["in_channels"] == 8
    return root / "svd", root / "sd21"
