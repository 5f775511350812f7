"""Shapes of the networks that the full size is made of: the published ones, and one small enough to try things with.

The published shapes are those of the ``config.json`` files of Stable Video Diffusion (its U-Net, autoencoder and CLIP
image encoder) and of Stable Diffusion 2.1 (its U-Net); with them real weights fit.
"""

from dataclasses import dataclass, field
from typing import Any

from spatialdreamer_core.errors import WeightsError

NOISE_CHANNELS = 4
INPUT_CHANNELS = 9
"""4 of noise, 4 of the rendered view, 1 of its mask; the stock network has the first 8."""

_SPATIO_TEMPORAL = {
    "down_block_types": [*["CrossAttnDownBlockSpatioTemporal"] * 3, "DownBlockSpatioTemporal"],
    "up_block_types": ["UpBlockSpatioTemporal", *["CrossAttnUpBlockSpatioTemporal"] * 3],
}
_SPATIAL = {
    "down_block_types": [*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"],
    "up_block_types": ["UpBlock2D", *["CrossAttnUpBlock2D"] * 3],
    "use_linear_projection": True,
}


def _unet() -> dict[str, Any]:
    return {
        **_SPATIO_TEMPORAL,
        "in_channels": INPUT_CHANNELS,
        "out_channels": NOISE_CHANNELS,
        "block_out_channels": [320, 640, 1280, 1280],
        "layers_per_block": 2,
        "num_attention_heads": [5, 10, 20, 20],
        "cross_attention_dim": 1024,
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 768,
        "transformer_layers_per_block": 1,
        "num_frames": 14,
        "sample_size": 96,
    }


def _reference() -> dict[str, Any]:
    return {
        **_SPATIAL,
        "in_channels": NOISE_CHANNELS,
        "out_channels": NOISE_CHANNELS,
        "block_out_channels": [320, 640, 1280, 1280],
        "layers_per_block": 2,
        "attention_head_dim": [5, 10, 20, 20],  # the library's name for the number of heads here
        "cross_attention_dim": 1024,
        "sample_size": 96,
    }


def _vae() -> dict[str, Any]:
    return {
        "in_channels": 3,
        "out_channels": 3,
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "block_out_channels": [128, 256, 512, 512],
        "layers_per_block": 2,
        "latent_channels": NOISE_CHANNELS,
        "sample_size": 768,
        "scaling_factor": 0.18215,
    }


def _image_encoder() -> dict[str, Any]:
    return {
        "hidden_size": 1280,
        "intermediate_size": 5120,
        "num_hidden_layers": 32,
        "num_attention_heads": 16,
        "image_size": 224,
        "patch_size": 14,
        "projection_dim": 1024,
        "hidden_act": "gelu",
    }


@dataclass(frozen=True, slots=True)
class Sizes:
    """Settings of the four networks, by the names that diffusers and transformers give them.

    Attributes:
        unet: Of ``UNetSpatioTemporalConditionModel``, with 9 input channels.
        reference: Of ``UNet2DConditionModel``, RefinerNet; its blocks must be as wide as the U-Net's.
        vae: Of ``AutoencoderKLTemporalDecoder``.
        image_encoder: Of ``CLIPVisionModelWithProjection``; None conditions on a learned vector instead.

    Raises:
        WeightsError: If the two U-Nets do not fit each other.
    """

    unet: dict[str, Any] = field(default_factory=_unet)
    reference: dict[str, Any] = field(default_factory=_reference)
    vae: dict[str, Any] = field(default_factory=_vae)
    image_encoder: dict[str, Any] | None = field(default_factory=_image_encoder)

    def __post_init__(self) -> None:
        if self.unet["in_channels"] != INPUT_CHANNELS:
            raise WeightsError(f"svd: the U-Net takes {INPUT_CHANNELS} channels, not {self.unet['in_channels']}")
        for name in ("block_out_channels", "layers_per_block", "cross_attention_dim"):
            ours, theirs = self.unet[name], self.reference[name]
            if _as_list(ours) != _as_list(theirs):
                raise WeightsError(
                    f"svd: RefinerNet's {name} {theirs} is not the U-Net's {ours}, so its features fit nowhere; "
                    "give a U-Net of the size of Stable Diffusion 2.1"
                )
        if self.image_encoder is not None and self.image_encoder["projection_dim"] != self.unet["cross_attention_dim"]:
            raise WeightsError(
                f"svd: the image encoder gives {self.image_encoder['projection_dim']} numbers, "
                f"the U-Net asks for {self.unet['cross_attention_dim']}; give the encoder that belongs to it"
            )

    @property
    def latent_step(self) -> int:
        """Pixels per latent cell, each way."""
        return int(2 ** (len(self.vae["block_out_channels"]) - 1))

    @property
    def picture_step(self) -> int:
        """Width and height of what the networks see are multiples of this, in pixels."""
        return self.latent_step * int(2 ** (len(self.unet["block_out_channels"]) - 1))


def tiny_sizes() -> Sizes:
    """The same classes and blocks with few channels: a millionth of the work, for trying and testing."""
    channels = {"block_out_channels": [32, 32, 64, 64], "layers_per_block": 1, "cross_attention_dim": 16}
    return Sizes(
        unet=_unet() | channels | {
            "num_attention_heads": [2, 2, 4, 4], "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 24,
        },
        reference=_reference() | channels | {"attention_head_dim": [2, 2, 4, 4]},
        vae=_vae() | {"block_out_channels": [32, 32, 32, 32], "layers_per_block": 1},
        image_encoder=_image_encoder() | {
            "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
            "image_size": 28, "projection_dim": 16,
        },
    )  # fmt: skip


SIZES = {"random": Sizes, "random-tiny": tiny_sizes}
"""Networks of random weights that can be had by name."""


def _as_list(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else value
