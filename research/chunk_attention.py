"""Chunk attention: chunks of a CV and a JD attend to each other before they are compared. Ours.

It is multi-head attention (Vaswani et al. 2017) over chunk vectors instead of tokens, followed by
attention pooling (Yang et al. 2016). papers/chunk_attention.md lists the sources.
"""

from itertools import compress
from typing import cast

import torch
from einops import einsum, rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from jdcv_core.scoring import MatchHead
from jdcv_core.types import ChunkVectors
from research.aggregators.attention_pooling import AttentionPooling

HEADS = "pair chunk (head each) -> pair head chunk each"


class ChunkAttention(nn.Module):
    """Four attention terms over chunk vectors, attention pooling, and the baseline's match head.

        x_jd = x_jd + position        x_cv = x_cv + position
        x_jd = x_jd + attend(x_jd, x_jd)            self_jd: JD chunks read JD chunks
        x_cv = x_cv + attend(x_cv, x_cv)            self_cv: CV chunks read CV chunks
        y_cv = x_cv + attend(x_cv, x_jd)            cross_cv: CV chunks read JD chunks
        y_jd = x_jd + attend(x_jd, x_cv)            cross_jd: JD chunks read CV chunks
        logit = head(pool(y_jd), pool(y_cv))

    Both cross terms read x_jd and x_cv, so neither depends on the other. The output matrix of every
    term starts as 0 and the pooling starts as the mean, so an untrained ChunkAttention is the match
    head on mean vectors. With all terms switched off it is attention pooling and the match head.

    dim:      width of the chunk vectors
    heads:    number of heads of every attention; dim must be a multiple of it
    self_cv, self_jd, cross_cv, cross_jd: whether to use each of the four terms
    position: learn one vector for each chunk index; without it the order of chunks has no effect
    max_chunks: number of position vectors; all later chunks share the last one
    dropout:  rate for attention weights, in training

    Returns [pair]. Raises ValueError if dim is not a multiple of heads.

    >>> _ = torch.manual_seed(0)
    >>> jd = ChunkVectors.pad({"jd:1": torch.randn(2, 8)}, ["jd:1"])
    >>> cv = ChunkVectors.pad({"cv:1": torch.randn(3, 8)}, ["cv:1"])
    >>> scorer = ChunkAttention(8).eval()
    >>> scorer(jd, cv).shape, scorer.cross_attention(jd, cv).shape
    (torch.Size([1]), torch.Size([1, 2, 3]))
    """

    def __init__(
        self,
        dim: int,
        heads: int = 4,
        self_cv: bool = True,
        self_jd: bool = True,
        cross_cv: bool = True,
        cross_jd: bool = True,
        position: bool = True,
        max_chunks: int = 64,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        names = ("self_cv", "self_jd", "cross_cv", "cross_jd")
        on = compress(names, (self_cv, self_jd, cross_cv, cross_jd))
        self.terms = nn.ModuleDict({name: self.attention(dim, heads, dropout) for name in on})
        self.position = nn.Parameter(torch.zeros(max_chunks, dim)) if position else None
        self.pool_jd, self.pool_cv = AttentionPooling(dim), AttentionPooling(dim)
        self.head = MatchHead(dim)

    @staticmethod
    def attention(dim: int, heads: int, dropout: float) -> nn.Module:
        """Make the attention of one term; a subclass may override this."""
        return Attention(dim, heads, dropout)

    def forward(self, jd: ChunkVectors, cv: ChunkVectors) -> Float[Tensor, " pair"]:
        # A side that is one document for all pairs has pair = 1 below, and broadcasts.
        x_jd, x_cv = once(jd.vectors), once(cv.vectors)  # [pair i dim], [pair k dim]
        jd_mask, cv_mask = once(jd.mask), once(cv.mask)  # [pair i], [pair k]
        bias = self.bias(cv)  # [pair k] or None
        if self.position is not None:
            last = len(self.position) - 1
            i, k = (torch.arange(x.shape[1], device=x.device).clamp_max(last) for x in (x_jd, x_cv))
            x_jd, x_cv = x_jd + self.position[i], x_cv + self.position[k]

        if "self_jd" in self.terms:
            x_jd = x_jd + self.terms["self_jd"](x_jd, x_jd, jd_mask)  # [pair i dim]
        if "self_cv" in self.terms:
            x_cv = x_cv + self.terms["self_cv"](x_cv, x_cv, cv_mask, bias)  # [pair k dim]

        y_jd, y_cv = x_jd, x_cv
        if "cross_cv" in self.terms:
            y_cv = x_cv + self.terms["cross_cv"](x_cv, x_jd, jd_mask)  # [pair k dim]
        if "cross_jd" in self.terms:
            y_jd = x_jd + self.terms["cross_jd"](x_jd, x_cv, cv_mask, bias)  # [pair i dim]

        u = self.pool_jd(y_jd, jd_mask)  # [pair dim]
        v = self.pool_cv(y_cv, cv_mask, bias)  # [pair dim]
        return self.head(*torch.broadcast_tensors(u, v)).expand(len(jd.ids))  # [pair]

    def bias(self, cv: ChunkVectors) -> Float[Tensor, "pair chunk"] | None:
        """Return a bias for the logits of all attention to CV chunks; None adds nothing."""
        return None

    @torch.inference_mode()
    def cross_attention(self, jd: ChunkVectors, cv: ChunkVectors) -> Float[Tensor, "pair i k"]:
        """Return the attention of JD chunk i to CV chunk k, averaged over heads; rows sum to 1.

        Raises ValueError if the term cross_jd is switched off.
        """
        if "cross_jd" not in self.terms:
            raise ValueError("this ChunkAttention has no term cross_jd")
        term = cast(Attention, self.terms["cross_jd"])
        read: list[tuple[Tensor, ...]] = []
        hook = term.register_forward_pre_hook(lambda _, arguments: read.append(arguments))
        try:
            self(jd, cv)
        finally:
            hook.remove()
        found = term.weights(*read[0]).mean(1)  # [pair head i k] -> [pair i k]
        return found.expand(len(jd.ids), -1, -1)


def once(rows: Tensor) -> Tensor:
    """The first row alone where all rows are views of it (`ChunkVectors.pad` of one id), so that
    what is computed of it is computed once."""
    return rows[:1] if rows.stride(0) == 0 else rows


class Attention(nn.Module):
    """attend(x, source): multi-head attention from the chunks x to the chunks of source.

        weights = softmax over real source chunks of (Q norm(x))(K norm(source))^T / sqrt(dim/heads)
        attend  = O (weights V norm(source))

    Q, K and V start as the identity, so chunks attend to chunks that resemble them; O starts as 0.
    The norm is applied before the attention, as in GPT-2, so that the residual keeps the length of
    each chunk vector. Among whitened vectors, those of informative chunks are longer than those of
    boilerplate; a norm after the residual lost that (docs/LOG.md, 2026-11-23).
    """

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim {dim} is not a multiple of heads {heads}")
        self.heads = heads
        self.query, self.key, self.value, self.out = (
            nn.Linear(dim, dim, bias=False) for _ in range(4)
        )
        for layer in (self.query, self.key, self.value):
            nn.init.eye_(layer.weight)
        nn.init.zeros_(self.out.weight)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(dim)

    def forward(
        self,
        x: Float[Tensor, "#pair chunk dim"],
        source: Float[Tensor, "#pair other dim"],
        mask: Bool[Tensor, "#pair other"],
        bias: Float[Tensor, "#pair other"] | None = None,
    ) -> Float[Tensor, "#pair chunk dim"]:
        weights = self.dropout(self.weights(x, source, mask, bias))  # [pair head i k]
        value = rearrange(self.value(self.norm(source)), HEADS, head=self.heads)
        read = einsum(weights, value, "pair head i k, pair head k each -> pair head i each")
        return self.out(rearrange(read, "pair head i each -> pair i (head each)"))

    def weights(
        self,
        x: Float[Tensor, "#pair chunk dim"],
        source: Float[Tensor, "#pair other dim"],
        mask: Bool[Tensor, "#pair other"],
        bias: Float[Tensor, "#pair other"] | None = None,
    ) -> Float[Tensor, "#pair head chunk other"]:
        """Compute the attention weights; each row sums to 1 over the real chunks of source."""
        query = rearrange(self.query(self.norm(x)), HEADS, head=self.heads)  # [pair head i each]
        key = rearrange(self.key(self.norm(source)), HEADS, head=self.heads)  # [pair head k each]
        logits = einsum(query, key, "pair head i each, pair head k each -> pair head i k")
        logits = logits / query.shape[-1] ** 0.5
        if bias is not None:
            logits = logits + rearrange(bias, "pair k -> pair 1 1 k")
        padded = rearrange(~mask, "pair k -> pair 1 1 k")
        return logits.masked_fill(padded, float("-inf")).softmax(-1)
