"""Give scorers equal numbers of parameters by a layer in front of the smaller ones. Ours."""

from dataclasses import replace

from jaxtyping import Float, Int
from torch import Tensor, nn

from jdcv_core.masking import real_only
from jdcv_core.scoring import pair_losses
from jdcv_core.types import ChunkVectors

TOLERANCE = 0.05
"""Numbers of parameters that differ by no more than this share count as equal."""


class Widened(nn.Module):
    """scorer(f(jd), f(cv)) with f(x) = x + W2 gelu(W1 norm(x)) on every chunk vector x.

    One residual layer serves both sides, after Houlsby et al. 2019 (adapters). W2 starts as 0, so
    an untrained Widened equals the scorer. A row may beat a smaller row only because it has more
    weights; this is ruled out if every row is widened to the size of the largest.

    scorer: a scorer of chunk vectors of width `dim`
    dim:    width of the chunk vectors
    hidden: rows of W1, from `hidden_for`; the layer has 2 * dim * hidden parameters

    Returns [pair]. Padding never has an effect if it has none on the scorer.
    Raises ValueError for hidden below 1.

    >>> import torch
    >>> from research.aggregators.pairwise import MaxSim
    >>> jd = ChunkVectors.pad({"jd:1": torch.eye(2)}, ["jd:1"])
    >>> Widened(MaxSim(2), dim=2, hidden=3)(jd, jd).tolist()
    [4.5]
    """

    def __init__(self, scorer: nn.Module, dim: int, hidden: int) -> None:
        super().__init__()
        if hidden < 1:
            raise ValueError(f"a layer needs at least 1 hidden unit, got {hidden}")
        self.scorer = scorer
        self.norm = nn.LayerNorm(dim, elementwise_affine=False)
        self.up = nn.Linear(dim, hidden, bias=False)
        self.down = nn.Linear(hidden, dim, bias=False)
        nn.init.zeros_(self.down.weight)

    def forward(self, jd: ChunkVectors, cv: ChunkVectors) -> Float[Tensor, " pair"]:
        return self.scorer(self._widen(jd), self._widen(cv))

    def losses(
        self, jd: ChunkVectors, cv: ChunkVectors, labels: Int[Tensor, " pair"]
    ) -> Float[Tensor, " pair"]:
        """Compute `pair_losses` of the scorer on the widened vectors."""
        return pair_losses(self.scorer, self._widen(jd), self._widen(cv), labels)

    def _widen(self, side: ChunkVectors) -> ChunkVectors:
        x = real_only(side)
        return replace(side, vectors=x + self.down(nn.functional.gelu(self.up(self.norm(x)))))


def hidden_for(own: int, target: int, dim: int) -> int:
    """Find the hidden width of `Widened` that brings a scorer nearest to a number of parameters.

    own, target: numbers of parameters (`jdcv_core.scoring.count_parameters`)
    dim:         width of the chunk vectors
    Returns the width, or 0 if the scorer without a layer is nearest.

    Raises ValueError if no width comes within 5% of the target, because the scorer alone has more
    parameters or because one hidden unit (2 * dim parameters) is already too large.

    >>> hidden_for(131_074, 1_330_178, dim=256)  # 131,074 + 2 * 256 * 2,342 = 1,330,178
    2342
    """
    hidden = max(0, round((target - own) / (2 * dim)))
    reached = own + 2 * dim * hidden
    if abs(reached - target) > TOLERANCE * target:
        raise ValueError(
            f"no hidden width brings {own} parameters within 5% of {target} at dim {dim}; "
            f"the nearest is {reached}"
        )
    return hidden
