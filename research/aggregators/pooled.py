"""Scorers that pool each document to one vector; the match head compares the two vectors."""

import hashlib

import torch
from einops import einsum, rearrange, repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from jdcv_core.errors import InputError, nearest
from jdcv_core.masking import masked_mean, real_only
from jdcv_core.scoring import MatchHead
from jdcv_core.types import ChunkVectors
from research.aggregators.attention_pooling import AttentionPooling

HOW = ("first", "random", "mean", "attention")


class Pooled(nn.Module):
    """logit = head(pool(jd), pool(cv)).

    dim:  width of the chunk vectors
    how:  "first":     the first chunk, as if the document ended there (BERT-FirstP, Dai & Callan
                       2019)
          "random":    one chunk, chosen by a hash of the document's id, so that it is the same in
                       training and test, in every batch and pair (ours; it measures how much a
                       single random chunk can tell)
          "mean":      the mean of the chunk vectors
          "attention": `AttentionPooling`, one for each side, which starts as the mean (Yang et al.
                       2016; PARADE-Attn, Li et al. 2020)
    seed: seed of "random"

    Returns [pair]. With one chunk a side all of them equal the match head. The order of chunks has
    no effect on "mean" and "attention". Raises InputError for an unknown name.

    >>> jd = ChunkVectors.pad({"jd:1": torch.eye(2)}, ["jd:1"])
    >>> cv = ChunkVectors.pad({"cv:1": torch.eye(2)[:1]}, ["cv:1"])
    >>> [round(Pooled(2, how)(jd, cv).item(), 2) for how in ("first", "mean")]
    [4.5, 3.04]
    """

    def __init__(self, dim: int, how: str = "mean", seed: int = 0) -> None:
        super().__init__()
        if how not in HOW:
            raise InputError(f"how={how}", "there is no such pooling", nearest(how, list(HOW)))
        self.how, self.seed = how, seed
        if how == "attention":
            self.pool_jd, self.pool_cv = AttentionPooling(dim), AttentionPooling(dim)
        self.head = MatchHead(dim)

    def forward(self, jd: ChunkVectors, cv: ChunkVectors) -> Float[Tensor, " pair"]:
        if self.how == "attention":
            u, v = self.pool_jd(real_only(jd), jd.mask), self.pool_cv(real_only(cv), cv.mask)
            return self.head(u, v)
        return self.head(self._pool(jd), self._pool(cv))

    def _pool(self, side: ChunkVectors) -> Float[Tensor, "pair dim"]:
        if self.how == "mean":
            return masked_mean(side.vectors, side.mask)
        place = torch.zeros_like(side.mask.sum(1))
        if self.how == "random":
            drawn = [_number(i, self.seed) for i in side.ids]
            place = torch.tensor(drawn, device=place.device) % side.mask.sum(1)
        return real_at(side, place)


class PolyCodes(nn.Module):
    """Poly-encoders over chunks instead of tokens (Humeau et al. 2020, section 4.4).

        y_m   = sum_k a_mk v_k      a_m = softmax over real CV chunks k of c_m . v_k
        y     = sum_m b_m y_m       b   = softmax over codes m of u . y_m / sqrt(dim)
        logit = head(u, y)          u   = mean of the JD's chunks

    Each learned code c_m attends to the chunks of the CV, and the JD attends to the results y_m.
    The codes start small and different, so y starts near the mean of the CV's chunks. The paper
    scores u . y; here the match head compares u and y, as in all rivals. The paper does not divide
    by sqrt(dim) in b. The length of whitened vectors is about sqrt(dim), so without the division
    the softmax would give all weight to one code.

    dim:   width of the chunk vectors
    codes: number of codes

    Returns [pair]. The order of chunks has no effect. With one chunk a side it equals the match
    head. Raises InputError for less than one code.

    >>> _ = torch.manual_seed(0)
    >>> jd = ChunkVectors.pad({"jd:1": torch.eye(2)}, ["jd:1"])
    >>> cv = ChunkVectors.pad({"cv:1": torch.eye(2)[:1]}, ["cv:1"])
    >>> round(PolyCodes(2)(jd, cv).item(), 2)
    3.04
    """

    def __init__(self, dim: int, codes: int = 16) -> None:
        super().__init__()
        if codes < 1:
            raise InputError(f"codes={codes}", "it is too small", "give 1 or more")
        self.codes = nn.Parameter(torch.randn(codes, dim) / dim)
        self.head = MatchHead(dim)

    def forward(self, jd: ChunkVectors, cv: ChunkVectors) -> Float[Tensor, " pair"]:
        u, v = masked_mean(jd.vectors, jd.mask), real_only(cv)
        codes = repeat(self.codes, "code dim -> pair code dim", pair=len(v))
        found = attend(codes, v, cv.mask)
        asked = rearrange(u, "pair dim -> pair 1 dim") / u.shape[-1] ** 0.5
        y = attend(asked, found, torch.ones_like(found[..., 0], dtype=torch.bool))
        return self.head(u, rearrange(y, "pair 1 dim -> pair dim"))


def real_at(side: ChunkVectors, place: Int[Tensor, " pair"]) -> Float[Tensor, "pair dim"]:
    """Return the chunk vector at a position among each document's real chunks, counted from 0."""
    counted = side.mask.cumsum(1) > place[:, None]
    slot = counted.int().argmax(1)  # the first slot with place + 1 real chunks up to it
    return side.vectors[torch.arange(len(slot), device=slot.device), slot]


def attend(
    query: Float[Tensor, "pair i dim"],
    source: Float[Tensor, "pair k dim"],
    mask: Bool[Tensor, "pair k"],
) -> Float[Tensor, "pair i dim"]:
    """Average source for each query, weighted by the softmax over real k of query . source."""
    logits = einsum(query, source, "pair i dim, pair k dim -> pair i k")
    padded = rearrange(~mask, "pair k -> pair 1 k")
    return logits.masked_fill(padded, float("-inf")).softmax(-1) @ source


def _number(document: str, seed: int) -> int:
    """Hash the id and the seed to an integer below 2**32."""
    return int.from_bytes(hashlib.sha256(f"{seed} {document}".encode()).digest()[:4], "big")
