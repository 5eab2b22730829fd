"""f(duration, recency): how much an experience counts by its months. Ours, but for the decays.

Every f takes months [*, ] of duration d and recency a (from its end to the reference month) and
gives a weight, never below 0. Duration never lowers it and age never raises it, whatever is learnt:

    uniform         1
    linear          d / 12 · max(floor, 1 - a / horizon)
    half_life       log(1 + d / 12) · 2^(-a / h)             h learnable
    hyperbolic      log(1 + d / 12) / (1 + a / h)            h learnable
    monotone        exp(m(log(1 + d/12)) - m'(log(1 + a/12)))   m, m' rising, learnt

exponential half-life: as in the credit of the demo corpus; hyperbolic: Mazur 1987. Duration only
and recency only are `half_life` with one factor left out: the controls of the table.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import softplus

from jdcv_core.errors import InputError, nearest

Months = Float[Tensor, "*e"]

PACE = 30.0
"""Months learn this many times as fast as a matrix: a half-life moves by a factor, not by 1%."""


class Uniform(nn.Module):
    """f = 1, whatever the months are."""

    def forward(self, duration: Months, recency: Months) -> Months:
        return torch.ones_like(duration)


class Linear(nn.Module):
    """f = d / 12 · max(floor, 1 - a / horizon); horizon in months."""

    def __init__(self, horizon: float = 240.0, floor: float = 0.05) -> None:
        super().__init__()
        self.horizon, self.floor = horizon, floor

    def forward(self, duration: Months, recency: Months) -> Months:
        return duration / 12 * (1 - recency / self.horizon).clamp_min(self.floor)


class Decay(nn.Module):
    """f = log(1 + d/12) · decay(a); after a half-life, in months, an experience counts half.

    half_life: at the start; it is learnt as its logarithm, so it stays above 0
    kind:      exponential, 2^(-a/h); or hyperbolic, 1 / (1 + a/h)
    by:        both; duration or recency: the other factor is 1
    """

    def __init__(
        self,
        half_life: float = 60.0,
        kind: str = "exponential",
        by: str = "both",
    ) -> None:
        super().__init__()
        for value, known in (
            (kind, ["exponential", "hyperbolic"]),
            (by, ["both", "duration", "recency"]),
        ):
            if value not in known:
                raise InputError(f"f: {value}", "there is no such choice", nearest(value, known))
        self.kind, self.by = kind, by
        self.start = math.log(half_life)
        learnt = by != "duration"
        self.moved = nn.Parameter(torch.zeros(()), requires_grad=learnt)  # in units of PACE

    @property
    def half_life(self) -> Float[Tensor, ""]:
        """In months."""
        return (self.start + PACE * self.moved).exp()

    def forward(self, duration: Months, recency: Months) -> Months:
        ratio = recency / self.half_life
        decay = torch.exp2(-ratio) if self.kind == "exponential" else 1 / (1 + ratio)
        grown = torch.log1p(duration / 12)
        if self.by == "duration":
            return grown
        return decay if self.by == "recency" else grown * decay


SLOPE, HEIGHT = 2.0, -2.0


class Monotone(nn.Module):
    """f = exp(m(log(1 + d/12)) - m'(log(1 + a/12))), m and m' rising by construction.

        m(x) = sum over k of softplus(w_k) · sigmoid(softplus(s_k) (x - c_k))

    Each summand rises with x for any w and s, so no training can make f fall with duration or
    rise with recency. knots: summands, whose c_k lie evenly over 0 to 30 years. Starts nearly
    flat. After Sill 1998 (monotonic networks), with steps instead of planes.
    """

    def __init__(self, knots: int = 8) -> None:
        super().__init__()
        centres = torch.linspace(0, math.log1p(30), knots).repeat(2, 1)
        self.centre: Tensor
        self.register_buffer("centre", centres)
        self.slope = nn.Parameter(torch.zeros(2, knots))  # moves from SLOPE, in units of PACE
        self.height = nn.Parameter(torch.zeros(2, knots))  # moves from HEIGHT, likewise

    def forward(self, duration: Months, recency: Months) -> Months:
        return torch.exp(self._rise(duration, 0) - self._rise(recency, 1))

    def _rise(self, months: Tensor, which: int) -> Tensor:
        x = torch.log1p(months / 12)[..., None] - self.centre[which]
        steps = torch.sigmoid(softplus(SLOPE + PACE * self.slope[which]) * x)
        return (softplus(HEIGHT + PACE * self.height[which]) * steps).sum(-1)


FAMILY: dict[str, Callable[[], nn.Module]] = {
    "uniform": Uniform,
    "linear": Linear,
    "half_life": Decay,
    "hyperbolic": lambda: Decay(kind="hyperbolic"),
    "duration_only": lambda: Decay(by="duration"),
    "recency_only": lambda: Decay(by="recency"),
    "monotone": Monotone,
}


def make_f(name: str) -> nn.Module:
    """A member of the family by its name; InputError for another."""
    if name not in FAMILY:
        raise InputError(f"f: {name}", "there is no such weight", nearest(name, list(FAMILY)))
    return FAMILY[name]()
