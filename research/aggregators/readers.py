"""Scorers with a network that reads the chunk vectors of each document before the match head.

The output of the network is added to the mean of the chunks through a matrix that starts as 0, so
an untrained reader is the match head on mean vectors. The same network reads both sides.
"""

import torch
from einops import repeat
from jaxtyping import Float
from torch import Tensor, nn

from jdcv_core.masking import masked_mean, real_only
from jdcv_core.scoring import MatchHead
from jdcv_core.types import ChunkVectors
from research.aggregators.pooled import real_at


class ParadeTransformer(nn.Module):
    """PARADE-Transformer (Li et al. 2020, section 3.2): transformer layers read a learned vector
    and the chunk vectors of a document; the state of the learned vector represents the document.

        y     = mean of the chunks + O state_0        state = layers([first, x_1, ..., x_n])
        logit = head(y(jd), y(cv))

    The paper reads vectors of (query, passage) with layers taken from BERT. Here new layers read
    each side alone, with the norm first, as in GPT-2 (see `chunk_attention.Attention`). As in the
    paper there are no positions, so the order of chunks has no effect.

    dim:     width of the chunk vectors
    layers, heads: sizes of the transformer; dim must be a multiple of heads
    inner:   hidden width of its feed-forward layers
    dropout: rate for attention weights, feed-forward layers and residual additions, in training

    Returns [pair]. Raises ValueError if dim is not a multiple of heads.

    >>> jd = ChunkVectors.pad({"jd:1": torch.eye(4)[:2]}, ["jd:1"])
    >>> cv = ChunkVectors.pad({"cv:1": torch.eye(4)[:1]}, ["cv:1"])
    >>> round(ParadeTransformer(4).eval()(jd, cv).item(), 2)  # untrained, so on mean vectors
    3.04
    """

    def __init__(
        self, dim: int, layers: int = 2, heads: int = 4, inner: int = 256, dropout: float = 0.1
    ) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim {dim} is not a multiple of heads {heads}")
        layer = nn.TransformerEncoderLayer(
            dim, heads, inner, dropout, "gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.first = nn.Parameter(torch.randn(dim))  # as long as a whitened vector
        self.out = _starts_as_0(nn.Linear(dim, dim, bias=False))
        self.head = MatchHead(dim)

    def forward(self, jd: ChunkVectors, cv: ChunkVectors) -> Float[Tensor, " pair"]:
        return self.head(self._read(jd), self._read(cv))

    def _read(self, side: ChunkVectors) -> Float[Tensor, "pair dim"]:
        first = repeat(self.first, "dim -> pair 1 dim", pair=len(side.mask))
        x = torch.cat([first, real_only(side)], 1)
        mask = torch.cat([torch.ones_like(side.mask[:, :1]), side.mask], 1)
        state = self.layers(x, src_key_padding_mask=~mask)[:, 0]
        return masked_mean(side.vectors, side.mask) + self.out(state)


class RecurrentReader(nn.Module):
    """RoBERT, "recurrence over BERT" (Pappagari et al. 2019): an LSTM reads the chunk vectors in
    order, and its state after the last one represents the document.

        y     = mean of the chunks + O h_last        h = lstm(x_1, ..., x_n)
        logit = head(y(jd), y(cv))

    The paper classifies one document by h_last through two layers; here the match head compares
    two documents.

    dim:    width of the chunk vectors
    hidden: width of the LSTM; 100 in the paper

    Returns [pair]. The order of chunks has an effect. Real chunks must come before padding, as in
    `ChunkVectors.pad`; the states after the last real chunk are not used.

    >>> jd = ChunkVectors.pad({"jd:1": torch.eye(2)}, ["jd:1"])
    >>> cv = ChunkVectors.pad({"cv:1": torch.eye(2)[:1]}, ["cv:1"])
    >>> round(RecurrentReader(2)(jd, cv).item(), 2)  # untrained, so on mean vectors
    3.04
    """

    def __init__(self, dim: int, hidden: int = 100) -> None:
        super().__init__()
        self.lstm = nn.LSTM(dim, hidden, batch_first=True)
        self.out = _starts_as_0(nn.Linear(hidden, dim, bias=False))
        self.head = MatchHead(dim)

    def forward(self, jd: ChunkVectors, cv: ChunkVectors) -> Float[Tensor, " pair"]:
        return self.head(self._read(jd), self._read(cv))

    def _read(self, side: ChunkVectors) -> Float[Tensor, "pair dim"]:
        states, _ = self.lstm(real_only(side))
        last = real_at(ChunkVectors(side.ids, states, side.mask), side.mask.sum(1) - 1)
        return masked_mean(side.vectors, side.mask) + self.out(last)


def _starts_as_0(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    return layer
