"""The two U-Nets: the denoising one, and RefinerNet, which looks at the reference view."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from spatialdreamer_core.models.strength import StrengthEmbedding
from spatialdreamer_core.models.svd.injection import (
    Features,
    InjectingProcessor,
    Interaction,
    LastRecorder,
    Reach,
    RecordingProcessor,
    spatial_self_attentions,
)
from spatialdreamer_core.models.svd.library import UNet2DConditionModel, UNetSpatioTemporalConditionModel
from spatialdreamer_core.models.svd.sizes import NOISE_CHANNELS

StrengthKind = Literal["latent", "geometric"]
"""The paper's deviation strength, or the one that a person can set."""
STRENGTH_SCALE: dict[StrengthKind, float] = {"latent": 1.0, "geometric": 1000.0}
"""Bring usual values of either kind, some tens or hundredths, to where a sinusoid tells them apart."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What the denoising U-Net is told besides noise and reference; B clips of T frames, latents of h rows, w columns.

    Attributes:
        rendered: [B, T, 4, h, w] latents of the rendered view, not scaled (as Stable Video Diffusion has its picture).
        mask: [B, T, 1, h, w] 1 where the rendered view has a hole, else 0.
        embedding: [B, L, C] for cross-attention: of CLIP, or the learned one.
        time_ids: [B, 3] frames per second less one, motion bucket, noise added to the picture: as SVD was trained.
        strength: [B] stereo deviation strength; None leaves it out.
        strength_kept: [B] 1 where the strength is told, 0 where it is left out; None tells all.
    """

    rendered: Tensor
    mask: Tensor
    embedding: Tensor
    time_ids: Tensor
    strength: Tensor | None = None
    strength_kept: Tensor | None = None


class StereoUNet(nn.Module):
    """SVD's U-Net with a ninth input channel, injected reference features and deviation strength.

    The added channel and the last layer of the strength begin at zero: without a reference the network then gives what
    the stock one gives.

    Args:
        settings: Of ``UNetSpatioTemporalConditionModel``, with 9 input channels.
        reach: What of the reference a token sees.
        strength: Which deviation strength it is told.
    """

    def __init__(self, settings: dict[str, Any], *, reach: Reach = "full", strength: StrengthKind = "latent") -> None:
        super().__init__()
        self.net: Any = UNetSpatioTemporalConditionModel(**settings)
        with torch.no_grad():
            self.net.conv_in.weight[:, 2 * NOISE_CHANNELS :].zero_()
        channels = settings["block_out_channels"][0]
        self.strength = StrengthEmbedding(channels, 4 * channels, STRENGTH_SCALE[strength])
        self._told: Tensor | None = None
        self._frames_alone = False
        self.net.add_embedding.register_forward_hook(self._add_strength)
        for block in (*self.net.down_blocks, self.net.mid_block, *self.net.up_blocks):
            block.register_forward_pre_hook(self._mark_frames, with_kwargs=True)
        self._injectors: list[InjectingProcessor] = []
        attention: Any
        for name, attention in spatial_self_attentions(self.net).items():
            self._injectors.append(InjectingProcessor(name, reach))
            attention.set_processor(self._injectors[-1])

    def forward(
        self,
        noisy: Tensor,
        noise_level: Tensor,
        condition: Condition,
        features: Features | None = None,
        *,
        frames_alone: bool = False,
    ) -> Tensor:
        """Predict the preconditioned output, of the same shape as ``noisy``.

        Args:
            noisy: [B, T, 4, h, w] scaled by ``c_in``.
            noise_level: [B] ``log(sigma) / 4``.
            condition: What else is known.
            features: RefinerNet's, of the same frames; None leaves the reference out.
            frames_alone: Whether the temporal layers are passed by, as SVD does where it trains on pictures.
        """
        told = None if condition.strength is None else self.strength(condition.strength)
        if told is not None and condition.strength_kept is not None:
            told = told * condition.strength_kept[:, None].to(told.dtype)
        self._told, self._frames_alone = told, frames_alone
        for injector in self._injectors:
            injector.features = features
        dtype = noisy.dtype
        out: Tensor = self.net(
            torch.cat([noisy, condition.rendered.to(dtype), condition.mask.to(dtype)], 2),
            noise_level,
            encoder_hidden_states=condition.embedding.to(dtype),
            added_time_ids=condition.time_ids,
            return_dict=False,
        )[0]
        return out

    def forget(self) -> None:
        """Let go of the features of the last call (they are kept for recomputation while training)."""
        self._told = None
        for injector in self._injectors:
            injector.features = None

    def _add_strength(self, _module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        return output if self._told is None else output + self._told.to(output.dtype)

    def _mark_frames(self, _module: nn.Module, inputs: Any, named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        if self._frames_alone:
            named = named | {"image_only_indicator": torch.ones_like(named["image_only_indicator"])}
        return inputs, named


class RefinerNet(nn.Module):
    """Stable Diffusion 2.1's U-Net at timestep 0, of which only the features in front of each self-attention are used.

    What comes after the last of them is cut off: it would cost the most expensive block and learn nothing.

    Args:
        settings: Of ``UNet2DConditionModel``.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__()
        self.net: Any = UNet2DConditionModel(**settings)
        attentions = spatial_self_attentions(self.net)
        self._recorders: list[RecordingProcessor] = []
        attention: Any
        for name, attention in list(attentions.items())[:-1]:
            self._recorders.append(RecordingProcessor(name))
            attention.set_processor(self._recorders[-1])
        self._recorders.append(_cut_after(self.net, list(attentions)[-1]))

    def forward(self, latents: Tensor, embedding: Tensor, interaction: Interaction | None = None) -> Features:
        """Look at the reference view.

        Args:
            latents: [B, F, 4, h, w] scaled latents.
            embedding: [B, L, C] for cross-attention.
            interaction: Which of the F frames are joined; None keeps them apart.
        """
        frames = latents.shape[1]
        features = Features((latents.shape[3], latents.shape[4]))
        for recorder in self._recorders:
            recorder.features, recorder.interaction = features, interaction
        self.net(
            latents.flatten(0, 1),
            torch.zeros((), dtype=torch.long, device=latents.device),
            encoder_hidden_states=embedding.to(latents.dtype).repeat_interleave(frames, 0),
            return_dict=False,
        )
        for recorder in self._recorders:
            recorder.features = None  # recomputation while training must not record again
        return features


def _cut_after(net: Any, name: str) -> RecordingProcessor:
    """Let the last self-attention only record, and drop every layer behind it."""
    block = net.get_submodule(name.removesuffix(".attn1"))
    recorder = LastRecorder(name)
    block.attn1, block.attn2, block.norm2 = recorder, None, None
    block.norm3, block.ff = nn.Identity(), nn.Identity()
    net.get_submodule(name.split(".transformer_blocks.", maxsplit=1)[0]).proj_out = nn.Identity()
    net.conv_norm_out, net.conv_out = None, nn.Identity()
    return recorder.processor
