"""Attention between two views and between frames, as both sizes of the network use it.

Queries, keys and values are [B, heads, N, d] with N tokens of a picture in row order.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def attend(query: Tensor, key: Tensor, value: Tensor, grid: tuple[int, int] | None = None) -> Tensor:
    """``softmax(Q K^T / sqrt d) V``; with ``grid`` every token sees its own row alone.

    Args:
        query: [B, heads, N, d].
        key: [B, heads, M, d].
        value: [B, heads, M, d].
        grid: (rows, columns) of the picture, N = rows * columns, and M a multiple of N: pictures one after the
            other. None lets every token see all M.

    Returns:
        [B, heads, N, d].
    """
    if grid is None and query.shape[2] == 1:  # fused, its gradients are of any size in bfloat16 (torch 2.13, CPU)
        scores = (query * key).sum(-1, keepdim=True) * query.shape[3] ** -0.5
        found: Tensor = (scores.softmax(2) * value).sum(2, keepdim=True)
        return found
    if grid is None:
        return F.scaled_dot_product_attention(query, key, value)
    heads, depth = query.shape[1], query.shape[3]
    rows, columns = grid
    pictures = key.shape[2] // (rows * columns)
    assert key.shape[2] == pictures * rows * columns, "keys must be whole pictures of the grid"

    def by_row(tokens: Tensor, count: int) -> Tensor:
        # [B, heads, pictures * rows * columns, d] -> [B * rows, heads, pictures * columns, d]
        x = tokens.reshape(-1, heads, count, rows, columns, depth).permute(0, 3, 1, 2, 4, 5)
        return x.reshape(-1, heads, count * columns, depth)

    out = F.scaled_dot_product_attention(by_row(query, 1), by_row(key, pictures), by_row(value, pictures))
    return out.reshape(-1, rows, heads, columns, depth).transpose(1, 2).reshape(query.shape)


def reference_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    reference_key: Tensor,
    reference_value: Tensor,
    grid: tuple[int, int] | None = None,
) -> Tensor:
    """Self-attention whose keys and values are joined by those of the reference view.

    This equals attention over both pictures put one below the other, of which the first half is kept (arXiv
    2411.11934, RefinerNet), for no row of that half depends on the queries of the other; it costs half as much. With
    ``grid`` a token sees its own row of both views only: in rectified stereo that is where its counterpart lies.

    Args:
        query: [B, heads, N, d] of the view that is made.
        key: [B, heads, N, d] of the same.
        value: [B, heads, N, d] of the same.
        reference_key: [B, heads, N, d] of the reference view.
        reference_value: [B, heads, N, d] of the same.
        grid: (rows, columns) to restrict attention to rows; None for all of both pictures.

    Returns:
        [B, heads, N, d].
    """
    return attend(query, torch.cat([key, reference_key], 2), torch.cat([value, reference_value], 2), grid)


def row_reference_attention(
    query: Tensor, key: Tensor, value: Tensor, reference_key: Tensor, reference_value: Tensor, grid: tuple[int, int]
) -> Tensor:
    """``reference_attention`` in which a token sees all of its own picture, but its own row alone of the reference.

    For networks that were trained with whole self-attention; what is saved is nearly half. Row after row, so only one
    row's keys are held beside the picture's.

    Args:
        query: [B, heads, N, d] of the view that is made.
        key: [B, heads, N, d] of the same.
        value: [B, heads, N, d] of the same.
        reference_key: [B, heads, N, d] of the reference view.
        reference_value: [B, heads, N, d] of the same.
        grid: (rows, columns) of the picture, N = rows * columns.

    Returns:
        [B, heads, N, d].
    """
    rows, columns = grid
    assert rows * columns == query.shape[2], "the queries must be a whole picture of the grid"
    out = []
    for row in range(rows):
        part = slice(row * columns, (row + 1) * columns)
        seen_keys = torch.cat([key, reference_key[:, :, part]], 2)
        seen_values = torch.cat([value, reference_value[:, :, part]], 2)
        out.append(F.scaled_dot_product_attention(query[:, :, part], seen_keys, seen_values))
    return torch.cat(out, 2)


def interaction(
    query: Tensor,
    own: tuple[Tensor, Tensor],
    others: Sequence[tuple[Tensor, Tensor]],
    own_share: float,
    grid: tuple[int, int] | None = None,
) -> Tensor:
    """Temporal interaction learning: a frame's features joined by what other frames of its view show.

    ``aug = own_share * Attn(r, r) + (1 - own_share) * mean_i Attn(r, i)`` (arXiv 2411.11934, TIL; its lambda is
    ``own_share``). One frame after the other, so memory does not grow with their number.

    Args:
        query: [B, heads, N, d] of frame r.
        own: Keys and values of frame r.
        others: Keys and values of the other frames; none gives plain self-attention.
        own_share: In [0, 1]; 1 is plain self-attention.
        grid: As for ``attend``.

    Returns:
        [B, heads, N, d].
    """
    out = attend(query, *own, grid)
    if not others or own_share == 1:
        return out
    sum_of_others = torch.zeros_like(out)
    for key, value in others:
        sum_of_others = sum_of_others + attend(query, key, value, grid)
    return own_share * out + (1 - own_share) / len(others) * sum_of_others
