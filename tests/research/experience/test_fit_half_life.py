import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from jdcv_core.data.demo.generate import demo_corpus
from jdcv_core.data.demo.latent import NOW
from jdcv_core.errors import InputError
from jdcv_core.types import Document, Pair
from research.experience.fit_half_life import (
    CareerEvidence,
    HalfLife,
    career_evidence,
    fit_half_life,
    predicted,
)


def planted(rate, seed, pairs=1500, noise=0.1):
    """Evidence whose targets are the model's own predictions at a known rate, with noise."""
    rng = np.random.default_rng(seed)
    shape = (pairs, 6, 5)
    share = torch.from_numpy(np.where(rng.random(shape) < 0.3, rng.uniform(0.5, 1, shape), 0.05))
    duration = torch.from_numpy(rng.integers(6, 60, (pairs, 5)).astype(float))
    recency = torch.from_numpy(rng.integers(0, 180, (pairs, 5)).astype(float))
    lines = torch.ones(pairs, 6, dtype=torch.bool)
    theta = torch.tensor([rate, 0.5, 2.5, -2.5, 2.0, 0.45, 0.0], dtype=torch.float64)
    rest = torch.from_numpy(np.random.default_rng([seed, 1]).integers(0, 8, pairs).astype(float))
    targets = predicted(theta, share, duration, recency, lines, rest)
    targets = (targets + torch.from_numpy(rng.normal(0, noise, pairs))).float()
    jds, cvs = rng.integers(0, 60, pairs), rng.integers(0, 80, pairs)
    return CareerEvidence(
        share.float(), duration.float(), recency.float(), lines, rest.float(), targets, jds, cvs
    )


@pytest.mark.parametrize("months", [24.0, 60.0])
def test_a_planted_half_life_is_found(months):
    found = fit_half_life(planted(12 / months, seed=1))
    assert found.months == pytest.approx(months, rel=0.1)
    assert found.low < months < found.high
    assert found.loss < found.loss_without_age


def test_where_age_does_not_matter_the_interval_is_open():
    found = fit_half_life(planted(0.0, seed=2))
    assert found.high == math.inf
    assert "∞" in str(found)
    assert found.loss <= found.loss_without_age


def test_age_never_makes_the_fit_worse():
    """Also where labels have nothing to do with the evidence, and few pairs have many minima."""
    for seed in range(3):
        evidence = planted(0.2, seed, pairs=60)
        drawn = np.random.default_rng(seed).choice([0, 0.5, 1], 60)
        found = fit_half_life(replace(evidence, targets=torch.from_numpy(drawn).float()))
        assert found.loss <= found.loss_without_age + 1e-9


@pytest.mark.slow
def test_the_error_is_about_the_spread_of_the_estimates():
    """Its ratio to the standard deviation over 16 draws of the noise lies near 1."""
    found = [fit_half_life(planted(0.3, seed, pairs=300)) for seed in range(16)]
    spread = np.std([f.rate for f in found], ddof=1)
    assert 0.6 < np.mean([f.error for f in found]) / spread < 1.7


def test_the_interval_in_months():
    one = HalfLife(rate=0.5, error=0.05, loss=0.1, loss_without_age=0.2, pairs=10)
    assert (one.months, round(one.low, 1), round(one.high, 1)) == (24.0, 20.1, 29.9)
    assert str(one) == "24.0 months [20.1, 29.9]"
    older = HalfLife(rate=-0.5, error=0.05, loss=0.1, loss_without_age=0.2, pairs=10)
    assert str(older) == "none: older experiences count more"


def test_evidence_is_the_share_of_a_line_that_an_experience_holds():
    cv = Document(
        "cv:1", "Experience\nCook, 2010-2012, A\nSoup and bread.\nWaiter, 2014-2016, B\nWine."
    )
    jd = Document(
        "jd:1", "Makes soup and bread daily\nFree parking downtown\nServes wine to guests"
    )
    pair = Pair("cv:1", "jd:1", 2)
    evidence = career_evidence({"cv:1": cv, "jd:1": jd}, [pair], 24240 + 12)
    assert evidence.share.shape == (1, 2, 2)
    assert evidence.rest.tolist() == [1]
    soup, wine = evidence.share[0]
    assert soup[0] > soup[1] == 0
    assert wine[1] > wine[0] == 0
    assert evidence.duration.tolist() == [[24, 24]]
    assert evidence.recency.tolist() == [[108, 60]]
    assert evidence.targets.tolist() == [1.0]
    with pytest.raises(InputError, match="no CV has a dated experience"):
        career_evidence({"cv:1": Document("cv:1", "Cook."), "jd:1": jd}, [pair], 24240)


@pytest.mark.slow
@pytest.mark.parametrize("months", [24.0, 48.0])
def test_the_half_life_of_the_demo_corpus_is_recovered(months):
    """Within 20% on average over three corpora, and every interval holds it."""
    found = []
    for seed in range(3):
        data = demo_corpus(half_life=months, seed=seed)
        found.append(fit_half_life(career_evidence(data.documents, data.pairs, NOW)))
    assert np.mean([f.months for f in found]) == pytest.approx(months, rel=0.2)
    assert all(f.low < months < f.high for f in found)


def test_the_score_equals_the_formula_in_loops():
    evidence, theta = planted(0.3, seed=5, pairs=6), (0.4, 0.2, 2.0, -1.0, 0.5, 0.4, 1.5)
    evidence.lines[2:, 4:] = False
    rate, log_c, log_k, offset, log_slope, threshold, favour = theta
    found = predicted(
        torch.tensor(theta), evidence.share, evidence.duration, evidence.recency, evidence.lines,
        evidence.rest,
    )  # fmt: skip
    for pair in range(6):
        covered, asked = [], []
        for line in range(int(evidence.lines[pair].sum())):
            shares = evidence.share[pair, line].tolist()
            months = zip(
                shares,
                evidence.duration[pair].tolist(),
                evidence.recency[pair].tolist(),
                strict=True,
            )
            held = sum(
                math.log(1 + d / 12) * 0.5 ** (rate * a / 12)
                / (1 + math.exp(-math.exp(log_k) * (p - threshold)))
                for p, d, a in months
            )  # fmt: skip
            covered.append(1 - math.exp(-math.exp(log_c) * held))
            asked.append(math.exp(favour * max(shares)))
        every = sum(asked) + evidence.rest[pair].item()
        mean = sum(a * c for a, c in zip(asked, covered, strict=True)) / every
        logit = offset + math.exp(log_slope) * mean
        assert found[pair].item() == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-5)
