"""Attention pooling (Yang et al. 2016): chunk vectors to one vector, by learned weights."""

import torch
from einops import einsum
from jaxtyping import Bool, Float
from torch import Tensor, nn


class AttentionPooling(nn.Module):
    """The weighted mean of the chunks: y = sum_k a_k x_k.

        a = softmax over real chunks k of w . tanh(V x_k + b)

    dim: width of the chunk vectors

    w starts as 0, so an untrained pooling is the mean. The order of chunks has no effect.
    Source: Yang et al. 2016, "Hierarchical attention networks", equations 5 to 7.

    >>> pool = AttentionPooling(2)
    >>> x = torch.tensor([[[1.0, 3.0], [3.0, 5.0], [9.0, 9.0]]])
    >>> pool(x, torch.tensor([[True, True, False]])).tolist()
    [[2.0, 4.0]]
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(dim, dim)
        self.importance = nn.Linear(dim, 1, bias=False)
        nn.init.zeros_(self.importance.weight)

    def forward(
        self,
        x: Float[Tensor, "#pair chunk dim"],
        mask: Bool[Tensor, "#pair chunk"],
        bias: Float[Tensor, "#pair chunk"] | None = None,
    ) -> Float[Tensor, "#pair dim"]:
        """Pool the chunks. bias is added to the logits of the weights; None adds nothing."""
        logits = self.importance(torch.tanh(self.hidden(x)))[..., 0]  # [pair chunk]
        logits = logits if bias is None else logits + bias
        weights = logits.masked_fill(~mask, float("-inf")).softmax(-1)  # [pair chunk]
        return einsum(weights, x, "pair chunk, pair chunk dim -> pair dim")
