"""The classes of diffusers and transformers that are built on. Importing this takes seconds and needs extra ``models``.

diffusers imports transformers, which imports torchvision, which must be helped beside a CPU torch: hence not by
``import`` statements.
"""

import inspect
from importlib import import_module
from typing import Any

from spatialdreamer_core.torchvision_shim import ensure_torchvision

ensure_torchvision()

UNetSpatioTemporalConditionModel: Any = import_module(
    "diffusers.models.unets.unet_spatio_temporal_condition"
).UNetSpatioTemporalConditionModel
UNet2DConditionModel: Any = import_module("diffusers.models.unets.unet_2d_condition").UNet2DConditionModel
AutoencoderKLTemporalDecoder: Any = import_module(
    "diffusers.models.autoencoders.autoencoder_kl_temporal_decoder"
).AutoencoderKLTemporalDecoder


def clip_image_encoder(settings: dict[str, Any]) -> Any:
    """A ``CLIPVisionModelWithProjection`` of random weights, for use (not for training)."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    encoder: Any = CLIPVisionModelWithProjection(CLIPVisionConfig(**settings))
    return encoder.eval()


def known_settings(kind: Any, settings: dict[str, Any]) -> dict[str, Any]:
    """Those settings of a ``config.json`` that a class of diffusers takes; it also holds its class and version."""
    known = inspect.signature(kind.__init__).parameters
    return {name: value for name, value in settings.items() if name in known}
