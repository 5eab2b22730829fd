import math

import numpy as np
import pytest
import torch
from hypothesis import given

from jdcv_core.errors import InputError
from jdcv_core.scoring import MeanPairs
from jdcv_core.types import ChunkVectors
from research.attribution import chunk_weights
from research.chunk_attention import ChunkAttention
from research.experience.scorers import ExperienceWeighted, MonthWeights, WeightedChunkAttention
from research.experience.weights import FAMILY
from tests.random_chunks import DIM, LENGTHS, SEEDS, padded, random_weights, two_sides


def with_months(matrices, seed, more=0, dated=0.7):
    """CVs with random months; a share of the chunks is of no dated experience."""
    rng = np.random.default_rng(seed)
    cv = padded(matrices, torch.float64, more, noise=seed if more else None)
    known = torch.full((*cv.mask.shape, 4), math.nan, dtype=torch.float64)
    for row, matrix in enumerate(matrices):
        for chunk in range(len(matrix)):
            known[row, chunk, 2] = 1 / int(rng.integers(1, 4))
            if rng.random() < dated:
                known[row, chunk, 0] = int(rng.integers(1, 100))
                known[row, chunk, 1] = int(rng.integers(0, 200))
    return ChunkVectors(cv.ids, cv.vectors, cv.mask, known)


def sides(lengths, seed, more=0):
    jds, cvs = two_sides(lengths, seed)
    jd = padded(jds, torch.float64, more, noise=seed if more else None)
    return jd, with_months(cvs, seed, more)


def scorer(kind, seed=0, **options):
    made = kind(DIM, **options).double()
    return random_weights(made, seed) if seed else made.eval()


def weight_by_hand(months: MonthWeights, known):
    """One chunk, in plain floats."""
    duration, recency, share = known[:3]
    if math.isnan(duration):
        return share
    one = [torch.tensor([x], dtype=torch.float64) for x in (duration, recency, 24.0, 0.0)]
    ratio = (months.f(one[0], one[1]) / months.f(one[2], one[3])).item()
    return math.exp(30 * months.scale.item()) * ratio * share


def score_by_hand(model, jd, cv, row):
    """The formula of each way to combine, in loops."""

    def p(i, k):
        return model.head(jd.vectors[row, i], cv.vectors[row, k]).item()

    i_real = range(int(jd.mask[row].sum()))
    k_real = range(int(cv.mask[row].sum()))
    w = [weight_by_hand(model.months, cv.months[row, k].tolist()) for k in k_real]
    if model.combine == "mean":
        each = [sum(w[k] / (1 + math.exp(-p(i, k))) for k in k_real) / sum(w) for i in i_real]
        return sum(each) / len(each)
    if model.combine == "vectors":
        u = jd.vectors[row, list(i_real)].mean(0)
        v = sum(w[k] * cv.vectors[row, k] for k in k_real) / sum(w)
        return torch.sigmoid(model.head(u, v)).item()
    asks = [math.exp(model.asks(jd.vectors[row, i]).item()) for i in i_real]
    found = 0.0
    for i in i_real:
        none = 1.0
        for k in k_real:
            none *= (1 - 1 / (1 + math.exp(-(p(i, k) + model.offset.item())))) ** w[k]
        found += asks[i] / sum(asks) * (1 - none)
    return found


@pytest.mark.parametrize("combine", ["mean", "any", "vectors"])
@given(lengths=LENGTHS, seed=SEEDS)
def test_it_equals_plain_loops(combine, lengths, seed):
    model = scorer(ExperienceWeighted, 1, combine=combine)
    with torch.no_grad():
        model.months.scale.mul_(0.05)
        model.months.f.moved.mul_(0.05)
    jd, cv = sides(lengths, seed)
    scores = model(jd, cv).sigmoid()
    for row in range(len(lengths)):
        assert scores[row].item() == pytest.approx(score_by_hand(model, jd, cv, row), abs=2e-6)


@pytest.mark.parametrize("kind", [ExperienceWeighted, WeightedChunkAttention])
@given(lengths=LENGTHS, seed=SEEDS)
def test_padding_changes_nothing(kind, lengths, seed):
    model = scorer(kind, 2)
    with torch.no_grad():
        for name, parameter in model.months.named_parameters():
            parameter.mul_(0.05 if name else 1)
    plain, more = sides(lengths, seed), sides(lengths, seed, more=3)
    torch.testing.assert_close(model(*more), model(*plain))


@given(lengths=LENGTHS, seed=SEEDS)
def test_uniform_with_one_chunk_a_segment_is_the_baseline(lengths, seed):
    jd, cv = sides(lengths, seed)
    cv.months[..., 2] = 1.0
    model, baseline = scorer(ExperienceWeighted, f="uniform"), scorer(MeanPairs)
    torch.testing.assert_close(model(jd, cv).sigmoid(), baseline(jd, cv).sigmoid())


@given(lengths=LENGTHS, seed=SEEDS)
def test_uniform_chunk_attention_is_chunk_attention(lengths, seed):
    jd, cv = sides(lengths, seed)
    cv.months[..., 2] = 1.0
    model = random_weights(WeightedChunkAttention(DIM, f="uniform").double(), 3)
    with torch.no_grad():
        model.months.scale.zero_()
    plain = ChunkAttention(DIM).double().eval()
    plain.load_state_dict({k: v for k, v in model.state_dict().items() if "months" not in k})
    torch.testing.assert_close(model(jd, cv), plain(jd, cv))


@given(seed=SEEDS)
def test_a_weight_of_two_is_the_chunk_twice(seed):
    """In the mean, and in chunk attention that does not read the order."""
    jd, cv = sides([(2, 3)], seed)
    cv.months[..., :2] = math.nan
    cv.months[..., 2] = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64)
    order = [0, 1, 1, 2]
    known = cv.months[:, order].clone()
    known[..., 2] = 1.0
    twice = ChunkVectors(cv.ids, cv.vectors[:, order], cv.mask[:, order], known)
    mean = scorer(ExperienceWeighted, 4)
    torch.testing.assert_close(mean(jd, cv), mean(jd, twice))
    attention = scorer(WeightedChunkAttention, 5)
    with torch.no_grad():
        attention.position.zero_()
    y_once, y_twice = attention(jd, cv), attention(jd, twice)
    torch.testing.assert_close(y_once, y_twice)


@pytest.mark.parametrize("name", list(FAMILY))
def test_every_f_is_trained_where_it_has_something_to_learn(name):
    jd, cv = sides([(2, 4), (3, 4), (1, 3)], 7)
    model = scorer(ExperienceWeighted, f=name)
    random_weights(model.head, 1)
    model(jd, cv).sum().backward()
    learnt = [p for p in model.months.f.parameters() if p.requires_grad]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in learnt)


def test_without_months_it_says_what_to_do():
    jd, cv = sides([(1, 2)], 0)
    with pytest.raises(ValueError, match="chunking.by=experience"):
        ExperienceWeighted(DIM)(jd, ChunkVectors(cv.ids, cv.vectors, cv.mask))
    with pytest.raises(InputError, match="no such way"):
        ExperienceWeighted(DIM, combine="sum")
    with pytest.raises(InputError, match="no such weight"):
        ExperienceWeighted(DIM, f="recent")


def test_attributions_keep_the_months_of_the_chunks_they_leave():
    """Leaving a chunk out is scoring the CV without it, months and all."""
    jd, cv = sides([(2, 3)], 8)
    model = scorer(ExperienceWeighted, 6)
    with torch.no_grad():
        model.months.scale.mul_(0.05)
        model.months.f.moved.mul_(0.05)
    _, found = chunk_weights(model, jd, cv, "leave_one_out")
    whole = model(jd, cv)
    for chunk in range(3):
        kept = [k for k in range(3) if k != chunk]
        rest = ChunkVectors(cv.ids, cv.vectors[:, kept], cv.mask[:, kept], cv.months[:, kept])
        expected = (whole - model(jd, rest)).item()
        assert found[0, chunk].item() == pytest.approx(expected, abs=1e-6)
