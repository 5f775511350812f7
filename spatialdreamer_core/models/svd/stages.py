"""Which weights a stage of the training moves."""

from torch import nn

from spatialdreamer_core.models.svd.network import FROZEN, SvdNetwork

TEMPORAL = ("temporal_res_block", "temporal_transformer_blocks", "time_mixer", "time_pos_embed")
"""Parts of SVD's U-Net that connect frames, by a piece of their names."""


def is_temporal(name: str) -> bool:
    """Whether a weight of the U-Net belongs to what connects frames."""
    return any(piece in TEMPORAL for piece in name.split("."))


def stage_weights(network: SvdNetwork, stage: int) -> dict[str, nn.Parameter]:
    """What a stage trains, by name.

    Stage 1 sees single frames and trains RefinerNet, the spatial parts of the U-Net, strength and learned embedding.
    Stage 2 sees clips and trains what connects frames alone: the U-Net's temporal layers, and the self-attentions of
    RefinerNet, in which frames interact (the interaction has no weights of its own).

    Raises:
        ValueError: If there is no such stage.
    """
    if stage not in (1, 2):
        raise ValueError(f"stage must be 1 or 2, got {stage}")
    named = {name: parameter for name, parameter in network.named_parameters() if name.split(".", 1)[0] not in FROZEN}
    if stage == 1:
        return {name: p for name, p in named.items() if not (name.startswith("unet.net.") and is_temporal(name))}
    return {
        name: p
        for name, p in named.items()
        if (name.startswith("unet.net.") and is_temporal(name)) or (name.startswith("reference.") and ".attn1." in name)
    }
