"""How RefinerNet's features reach the denoising U-Net: processors of diffusers' spatial self-attentions.

RefinerNet's processors record what its self-attention was about to see; the U-Net's append it to their own keys and
values, projected by the U-Net's own weights. That equals putting both feature maps one above the other, attending, and
keeping the first half (``models.attention.reference_attention``).
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from spatialdreamer_core.models.attention import (
    attend,
    interaction,
    reference_attention,
    row_reference_attention,
)

Reach = Literal["full", "rows"]
"""What of the reference a token sees: all of it, or the row in which rectified stereo has its counterpart."""


@dataclass(frozen=True, slots=True)
class Interaction:
    """Temporal interaction among the frames that RefinerNet sees together.

    Attributes:
        own_share: The paper's lambda, in [0, 1]; 1 leaves the others out.
        partners: For each frame the places of those it is joined with; none for plain self-attention.
    """

    own_share: float
    partners: tuple[tuple[int, ...], ...]


@dataclass
class Features:
    """What RefinerNet made of the reference view: tokens [B * F, N, C] of every block, by the block's name.

    Attributes:
        tokens: By name of the self-attention.
        grid: (rows, columns) of the latents; blocks have it halved so and so often, rounded up.
    """

    grid: tuple[int, int]
    tokens: dict[str, Tensor] = field(default_factory=dict)

    def block_grid(self, count: int) -> tuple[int, int]:
        """(rows, columns) of a block that has so many tokens."""
        rows, columns = self.grid
        while rows * columns > count:
            rows, columns = (rows + 1) // 2, (columns + 1) // 2
        assert rows * columns == count, f"{count} tokens are no halving of {self.grid}"
        return rows, columns

    def of_frames(self, frames: slice, clips: int) -> "Features":
        """The same of a part of each clip's frames."""
        part = {
            name: tokens.reshape(clips, -1, *tokens.shape[1:])[:, frames].flatten(0, 1)
            for name, tokens in self.tokens.items()
        }
        return Features(self.grid, part)


class RecordingProcessor:
    """RefinerNet's self-attention: records what it sees, and joins frames if told to.

    Attributes:
        features: Where to; None records nothing.
        interaction: Which frames are joined; None for plain self-attention.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.features: Features | None = None
        self.interaction: Interaction | None = None

    def __call__(self, attn: Any, hidden_states: Tensor, **_: Any) -> Tensor:
        """[B * F, N, C] to the same."""
        if self.features is not None:
            self.features.tokens[self.name] = hidden_states
        query, key, value = projected(attn, hidden_states)
        if self.interaction is None or self.interaction.own_share == 1:
            return merged(attn, attend(query, key, value))
        # [B * F, heads, N, d] -> per frame [B, heads, N, d]
        frames = len(self.interaction.partners)
        by_frame = [x.reshape(-1, frames, *x.shape[1:]).unbind(1) for x in (query, key, value)]
        keys_and_values = list(zip(by_frame[1], by_frame[2], strict=True))
        joined = [
            interaction(
                by_frame[0][frame],
                keys_and_values[frame],
                [keys_and_values[other] for other in others],
                self.interaction.own_share,
            )
            for frame, others in enumerate(self.interaction.partners)
        ]
        return merged(attn, torch.stack(joined, 1).flatten(0, 1))


class LastRecorder(nn.Module):
    """Stands where RefinerNet's last self-attention was: what comes after it reaches nobody, so it is left out."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.processor = RecordingProcessor(name)

    def forward(self, hidden_states: Tensor, **_: Any) -> Tensor:
        """Record, and add nothing."""
        if self.processor.features is not None:
            self.processor.features.tokens[self.processor.name] = hidden_states
        return torch.zeros_like(hidden_states)


class InjectingProcessor:
    """The U-Net's spatial self-attention: its own tokens, then the reference's, as keys and values.

    Attributes:
        features: RefinerNet's; None gives the stock self-attention.
        reach: What of the reference a token sees.
    """

    def __init__(self, name: str, reach: Reach) -> None:
        self.name, self.reach = name, reach
        self.features: Features | None = None

    def __call__(self, attn: Any, hidden_states: Tensor, **_: Any) -> Tensor:
        """[B * F, N, C] to the same."""
        query, key, value = projected(attn, hidden_states)
        if self.features is None:
            return merged(attn, attend(query, key, value))
        reference = self.features.tokens[self.name].to(hidden_states.dtype)
        reference_key = heads_of(attn, attn.to_k(reference))
        reference_value = heads_of(attn, attn.to_v(reference))
        if self.reach == "full":
            out = reference_attention(query, key, value, reference_key, reference_value)
        else:
            grid = self.features.block_grid(hidden_states.shape[1])
            out = row_reference_attention(query, key, value, reference_key, reference_value, grid)
        return merged(attn, out)


def heads_of(attn: Any, tokens: Tensor) -> Tensor:
    """[B, N, heads * d] to [B, heads, N, d]."""
    return tokens.reshape(*tokens.shape[:2], attn.heads, -1).transpose(1, 2)


def projected(attn: Any, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value of self-attention, each [B, heads, N, d]."""
    return heads_of(attn, attn.to_q(tokens)), heads_of(attn, attn.to_k(tokens)), heads_of(attn, attn.to_v(tokens))


def merged(attn: Any, tokens: Tensor) -> Tensor:
    """[B, heads, N, d] to [B, N, C] through the block's output layer."""
    out: Tensor = attn.to_out[1](attn.to_out[0](tokens.transpose(1, 2).flatten(2)))
    return out


def spatial_self_attentions(net: nn.Module) -> dict[str, nn.Module]:
    """The spatial self-attentions of a U-Net by name, in the order in which they run.

    The names are the same in the U-Net and in RefinerNet, since one grew out of the other.
    """
    found = {
        name: module
        for name, module in net.named_modules()
        if name.endswith(".attn1") and ".transformer_blocks." in name and "temporal" not in name
    }
    part = {"down_blocks": 0, "mid_block": 1, "up_blocks": 2}
    return dict(sorted(found.items(), key=lambda item: part[item[0].split(".")[0]]))
