"""The half-life of experience, estimated from labelled pairs, with its interval. Ours.

The evidence here is words, not vectors: what share of a JD line's tf-idf mass an experience holds.
For line i of the JD and the experiences e of the CV

    shown_ei  = sigmoid(k · (P_ei - t))                     P_ei > 0, else 0
    covered_i = 1 - exp(-c · sum over e of log(1 + d_e / 12) · 2^(-rate · a_e / 12) · shown_ei)
    score     = sigmoid(offset + slope · sum over i of v_i covered_i)
    v         = softmax over i of u · max over e of P_ei

fitted to the labels by least squares: evidence for a line adds up over a career and saturates, as
months towards a requirement do. rate is per year and may be 0 or below, so a corpus in which age
does not matter has an interval that holds 0; the half-life is 12 / rate months. Why words: the
vectors of a small encoder say too little about *which* experience shows what a line asks for, and
an error there looks like a shorter half-life (docs/LOG.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import Tensor
from torch.func import jacfwd

from jdcv_core.errors import InputError
from jdcv_core.types import TARGETS, Document, Pair
from research.experience.parsing import parse_cv

LINE = 20
"""Characters of the shortest line of a JD that counts."""
START = (0.1, 0.5, 2.5, -2.5, 2.2, 0.45, 0.0)
"""rate, log c, log k, offset, log slope, t, u."""


@dataclass(frozen=True)
class CareerEvidence:
    """Padded over pairs; masks True = real.

    share:    P, of a JD line's tf-idf mass in an experience, [pair line experience]
    duration, recency: months, [pair experience]; 0 where padded, and share is 0 there, too
    lines:    [pair line]; only lines of which some experience holds something
    rest:     how many other lines the JD has, [pair]
    targets:  0, 0.5 or 1, [pair]
    jds, cvs: which JD and which CV a pair is of, [pair]
    """

    share: Float[Tensor, "pair line experience"]
    duration: Float[Tensor, "pair experience"]
    recency: Float[Tensor, "pair experience"]
    lines: Bool[Tensor, "pair line"]
    rest: Float[Tensor, " pair"]
    targets: Float[Tensor, " pair"]
    jds: np.ndarray
    cvs: np.ndarray


@dataclass(frozen=True)
class HalfLife:
    """months: 12 / rate, infinite for a rate of 0 or below; low, high: of its 95% interval.

    rate, error:      per year, and its standard error; a rate below 0 says that older counts more
    loss:             mean squared error
    loss_without_age: with a rate of 0
    pairs:            fitted on
    """

    rate: float
    error: float
    loss: float
    loss_without_age: float
    pairs: int

    @property
    def months(self) -> float:
        return _months(self.rate)

    @property
    def low(self) -> float:
        return _months(self.rate + 1.96 * self.error)

    @property
    def high(self) -> float:
        return _months(self.rate - 1.96 * self.error)

    def __str__(self) -> str:
        """`22.7 months [19.1, 28.0]`; an open end is ∞."""
        if math.isinf(self.low):
            return "none: older experiences count more"
        return f"{_text(self.months)} months [{_text(self.low)}, {_text(self.high)}]"


def career_evidence(
    documents: Mapping[str, Document], pairs: Sequence[Pair], reference: int
) -> CareerEvidence:
    """What `fit_half_life` reads; pairs whose CV has no dated experience are left out.

    reference: month. Raises InputError if no pair is left.
    """
    months, texts, lines = {}, {}, {}
    for i in sorted({p.cv for p in pairs}):
        parsed = parse_cv(documents[i].text).seen_from(reference)
        now = parsed.reference
        good = [e for e in parsed.experiences if not e.fault]
        if good:
            months[i] = [(e.months(now), max(0, now - e.interval(now).end)) for e in good]
            texts[i] = [documents[i].text[e.header_end : e.end] for e in good]
    for i in sorted({p.jd for p in pairs}):
        text = documents[i].text
        lines[i] = [x for x in text.split("\n") if len(x) > LINE] or [text]
    pairs = [p for p in pairs if p.cv in texts]
    if not pairs:
        raise InputError("half-life", "no CV has a dated experience", "give CVs with dates")
    words = TfidfVectorizer(sublinear_tf=True, stop_words="english", ngram_range=(1, 2))
    words.fit([x for own in (*texts.values(), *lines.values()) for x in own])
    held = {i: (words.transform(own) > 0).astype(np.float32) for i, own in texts.items()}
    mass = {i: words.transform(own).power(2) for i, own in lines.items()}
    shares = [(mass[p.jd] @ held[p.cv].T).toarray() for p in pairs]
    touched = [found[found.any(1)] for found in shares]
    most_jobs = max(len(texts[p.cv]) for p in pairs)
    share = torch.zeros(len(pairs), max(1, *map(len, touched)), most_jobs)
    when = torch.zeros(2, len(pairs), most_jobs)
    real = torch.zeros(share.shape[:2], dtype=torch.bool)
    for at, (p, found) in enumerate(zip(pairs, touched, strict=True)):
        share[at, : found.shape[0], : found.shape[1]] = torch.from_numpy(found)
        when[:, at, : len(months[p.cv])] = torch.tensor(months[p.cv], dtype=torch.float).T
        real[at, : len(found)] = True
    return CareerEvidence(
        share, when[0], when[1], real,
        torch.tensor([float(len(a) - len(b)) for a, b in zip(shares, touched, strict=True)]),
        torch.tensor([TARGETS[p.label] for p in pairs]),
        np.unique([p.jd for p in pairs], return_inverse=True)[1],
        np.unique([p.cv for p in pairs], return_inverse=True)[1],
    )  # fmt: skip


def fit_half_life(evidence: CareerEvidence) -> HalfLife:
    """The rate with the least squared error, and its standard error over JDs and CVs.

    Deterministic: the better of two searches, one from START and one from the best fit without age,
    so that age never makes the loss larger. The error is clustered both ways (Cameron, Gelbach &
    Miller 2011, equation 2.13), with Gauss-Newton's curvature; or one way, if that is larger.
    """
    share, duration = evidence.share.double(), evidence.duration.double()
    recency, lines, rest = evidence.recency.double(), evidence.lines, evidence.rest.double()
    targets = evidence.targets.double()

    def residuals(theta: Tensor) -> Tensor:
        return predicted(theta, share, duration, recency, lines, rest) - targets

    ageless = torch.ones(len(START), dtype=torch.float64)
    ageless[0] = 0.0
    start = torch.tensor(START, dtype=torch.float64)
    without, loss_without = _least_squares(lambda theta: residuals(theta * ageless), start)
    found = [_least_squares(residuals, s) for s in (start, without * ageless)]
    best, loss = min(found, key=lambda pair: pair[1])
    slope = jacfwd(residuals)(best).detach()  # [pair parameter]
    error = math.inf  # where the best fit is a corner in which slopes overflow, nothing is known
    if slope.isfinite().all():
        error = _clustered_error(slope, residuals(best).detach(), evidence.jds, evidence.cvs)
    return HalfLife(float(best[0]), error, loss, loss_without, len(targets))


def _least_squares(residuals: Callable[[Tensor], Tensor], start: Tensor) -> tuple[Tensor, float]:
    """Where the mean squared residual was least of all places that the search saw, and that mean.

    With few pairs a step may lead to where numbers overflow; what was found before then counts.
    """
    values = start.clone().requires_grad_()
    best, least = start.clone(), math.inf
    optimizer = torch.optim.LBFGS(
        [values], max_iter=200, tolerance_change=1e-10, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        nonlocal best, least
        optimizer.zero_grad()
        loss = residuals(values).square().mean()
        if loss.item() < least:
            best, least = values.detach().clone(), loss.item()
        loss.backward()
        return loss

    optimizer.step(closure)
    return best, least


def predicted(
    theta: Tensor, share: Tensor, duration: Tensor, recency: Tensor, lines: Tensor, rest: Tensor
) -> Tensor:
    """The score of each pair, [pair]; theta: as START."""
    rate, log_c, log_k, offset, log_slope, threshold, favour = theta.unbind()
    weight = torch.log1p(duration / 12) * torch.exp2(-rate * recency / 12)
    shown = torch.sigmoid(log_k.exp() * (share - threshold)) * (share > 0)
    covered = -torch.expm1(-log_c.exp() * (shown * weight[:, None]).sum(-1))
    shift = favour.clamp_min(0)  # shares are at most 1, so no exponent is above 0
    asked = (favour * share.amax(-1) - shift).exp() * lines
    total = asked.sum(1) + rest * (-shift).exp()  # nothing covers a line of the rest
    covered = (asked * covered).sum(1) / total.clamp_min(torch.finfo(total.dtype).tiny)
    return torch.sigmoid(offset + log_slope.exp() * covered)


def _clustered_error(slope: Tensor, left: Tensor, jds: np.ndarray, cvs: np.ndarray) -> float:
    """Standard error of the first parameter; infinite where the data do not depend on it."""
    bread = torch.linalg.pinv(slope.T @ slope)
    scores = slope * left[:, None]

    def meat(groups: np.ndarray) -> Tensor:
        sums = scores.new_zeros(int(groups.max()) + 1, scores.shape[1])
        sums.index_add_(0, torch.from_numpy(groups), scores)
        return sums.T @ sums

    by_jd, by_cv = meat(jds), meat(cvs)
    both = by_jd + by_cv - scores.T @ scores
    found = [float((bread @ m @ bread)[0, 0]) for m in (by_jd, by_cv, both)]
    return math.sqrt(max(found)) if max(found) > 0 else math.inf


def _months(rate: float) -> float:
    return 12 / rate if rate > 0 else math.inf


def _text(months: float) -> str:
    return "∞" if math.isinf(months) or months > 9999 else f"{months:.1f}"
