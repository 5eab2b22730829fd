"""What scorers need of padded chunk vectors: real chunks, real chunk pairs, and means over them.

Masks: True = real. No value of padding reaches a result, and no gradient flows back to it.
"""

from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from jdcv_core.types import ChunkVectors


def real_only(side: ChunkVectors) -> Float[Tensor, "pair chunk dim"]:
    """The chunk vectors, with 0 in place of padding."""
    return side.vectors.masked_fill(~side.mask[..., None], 0)


def real_pairs(jd: ChunkVectors, cv: ChunkVectors) -> Bool[Tensor, "pair i k"]:
    """Whether JD chunk i and CV chunk k are both real."""
    return rearrange(jd.mask, "pair i -> pair i 1") & rearrange(cv.mask, "pair k -> pair 1 k")


def masked_mean(
    values: Float[Tensor, "pair *axes"], real: Bool[Tensor, "pair *chunks"]
) -> Float[Tensor, "pair *rest"]:
    """The mean over all axes of `real` but the first, of the values where `real` is True.

    values: has the axes of `real`, and may have more after them. Where `real` is False they have no
            effect, even if they are infinite or nan
    real:   True at least once for each pair

    >>> import torch
    >>> values = torch.tensor([[1.0, 3.0, float("nan")]])
    >>> masked_mean(values, torch.tensor([[True, True, False]]))
    tensor([2.])
    """
    axes = tuple(range(1, real.ndim))
    real = real.reshape(*real.shape, *(1 for _ in values.shape[real.ndim :]))
    return values.masked_fill(~real, 0).sum(axes) / real.sum(axes)
