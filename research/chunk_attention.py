"""Chunk attention: the chunks of a CV and of a JD read each other before they are compared. Ours.

After multi-head attention (Vaswani et al. 2017) over chunk vectors instead of tokens, with the
attention pooling of Yang et al. 2016. papers/chunk_attention.md says what is taken from where.
"""

from typing import cast

import torch
from einops import einsum, rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from jdcv_core.scoring import MatchHead
from jdcv_core.types import ChunkVectors


class ChunkAttention(nn.Module):
    """Four attention terms over chunk vectors, attention pooling, and the baseline's match head.

        x_cv = x_cv + position        x_jd = x_jd + position
        x_cv = x_cv + attend(x_cv, x_cv)            self_cv: CV chunks read CV chunks
        x_jd = x_jd + attend(x_jd, x_jd)            self_jd
        y_cv = x_cv + attend(x_cv, x_jd)            cross_cv: CV chunks read JD chunks
        y_jd = x_jd + attend(x_jd, x_cv)            cross_jd: JD chunks read CV chunks
        logit = head(pool(y_jd), pool(y_cv))

    Both cross terms read the states before either was changed. Every term starts as nothing (its
    output matrix is 0) and the pooling as the mean, so an untrained ChunkAttention is the match
    head on mean vectors; with all switches off it stays attention pooling alone.

    dim:      width of the chunk vectors
    heads:    of every attention; dim must be a multiple
    self_cv, self_jd, cross_cv, cross_jd: the four terms
    position: learn one vector for each chunk index; without it the order of chunks has no effect
    max_chunks: chunk indices with a position of their own; later ones share the last
    dropout:  of attention weights, in training
    random_attention: a falsifier, see `Attention`: who attends to whom is drawn at random and is
              not learnt; values, outputs, pooling and head are. If this is no worse, what chunk
              attention gains does not come from what the chunks attend to

    Raises ValueError if dim is no multiple of heads.
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
        random_attention: bool = False,
    ) -> None:
        super().__init__()
        switches = {
            "self_cv": self_cv,
            "self_jd": self_jd,
            "cross_cv": cross_cv,
            "cross_jd": cross_jd,
        }
        self.terms = nn.ModuleDict(
            {
                name: Attention(dim, heads, dropout, random_attention)
                for name, on in switches.items()
                if on
            }
        )
        self.position = nn.Parameter(torch.zeros(max_chunks, dim)) if position else None
        self.pool_jd, self.pool_cv = AttentionPooling(dim), AttentionPooling(dim)
        self.head = MatchHead(dim)

    def forward(self, jd: ChunkVectors, cv: ChunkVectors) -> Float[Tensor, " pair"]:
        bias = self.bias(cv)
        x_jd, x_cv = self._read_own(jd, cv, bias)
        y_cv = self._term("cross_cv", x_cv, x_jd, jd.mask)
        y_jd = self._term("cross_jd", x_jd, x_cv, cv.mask, bias)
        return self.head(self.pool_jd(y_jd, jd.mask), self.pool_cv(y_cv, cv.mask, bias))

    def bias(self, cv: ChunkVectors) -> Float[Tensor, "pair chunk"] | None:
        """What is added to the logits of all attention to CV chunks: here nothing."""
        return None

    @torch.inference_mode()
    def cross_attention(self, jd: ChunkVectors, cv: ChunkVectors) -> Float[Tensor, "pair i k"]:
        """How much JD chunk i attends to CV chunk k, the mean over heads; each row sums to 1.

        Raises ValueError if the term cross_jd is switched off.
        """
        if "cross_jd" not in self.terms:
            raise ValueError("this ChunkAttention has no term cross_jd")
        bias = self.bias(cv)
        x_jd, x_cv = self._read_own(jd, cv, bias)
        term = cast(Attention, self.terms["cross_jd"])
        return term.weights(x_jd, x_cv, cv.mask, bias).mean(1)

    def _read_own(
        self, jd: ChunkVectors, cv: ChunkVectors, bias: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The chunks of each side after reading their own document, each [pair chunk dim]."""
        x_jd, x_cv = self._place(jd.vectors), self._place(cv.vectors)
        x_jd = self._term("self_jd", x_jd, x_jd, jd.mask)
        return x_jd, self._term("self_cv", x_cv, x_cv, cv.mask, bias)

    def _place(self, x: Float[Tensor, "pair chunk dim"]) -> Float[Tensor, "pair chunk dim"]:
        if self.position is None:
            return x
        index = torch.arange(x.shape[1], device=x.device).clamp_max(len(self.position) - 1)
        return x + self.position[index]

    def _term(
        self, name: str, x: Tensor, source: Tensor, mask: Tensor, bias: Tensor | None = None
    ) -> Tensor:
        return self.terms[name](x, source, mask, bias) if name in self.terms else x


class Attention(nn.Module):
    """x + attend(x, source): multi-head attention from the chunks x to the chunks of source.

        weights = softmax over real source chunks of (Q norm(x))(K norm(source))^T / sqrt(dim/heads)
        attend  = O (weights V norm(source))

    Q, K and V start as the identity, so chunks attend to those they resemble; O starts as 0. The
    norm stands before the attention, as in GPT-2, so that the residual keeps each chunk's length:
    in whitened vectors a chunk that says much is longer than one of boilerplate, and a norm behind
    the residual lost that (docs/LOG.md, 2026-11-23).

    random: Q and K are random rotations instead, the norm has no weights, and no gradient flows
    back through the attention weights: they stay one random function of the two states that meet.
    What the norm's scale could do V does; only its shift is lost.
    """

    def __init__(self, dim: int, heads: int, dropout: float, random: bool = False) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim {dim} is no multiple of heads {heads}")
        self.heads = heads
        self.query, self.key, self.value, self.out = (
            nn.Linear(dim, dim, bias=False) for _ in range(4)
        )
        for layer in (self.query, self.key, self.value):
            nn.init.eye_(layer.weight)
        nn.init.zeros_(self.out.weight)
        if random:
            for layer in (self.query, self.key):
                nn.init.orthogonal_(layer.weight).requires_grad_(False)
        self.random = random
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(dim, elementwise_affine=not random)

    def forward(
        self,
        x: Float[Tensor, "pair chunk dim"],
        source: Float[Tensor, "pair other dim"],
        mask: Bool[Tensor, "pair other"],
        bias: Float[Tensor, "pair other"] | None = None,
    ) -> Float[Tensor, "pair chunk dim"]:
        weights = self.dropout(self.weights(x, source, mask, bias))
        value = self._split(self.value(self.norm(source)))
        read = einsum(weights, value, "pair head i k, pair head k each -> pair head i each")
        read = rearrange(read, "pair head i each -> pair i (head each)")
        return x + self.out(read)

    def weights(
        self,
        x: Float[Tensor, "pair chunk dim"],
        source: Float[Tensor, "pair other dim"],
        mask: Bool[Tensor, "pair other"],
        bias: Float[Tensor, "pair other"] | None = None,
    ) -> Float[Tensor, "pair head chunk other"]:
        if self.random:
            x, source = x.detach(), source.detach()
        query = self._split(self.query(self.norm(x)))
        key = self._split(self.key(self.norm(source)))
        logits = einsum(query, key, "pair head i each, pair head k each -> pair head i k")
        logits = logits / query.shape[-1] ** 0.5
        if bias is not None:
            logits = logits + rearrange(bias, "pair k -> pair 1 1 k")
        padded = rearrange(~mask, "pair k -> pair 1 1 k")
        return logits.masked_fill(padded, float("-inf")).softmax(-1)

    def _split(self, x: Float[Tensor, "pair chunk dim"]) -> Float[Tensor, "pair head chunk each"]:
        return rearrange(x, "pair chunk (head each) -> pair head chunk each", head=self.heads)


class AttentionPooling(nn.Module):
    """Chunks → one vector: sum_k a_k x_k, a = softmax over real chunks of w . tanh(V x_k + b).

    w starts as 0: the mean. Source: Yang et al. 2016, equations 5 to 7.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(dim, dim)
        self.importance = nn.Linear(dim, 1, bias=False)
        nn.init.zeros_(self.importance.weight)

    def forward(
        self,
        x: Float[Tensor, "pair chunk dim"],
        mask: Bool[Tensor, "pair chunk"],
        bias: Float[Tensor, "pair chunk"] | None = None,
    ) -> Float[Tensor, "pair dim"]:
        logits = self.importance(torch.tanh(self.hidden(x)))[..., 0]
        logits = logits if bias is None else logits + bias
        weights = logits.masked_fill(~mask, float("-inf")).softmax(-1)
        return einsum(weights, x, "pair chunk, pair chunk dim -> pair dim")
