"""Networks that read the chunk vectors of one document, then the match head.

What they read is added to the mean of the chunks through a matrix that starts as 0: an untrained
reader is the head on mean vectors. Both sides are read by the same network.
"""

import torch
from einops import repeat
from jaxtyping import Float
from torch import Tensor, nn

from jdcv_core.scoring import MatchHead
from jdcv_core.types import ChunkVectors
from research.aggregators.pooled import mean_of, real_at, real_only


class ParadeTransformer(nn.Module):
    """PARADE-Transformer (Li et al. 2020, section 3.2): a learnt vector and the chunk vectors of a
    document go through transformer layers, and the learnt vector's state stands for the document.

        y     = mean of the chunks + O state_0        state = layers([first, x_1, ..., x_n])
        logit = head(y(jd), y(cv))

    The paper reads vectors of (query, passage) with layers taken from BERT; here each side is read
    alone by new layers with the norm first, as in GPT-2 (see `chunk_attention.Attention`). No
    positions, as in the paper: the order of chunks has no effect.

    dim:     width of the chunk vectors
    layers, heads: of the transformer; dim must be a multiple of heads
    inner:   hidden width of its feed-forward layers
    dropout: of attention weights, feed-forward layers and what they add, in training

    Returns [pair]. Raises ValueError if dim is no multiple of heads.
    """

    def __init__(
        self, dim: int, layers: int = 2, heads: int = 4, inner: int = 256, dropout: float = 0.1
    ) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim {dim} is no multiple of heads {heads}")
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
        return mean_of(side) + self.out(state)


class RecurrentReader(nn.Module):
    """RoBERT, "recurrence over BERT" (Pappagari et al. 2019): an LSTM reads the chunk vectors in
    order, and its state after the last one stands for the document.

        y     = mean of the chunks + O h_last        h = lstm(x_1, ..., x_n)
        logit = head(y(jd), y(cv))

    The paper classifies one document by h_last through two layers; here the match head compares
    two documents.

    dim:    width of the chunk vectors
    hidden: of the LSTM; 100 in the paper

    Returns [pair]. It reads the order of chunks. Real chunks must stand before padded ones, as in
    `ChunkVectors.pad`: what the LSTM reads after them is then not looked at.
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
        return mean_of(side) + self.out(last)


def _starts_as_0(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    return layer
