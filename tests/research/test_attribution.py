"""Attribution against scorers whose truth is known, and against plain loops over one pair."""

from contextlib import nullcontext
from dataclasses import replace
from itertools import permutations, product

import jaxtyping
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_chunks import DIM, LENGTHS, SEEDS, padded, random_weights, two_sides, weights_of
from reference import scorers as slow
from scipy.stats import t

from jdcv_core.errors import InputError
from jdcv_core.scoring import MeanPairs
from jdcv_core.types import ChunkVectors
from research.aggregators import pairwise, pooled, readers
from research.attribution import (
    chunk_weights,
    deletion_drop,
    faithfulness,
    methods_of,
    pair_weights,
    top_pairs,
)
from research.chunk_attention import ChunkAttention

METHODS = ("attention", "gradient_times_input", "leave_one_out", "keep_one", "random")
PAIRS = [(1, 1), (1, 3), (3, 1), (2, 2), (4, 3), (3, 4)]
close = torch.testing.assert_close


class Bilinear(torch.nn.Module):
    """f = c + Σ x_i^T W_ik x_k; beyond `places` chunks a side the last W serves for all."""

    def __init__(self, places, seed=0):
        super().__init__()
        self.matrix = torch.nn.Parameter(torch.zeros(places, places, DIM, DIM))
        self.constant = torch.nn.Parameter(torch.zeros(()))
        real(self, seed)

    def terms(self, jd, cv):
        i, k = (torch.arange(s.mask.shape[1]).clamp_max(len(self.matrix) - 1) for s in (jd, cv))
        x, y = (s.vectors * s.mask[..., None] for s in (jd, cv))
        return torch.einsum("pid,ikde,pke->pik", x, self.matrix[i][:, k], y)

    def forward(self, jd, cv):
        return self.constant + self.terms(jd, cv).sum((1, 2))


class Turned(torch.nn.Module):
    """f = Σ g(x_k) with g(x) = x[0] (2 - |x|²): of unit vectors g = x[0], and x . dg/dx = -x[0]."""

    def forward(self, jd, cv):
        return (cv.vectors[..., 0] * (2 - (cv.vectors**2).sum(-1)) * cv.mask).sum(1)


def real(module, seed=0):
    return random_weights(module, seed).double()


def attending(seed=0):
    return real(ChunkAttention(DIM, 2, max_chunks=3, dropout=0.5), seed)


RECURRENT, MAXSIM = real(readers.RecurrentReader(DIM, 5)), real(pairwise.MaxSim(DIM))
SCORERS = [attending(), RECURRENT, real(readers.ParadeTransformer(DIM, 1, 2, 8))]


def sides(lengths, seed=0, dtype=torch.float64, more=(0, 0), noise=None):
    jd, cv = map(padded, two_sides(lengths, seed), [dtype] * 2, more, [noise] * 2)
    return replace(jd, ids=tuple(f"jd:{row}" for row in range(len(lengths)))), cv


def market(seed=0, jds=12):
    """Every JD with three CVs, of 1 to 4 chunks."""
    lengths = np.random.default_rng(seed).integers(1, 5, jds * 3).tolist()
    jd, cv = sides([(2, n) for n in lengths], seed)
    return jd.take(torch.arange(jds).repeat_interleave(3)), cv


def loops(scorer, jd, cv, row):
    """f(i, k), the logit of one pair that has these chunks alone, unpadded; all of its chunks."""

    def alone(side, kept):
        x = side.vectors[row][sorted(kept)][None]
        return ChunkVectors((side.ids[row],), x, torch.ones(x.shape[:2]).bool())

    chunks = (set(range(side.mask[row].sum())) for side in (jd, cv))
    return lambda i, k: scorer(alone(jd, i), alone(cv, k)).item(), *chunks


def slow_drop(one, order, side="cv"):
    f, i, k = one
    rest = [set(order[s:]) for s in range(len(order))]
    scores = [slow.sigmoid(f(r, k) if side == "jd" else f(i, r)) for r in rest]
    return scores[0] - np.mean(scores[1:]) if len(order) > 1 else np.nan


def by_pair(jd, cv, *weights):
    """One row a pair: the weights of its chunk pairs, JD chunks and CV chunks. Padding has 0."""
    masks = jd.mask[:, :, None] & cv.mask[:, None, :], jd.mask, cv.mask
    both = list(zip(weights, masks, strict=True))
    assert all(w.shape == m.shape and (w[~m] == 0).all() for w, m in both)
    return [torch.cat([w[row][m[row]] for w, m in both]) for row in range(len(jd.ids))]


def found(scorer, jd, cv, method, **how):
    asked = scorer, jd, cv, method
    return by_pair(jd, cv, pair_weights(*asked, **how), *chunk_weights(*asked, **how))


@settings(max_examples=12)
@given(LENGTHS, SEEDS)
def test_the_terms_of_a_bilinear_scorer_are_found(lengths, seed):
    """By deleting if W is the same for all places (later chunks move up) and something is left."""
    both = jd, cv = sides(lengths, seed)
    scorer, same = Bilinear(4, seed), Bilinear(1, seed)
    terms = scorer.terms(jd, cv).detach()
    expected = by_pair(jd, cv, terms, terms.sum(2), terms.sum(1))
    close(found(scorer, *both, "gradient_times_input"), expected)
    terms, (of_jd, of_cv) = same.terms(jd, cv).detach(), (s.mask.sum(1, True) > 1 for s in both)
    kept = terms * (of_jd | of_cv)[..., None], terms.sum(2) * of_jd, terms.sum(1) * of_cv
    close(found(same, *both, "leave_one_out"), by_pair(jd, cv, *kept))


@pytest.mark.parametrize("scorer", [*SCORERS, MAXSIM, real(pooled.Pooled(DIM, "random"))])
def test_deleting_and_keeping_equal_plain_loops(scorer):
    both = sides(PAIRS, noise=1)
    left, only = (found(scorer, *both, name) for name in ("leave_one_out", "keep_one"))
    for row in range(len(PAIRS)):
        f, jds, cvs = loops(scorer, *both, row)
        whole, several = f(jds, cvs), len(jds) > 1 and len(cvs) > 1
        of_jd = [whole - f(jds - {i}, cvs) if len(jds) > 1 else 0 for i in jds]
        of_cv = [whole - f(jds, cvs - {k}) if len(cvs) > 1 else 0 for k in cvs]
        pairs = [
            of_jd[i] + of_cv[k] - (whole - f(jds - {i}, cvs - {k}) if several else 0)
            for i, k in product(jds, cvs)
        ]
        assert left[row].tolist() == pytest.approx([*pairs, *of_jd, *of_cv], abs=1e-9)
        alone = [f({i}, {k}) for i, k in product(jds, cvs)]
        alone += [f({i}, cvs) for i in jds] + [f(jds, {k}) for k in cvs]
        assert only[row].tolist() == pytest.approx(alone, abs=1e-9)


@pytest.mark.parametrize("scorer", SCORERS)
def test_the_gradient_is_how_the_logit_changes_when_chunks_are_stretched(scorer):
    """x_i . df/dx_i = df/ds and x_i^T (d²f/dx_i dx_k) x_k = d²f/ds dt of f(s x_i, t x_k)."""
    both, h, near = sides(PAIRS), 1e-3, {"atol": 1e-5, "rtol": 0}
    pairs = pair_weights(scorer, *both, "gradient_times_input")
    of_jd, of_cv = chunk_weights(scorer, *both, "gradient_times_input")

    def f(*changes):
        x, y = (side.vectors.clone() for side in both)
        x[:, i] *= 1 + changes[0]
        y[:, k] *= 1 + changes[1]
        return scorer(replace(both[0], vectors=x), replace(both[1], vectors=y)).detach()

    for i, k in product(range(4), range(4)):
        close(of_jd[:, i], (f(h, 0) - f(-h, 0)) / (2 * h), **near)
        close(of_cv[:, k], (f(0, h) - f(0, -h)) / (2 * h), **near)
        mixed = f(h, h) - f(h, -h) - f(-h, h) + f(-h, -h)
        close(pairs[:, i, k], mixed / (4 * h * h), **near)


@settings(max_examples=20)
@given(LENGTHS, SEEDS)
def test_attention_is_that_of_the_scorer_and_sums_to_1(lengths, seed):
    rows = found(attending(seed), *sides(lengths, seed), "attention")
    for weights, jd, cv in zip(rows, *two_sides(lengths, seed), strict=True):
        pairs, of_jd, of_cv = weights.split([len(jd) * len(cv), len(jd), len(cv)])
        plain = slow.cross_attention(weights_of(attending(seed)), 2, jd.tolist(), cv.tolist())
        close(pairs, torch.tensor(plain).double().flatten() / len(jd), atol=1e-6, rtol=0)
        assert [pairs.sum(), *of_jd] == pytest.approx([1] + [1 / len(jd)] * len(jd))
        close(of_cv, pairs.reshape(len(jd), len(cv)).sum(0))


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=5)
@given(LENGTHS, SEEDS, st.tuples(st.integers(0, 2), st.integers(0, 2)), st.integers(1, 7))
def test_neither_batch_nor_padding_nor_at_most_changes_a_weight(method, lengths, seed, more, most):
    scorer, wide, read = attending(seed), sides(lengths, seed, more=more), []
    for side in wide:
        side.vectors[~side.mask] = torch.nan
    whole = found(scorer, *sides(lengths, seed), method)
    scorer.register_forward_pre_hook(lambda _, sides: read.append(len(sides[0].ids)))
    close(found(scorer, *wide, method, at_most=most), whole)
    assert max(read, default=0) <= most
    for row, weights in enumerate(whole):
        close(found(scorer, *(side.take(torch.tensor([row])) for side in wide), method), [weights])


def test_random_weights_hang_on_the_ids_and_the_seed_alone():
    first, same, other = (
        torch.cat(found(scorer, *sides(PAIRS, of), "random", seed=seed))
        for scorer, of, seed in ((MAXSIM, 0, 0), (RECURRENT, 5, 0), (MAXSIM, 0, 1))
    )
    assert 0 <= first.min() < 0.1 < 0.9 < first.max() < 1
    assert (same == first).all()
    assert (other != first).all()


@pytest.mark.parametrize("mode", [nullcontext, torch.no_grad, torch.inference_mode])
def test_a_training_scorer_is_read_without_dropout_and_left_as_it_was(mode):
    scorer, (jd, cv) = attending(), sides(PAIRS)

    def asked():
        figures = faithfulness(scorer, jd, cv, draws=2, replicates=10)
        drop = deletion_drop(scorer, jd, cv, cv.vectors[..., 0])
        return [found(scorer, jd, cv, m) for m in METHODS], drop.nan_to_num(), figures

    def state():
        parameters = [
            (p.detach().clone(), p.requires_grad, p.grad is not None and p.grad.clone())
            for p in scorer.parameters()
        ]
        return parameters, [module.training for module in scorer.modules()]

    calm = asked()
    scorer.train().requires_grad_().pool_cv.eval()
    scorer.head.bias.requires_grad_(False)
    scorer.head.scale.grad = torch.ones(1).double()
    before = state()
    with mode():
        close(asked(), calm)
    close(state(), before)
    scorer.head.forward = None  # nor does an error change the mode
    with pytest.raises(TypeError):
        chunk_weights(scorer, jd, cv, "keep_one")
    assert state()[1] == before[1]


@pytest.mark.parametrize("side", ["jd", "cv"])
def test_the_deletion_drop_equals_plain_loops(side):
    both = sides(PAIRS, more=(1, 2), noise=1)
    mask = both[side == "cv"].mask
    weights = torch.randn(mask.shape, generator=torch.Generator().manual_seed(0))
    weights[~mask] = torch.tensor([torch.nan, torch.inf, 9.0]).repeat(9)[: (~mask).sum()]
    drops = deletion_drop(RECURRENT, *both, weights, side=side, at_most=3)
    for row, drop in enumerate(drops.tolist()):
        order = (-weights[row][mask[row]]).argsort().tolist()
        expected = slow_drop(loops(RECURRENT, *both, row), order, side)
        assert drop == pytest.approx(expected, nan_ok=True)  # nan where one chunk


@pytest.mark.parametrize("renamed", [0, 1])
@pytest.mark.parametrize("first", [(0, 1, 2), (1,)])
def test_ties_take_every_order_by_the_ids_of_either_side_and_the_seed(renamed, first):
    pair, many = sides([(2, 3)]), [side.take(torch.zeros(80).long()) for side in sides([(2, 3)])]
    many[renamed] = replace(many[renamed], ids=tuple(f"x:{row}" for row in range(80)))
    tied = torch.tensor([float(k in first) for k in range(3)]).expand(80, 3)
    drops = deletion_drop(RECURRENT, *many, tied)
    orders = [order for order in permutations(range(3)) if order[0] in first]
    expected = [slow_drop(loops(RECURRENT, *pair, 0), order) for order in orders]
    assert {round(d, 7) for d in drops.tolist()} == {round(d, 7) for d in expected}
    some = torch.arange(60).flip(0)[::7]
    close(deletion_drop(RECURRENT, *(s.take(some) for s in many), tied[some]), drops[some])
    assert not torch.allclose(deletion_drop(RECURRENT, *many, tied, seed=1), drops)


def test_faithfulness_finds_the_planted_order_and_what_turns_it_round():
    """The right order falls fastest of all orders, its reverse slowest, a random one between."""
    scorer, (jd, cv) = Turned(), market()
    cv = replace(cv, vectors=torch.nn.functional.normalize(cv.vectors, dim=-1))
    each = [loops(scorer, jd, cv, row) for row in range(36) if cv.mask[row].sum() > 1]
    every = [[slow_drop(one, order) for order in permutations(one[2])] for one in each]
    figures = faithfulness(scorer, jd, cv, draws=100)
    assert list(figures) == ["gradient_times_input", "leave_one_out", "keep_one", "random"]
    for method, extreme, sign in (("leave_one_out", max, 1), ("gradient_times_input", min, -1)):
        drops = deletion_drop(scorer, jd, cv, sign * cv.vectors[..., 0])
        assert drops[~drops.isnan()].tolist() == pytest.approx([extreme(d) for d in every])
        assert figures[method]["aopc"] == pytest.approx(drops.nanmean().item())
        gain = drops.nanmean().item() - np.mean([np.mean(d) for d in every])
        assert figures[method]["against_random"] == pytest.approx(gain, abs=0.005)
    assert figures["leave_one_out"]["low"] > 0.02
    assert figures["gradient_times_input"]["high"] < -0.02
    assert figures["random"]["low"] < 0 < figures["random"]["high"]
    again, other = (faithfulness(scorer, jd, cv, draws=100, seed=seed) for seed in (0, 1))
    assert again == figures
    assert all(other[m]["against_random"] != figures[m]["against_random"] for m in figures)


def test_the_interval_is_over_jds():
    """Against the variance of a ratio of sums over JDs, from the gain of each pair by itself."""

    def line(*rows, level=0.95):
        both = (side.take(torch.tensor(rows)) for side in market(jds=8))
        return faithfulness(Bilinear(1), *both, ["keep_one"], level=level)["keep_one"]

    gains = np.array([line(row)["against_random"] for row in range(24)]).reshape(8, 3)
    gains = gains[~np.isnan(gains).all(1)]  # nan where one chunk
    pairs, mean, jds = (~np.isnan(gains)).sum(1), np.nanmean(gains), len(gains)
    parts = np.nansum(gains - mean, 1) / pairs.sum()
    se, df = np.sqrt(jds / (jds - 1) * (parts**2).sum()), pairs.sum() ** 2 / (pairs**2).sum() - 1
    for rows, level in ((range(24), 0.95), (range(23, -1, -1), 0.5), ([*range(24)] * 2, 0.9)):
        low, high = (line(*rows, level=level)[name] for name in ("low", "high"))
        assert (low + high) / 2 == pytest.approx(mean)
        assert (high - low) / 2 == pytest.approx(t.ppf((1 + level) / 2, df) * se, rel=0.04)


def test_where_nothing_can_be_said_the_figures_are_nan():
    both, names = sides([(2, 1), (4, 1)]), ("aopc", "against_random", "low", "high")
    none = faithfulness(SCORERS[0], *both)
    assert {method: tuple(line) for method, line in none.items()} == dict.fromkeys(METHODS, names)
    assert np.isnan([list(line.values()) for line in none.values()]).all()
    of_jd = faithfulness(MAXSIM, *both, ["keep_one"], side="jd")["keep_one"]
    weights, _ = chunk_weights(MAXSIM, *both, "keep_one")
    drops = deletion_drop(MAXSIM, *both, weights, side="jd")
    assert of_jd["aopc"] == pytest.approx(drops.mean().item())
    one_jd = faithfulness(MAXSIM, *market(jds=1), ["keep_one"])["keep_one"]
    for line, known in ((of_jd, names), (one_jd, names[:2])):
        assert [name for name in names if not np.isnan(line[name])] == list(known)


@settings(max_examples=20)
@given(LENGTHS, SEEDS, st.integers(1, 18))
def test_top_pairs_equal_a_plain_sort(lengths, seed, count):
    jd, cv = sides(lengths, seed, more=(1, 0))
    shape = len(lengths), jd.mask.shape[1], cv.mask.shape[1]
    weights = torch.randint(-2, 2, shape, generator=torch.Generator().manual_seed(seed)).double()
    tops = top_pairs(weights, jd.mask, cv.mask, count)
    for top, own, (n, m) in zip(tops, weights, lengths, strict=True):
        order = sorted(product(range(n), range(m)), key=lambda ik: (-own[ik], ik))
        expected = order[:count] + [(-1, -1)] * (count - n * m)
        assert top.tolist() == [list(ik) for ik in expected]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scorer", [pairwise.MaxSim, MeanPairs, pairwise.PooledPairs])
def test_the_gradient_is_exactly_0_where_lengths_have_no_effect(scorer, dtype):
    scorer, both = random_weights(scorer(DIM)).to(dtype), sides(PAIRS, dtype=dtype)
    assert not torch.cat(found(scorer, *both, "gradient_times_input")).any()
    assert torch.cat(found(scorer, *both, "leave_one_out")).abs().max() > 0.01


def test_wrong_questions_are_refused(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # it would refuse a side first
    jd, cv = sides(PAIRS)
    assert methods_of(SCORERS[0]) == METHODS
    assert methods_of(ChunkAttention(DIM, 2, cross_jd=False)) == methods_of(MAXSIM) == METHODS[1:]

    def refused(error, message, ask, *more, of=cv, **how):
        with pytest.raises(error, match=message):
            ask(MAXSIM, jd, of, *more, **how)

    for ask, wrap in ((pair_weights, str), (chunk_weights, str), (faithfulness, lambda m: [m])):
        refused(InputError, "[Dd]id you mean 'leave_one_out'", ask, wrap("leave_one_ou"))
        refused(InputError, "MaxSim has no attention .* leave_one_out", ask, wrap("attention"))
        refused(ValueError, "6 JDs for 2", ask, wrap("random"), of=cv.take(torch.arange(2)))
        refused(ValueError, "at_most .* at least 1", ask, wrap("random"), at_most=0)
    for ask, more in ((deletion_drop, [cv.vectors[..., 0]]), (faithfulness, [])):
        refused(ValueError, "no side 'CV', only cv and jd", ask, *more, side="CV")
    for name in ("draws", "replicates"):
        refused(ValueError, "must be at least 1, got .*0", faithfulness, **{name: 0})
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        top_pairs(torch.zeros(6, 4, 4), jd.mask, cv.mask, 0)
