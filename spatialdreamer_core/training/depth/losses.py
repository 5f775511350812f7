"""Loss terms for relative inverse depth: whatever scale and offset a prediction has costs nothing."""

import torch
from torch import Tensor
from torch.nn import functional as F

SKY_CLIP = 1.3


def normalise(values: Tensor, known: Tensor | None = None) -> Tensor:
    """Shift each map [B, 1, H, W] by its median and divide it by its mean absolute deviation.

    Args:
        values: Finite; what is not known is carried along but decides nothing.
        known: [B, 1, H, W] bool; None means everywhere.

    Source: Ranftl et al., Towards Robust Monocular Depth Estimation, arXiv 1907.01341, section on losses.
    """
    flat = values.flatten(1)
    if known is None:
        middle = flat.median(dim=1).values[:, None]
        spread = (flat - middle).abs().mean(dim=1)[:, None]
    else:
        mask = known.flatten(1)
        middle = flat.masked_fill(~mask, float("nan")).nanmedian(dim=1).values[:, None].nan_to_num(0.0)
        spread = ((flat - middle).abs() * mask).sum(dim=1)[:, None] / mask.sum(dim=1)[:, None].clamp_min(1)
    return ((flat - middle) / spread.clamp_min(1e-4)).reshape(values.shape)


def tame(inverse_depth: Tensor) -> Tensor:
    """Bring 1 / metres [B, 1, H, W] near [0, 1]; what is much nearer than the rest of the picture is held back.

    NaN stays NaN.
    """
    top = torch.nanquantile(inverse_depth.flatten(1), 0.97, dim=1).nan_to_num(1.0).clamp_min(1e-5)
    return (inverse_depth / top[:, None, None, None]).clamp_max(SKY_CLIP)


def value_loss(prediction: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Mean absolute difference of two normalised maps."""
    return ((prediction - target).abs() * known).sum() / known.sum().clamp_min(1)


def gradient_loss(prediction: Tensor, target: Tensor, known: Tensor, scales: int = 4) -> Tensor:
    """Mean absolute difference of the slopes, at strides 1, 2, 4, 8: edges where the target has them."""
    gap = prediction - target
    total = gap.new_zeros(())
    for k in range(scales):
        step, seen = gap[..., :: 2**k, :: 2**k], known[..., :: 2**k, :: 2**k]
        for dim in (3, 2):
            both = torch.logical_and(*(seen.narrow(dim, i, seen.shape[dim] - 1) for i in (0, 1)))
            total = total + (step.diff(dim=dim).abs() * both).sum() / both.sum().clamp_min(1)
    return total


def ordinal_loss(prediction: Tensor, target: Tensor, known: Tensor, pairs: int, generator: torch.Generator) -> Tensor:
    """Which of two random pixels is nearer; pairs that are about equally far do not count.

    Args:
        prediction: [B, 1, H, W] normalised.
        target: [B, 1, H, W] tamed inverse depth, finite.
        known: [B, 1, H, W] bool, where the target may be believed.
        pairs: Number of pairs a picture.
        generator: Where chance comes from.
    """
    batch = prediction.shape[0]
    p, t, k = prediction.flatten(1), target.flatten(1), known.flatten(1)
    index = torch.randint(p.shape[1], (2, batch, pairs), generator=generator, device=generator.device).to(p.device)
    first, second = t.gather(1, index[0]), t.gather(1, index[1])
    gap, larger = first - second, torch.maximum(first, second)
    counts = ((gap.abs() > 0.08 * larger + 0.005) & k.gather(1, index[0]) & k.gather(1, index[1])).float()
    wrong = F.softplus(-2 * gap.sign() * (p.gather(1, index[0]) - p.gather(1, index[1])))
    return (wrong * counts).sum() / counts.sum().clamp_min(1)


def depth_loss(prediction: Tensor, inverse_depth: Tensor, generator: torch.Generator) -> Tensor:
    """The loss of training: value, slopes and order.

    Args:
        prediction: [B, 1, h, w] raw output.
        inverse_depth: [B, 1, h, w] truth in 1 / metres or any multiple of it, 0 for the sky, NaN for unknown.
        generator: Where chance comes from.
    """
    known = ~torch.isnan(inverse_depth)
    tamed = tame(inverse_depth).nan_to_num(0.0)
    p, t = normalise(prediction, known), normalise(tamed, known)
    # a nearly flat scene would be blown up by its own normalisation
    t = t.clamp(-8, 8)
    return (
        value_loss(p, t, known)
        + 0.5 * gradient_loss(p, t, known)
        + 0.4 * ordinal_loss(p, tamed, known, 1500, generator)
    )


def agreement_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Value and slopes of a map [B, 1, h, w] against another one, each up to scale and offset.

    Source: Yang et al., Depth Anything, arXiv 2401.10891, section 3.2: pictures without labels teach when the learner
    sees them changed more strongly than the teacher.
    """
    known = torch.ones_like(target, dtype=torch.bool)
    p, t = normalise(prediction), normalise(target).clamp(-8, 8)
    return value_loss(p, t, known) + 0.25 * gradient_loss(p, t, known)


def points_loss(prediction: Tensor, places: Tensor, values: Tensor) -> Tensor:
    """Loss on a few labelled points: their order, and their values after normalisation.

    Args:
        prediction: [B, 1, h, w] raw output.
        places: [B, N, 2] (x, y) in [-1, 1] across the picture; outside for unused rows.
        values: [B, N] inverse depth in [0, 1]; NaN for unused rows.
    """
    p = normalise(prediction)
    found = F.grid_sample(p, places[:, None], align_corners=False, padding_mode="border")[:, 0, 0]  # [B, N]
    known = ~torch.isnan(values)
    safe = torch.where(known, values, torch.zeros_like(values))
    gap = safe[:, :, None] - safe[:, None, :]
    counts = (gap.abs() > 0.03) & known[:, :, None] & known[:, None, :]
    wrong = F.softplus(-2 * gap.sign() * (found[:, :, None] - found[:, None, :]))
    order = (wrong * counts).sum() / counts.sum().clamp_min(1)
    n = known.sum(dim=1, keepdim=True).clamp_min(1)
    f0 = torch.where(known, found, torch.zeros_like(found))
    mf, mv = f0.sum(1, keepdim=True) / n, safe.sum(1, keepdim=True) / n
    df, dv = (f0 - mf) * known, (safe - mv) * known
    df = df / (df.abs().sum(1, keepdim=True) / n).clamp_min(1e-3)
    dv = dv / (dv.abs().sum(1, keepdim=True) / n).clamp_min(1e-3)
    return order + 0.7 * (df - dv).abs().sum() / known.sum().clamp_min(1)
