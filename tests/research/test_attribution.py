"""Attributions of scorers with known effects are right, and equal plain loops over one pair."""

from contextlib import nullcontext
from dataclasses import replace
from itertools import product

import jaxtyping
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from known_scorers import (
    MAXSIM,
    PAIRS,
    RECURRENT,
    SCORERS,
    Bilinear,
    attending,
    loops,
    real,
    sides,
)
from random_chunks import DIM, LENGTHS, SEEDS, random_weights, two_sides, weights_of
from reference import scorers as slow
from thorough import examples

from jdcv_core.errors import InputError
from jdcv_core.scoring import MeanPairs
from research.aggregators import pairwise, pooled
from research.attribution import chunk_weights, methods_of, pair_weights
from research.chunk_attention import ChunkAttention
from research.deletion_test import deletion_drop, faithfulness

METHODS = ("attention", "gradient_times_input", "leave_one_out", "keep_one", "random")
close = torch.testing.assert_close


def by_pair(jd, cv, *weights):
    """Join the weights of chunk pairs, JD chunks and CV chunks, a row per pair; padding has 0."""
    masks = jd.mask[:, :, None] & cv.mask[:, None, :], jd.mask, cv.mask
    both = list(zip(weights, masks, strict=True))
    assert all(w.shape == m.shape and (w[~m] == 0).all() for w, m in both)
    return [torch.cat([w[row][m[row]] for w, m in both]) for row in range(len(jd.ids))]


def found(scorer, jd, cv, method, **how):
    asked = scorer, jd, cv, method
    return by_pair(jd, cv, pair_weights(*asked, **how), *chunk_weights(*asked, **how))


@settings(max_examples=examples(12))
@given(LENGTHS, SEEDS)
def test_the_terms_of_a_bilinear_scorer_are_found(lengths, seed):
    """Deletion finds them if W is the same for all positions, as later chunks move up."""
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
def test_the_gradient_is_the_change_of_the_logit_when_chunks_are_scaled(scorer):
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


@settings(max_examples=examples(6))
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
@settings(max_examples=examples(5))
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


def test_random_weights_depend_on_the_ids_and_the_seed_alone():
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
    scorer.head.forward = None  # an error does not change the mode either
    with pytest.raises(TypeError):
        chunk_weights(scorer, jd, cv, "keep_one")
    assert state()[1] == before[1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scorer", [pairwise.MaxSim, MeanPairs, pairwise.PooledPairs])
def test_the_gradient_is_exactly_0_where_lengths_have_no_effect(scorer, dtype):
    scorer, both = random_weights(scorer(DIM)).to(dtype), sides(PAIRS, dtype=dtype)
    assert not torch.cat(found(scorer, *both, "gradient_times_input")).any()
    assert torch.cat(found(scorer, *both, "leave_one_out")).abs().max() > 0.01


def test_invalid_arguments_are_refused(monkeypatch):
    # Otherwise jaxtyping would refuse the side before our check does.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
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
        refused(ValueError, "side 'CV' is unknown: give cv or jd", ask, *more, side="CV")
    for name in ("draws", "replicates"):
        refused(ValueError, "must be at least 1, got .*0", faithfulness, **{name: 0})
