"""Chunk attention equals plain loops; padding and batches do not change its logit."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_chunks import (
    DIM,
    LENGTHS,
    SEEDS,
    documents,
    padded,
    random_weights,
    scattered,
    two_sides,
    weights_of,
)
from reference import scorers as slow
from thorough import examples

from jdcv_core.losses import sigmoid_mse
from jdcv_core.scoring import count_parameters
from jdcv_core.types import ChunkVectors
from research.chunk_attention import ChunkAttention

TERMS = ("self_cv", "self_jd", "cross_cv", "cross_jd")
COMBINATIONS = [dict(zip(TERMS, on, strict=True)) for on in product((False, True), repeat=4)]
MAX_CHUNKS = 3  # less than the chunks of the longest document


def only(*names):
    return {term: term in names for term in TERMS}


def model_of(seed=0, heads=2, position=False, **terms):
    model = ChunkAttention(DIM, heads, position=position, max_chunks=MAX_CHUNKS, **terms)
    return random_weights(model, seed)


def expected(model, jds, cvs, heads):
    weights = weights_of(model)
    return [
        slow.chunk_attention(weights, heads, jd.tolist(), cv.tolist())
        for jd, cv in zip(jds, cvs, strict=True)
    ]


@pytest.mark.parametrize("position", [False, True])
@pytest.mark.parametrize("terms", COMBINATIONS, ids=lambda t: "+".join(n for n in t if t[n]) or "-")
@settings(max_examples=examples(6))
@given(LENGTHS, SEEDS, st.sampled_from([1, 2, 4]))
def test_every_combination_equals_plain_loops(terms, position, lengths, seed, heads):
    model = model_of(seed, heads, position, **terms).double()
    jds, cvs = two_sides(lengths, seed)
    if position:  # a position belongs to a slot, so real chunks come first
        sides = padded(jds, torch.float64), padded(cvs, torch.float64, more=2)
    else:
        sides = scattered(jds, 5, seed), scattered(cvs, 6, seed)
    logits = model(*sides).detach()
    np.testing.assert_allclose(logits, expected(model, jds, cvs, heads), atol=1e-9)


@settings(max_examples=examples(8))
@given(LENGTHS, SEEDS, st.booleans())
def test_cross_attention_equals_plain_loops_and_its_rows_sum_to_1(lengths, seed, position):
    model = model_of(seed, 2, position).double()
    jds, cvs = two_sides(lengths, seed)
    maps = model.cross_attention(padded(jds, torch.float64), padded(cvs, torch.float64, more=1))
    assert maps.shape == (len(jds), max(map(len, jds)), max(map(len, cvs)) + 1)
    torch.testing.assert_close(maps.sum(-1), torch.ones(maps.shape[:2], dtype=torch.float64))
    for pair, (jd, cv) in enumerate(zip(jds, cvs, strict=True)):
        plain = slow.cross_attention(weights_of(model), 2, jd.tolist(), cv.tolist())
        np.testing.assert_allclose(maps[pair, : len(jd), : len(cv)], plain, atol=1e-9)
        assert bool((maps[pair, :, len(cv) :] == 0).all())


@settings(max_examples=examples(8))
@given(LENGTHS, SEEDS, st.integers(0, 3), st.integers(0, 3), SEEDS, st.booleans())
def test_padding_never_changes_a_logit(lengths, seed, more_jd, more_cv, noise, position):
    model = model_of(seed, position=position)
    jds, cvs = two_sides(lengths, seed)
    spoilt = model(padded(jds, more=more_jd, noise=noise), padded(cvs, more=more_cv, noise=noise))
    torch.testing.assert_close(spoilt, model(padded(jds), padded(cvs)), atol=1e-5, rtol=0)


@settings(max_examples=examples(8))
@given(LENGTHS, SEEDS, st.booleans())
def test_the_batch_never_changes_a_logit(lengths, seed, position):
    model = model_of(seed, position=position)
    jds, cvs = two_sides(lengths, seed)
    alone = [model(padded([jd]), padded([cv])) for jd, cv in zip(jds, cvs, strict=True)]
    whole = model(padded(jds), padded(cvs))
    torch.testing.assert_close(torch.cat(alone), whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("terms", COMBINATIONS, ids=lambda t: "+".join(n for n in t if t[n]) or "-")
def test_one_document_with_many_has_the_logits_of_each_pair(terms):
    """What is computed of the one document is computed once."""
    rng = np.random.default_rng(0)
    sides = [[rng.standard_normal((n, DIM)).astype("f4") for n in (3, 1, 2)] for _ in range(2)]
    model = model_of(position=True, **terms).eval()
    for one in (0, 1):
        matrices = {f"{side}:{n}": own for side in (0, 1) for n, own in enumerate(sides[side])}
        ids = [[f"{side}:{0 if side == one else n}" for n in range(3)] for side in (0, 1)]
        together = [ChunkVectors.pad(matrices, own) for own in ids]
        assert together[one].vectors.stride(0) == 0
        pairs = [[ChunkVectors.pad(matrices, [i]) for i in own] for own in ids]
        alone = torch.cat([model(*pair) for pair in zip(*pairs, strict=True)])
        torch.testing.assert_close(model(*together), alone, atol=1e-5, rtol=0)
        if "cross_jd" in model.terms:
            assert model.cross_attention(*together).shape[0] == 3


@settings(max_examples=examples(8))
@given(LENGTHS, SEEDS, st.randoms(use_true_random=False))
def test_without_positions_the_order_of_chunks_never_changes_a_logit(lengths, seed, random):
    model = model_of(seed)
    jds, cvs = two_sides(lengths, seed)
    shuffled = [
        [matrix[random.sample(range(len(matrix)), len(matrix))] for matrix in side]
        for side in (jds, cvs)
    ]
    whole = model(padded(jds), padded(cvs))
    torch.testing.assert_close(model(*map(padded, shuffled)), whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("terms", COMBINATIONS, ids=lambda t: "+".join(n for n in t if t[n]) or "-")
def test_with_trained_positions_the_order_of_either_side_has_an_effect(terms):
    model = model_of(position=True, **terms)
    (jd,), (cv,) = two_sides([(3, 3)], 0)
    logit = model(padded([jd]), padded([cv])).item()
    assert model(padded([jd[::-1].copy()]), padded([cv])).item() != pytest.approx(logit, abs=1e-5)
    assert model(padded([jd]), padded([cv[::-1].copy()])).item() != pytest.approx(logit, abs=1e-5)


def test_chunks_after_the_last_position_share_it():
    model = model_of(position=True)
    (jd,), (cv,) = two_sides([(2, 6)], 0)
    swapped = cv[[0, 1, 5, 4, 3, 2]]  # slots 2 to 5 share position 2
    logit = model(padded([jd]), padded([cv]))
    torch.testing.assert_close(model(padded([jd]), padded([swapped])), logit, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", TERMS)
def test_each_term_alone_changes_the_logit(name):
    full = model_of()
    jds, cvs = two_sides([(2, 3), (1, 1), (4, 2)], 0)
    logits = []
    for terms in (only(), only(name)):
        model = ChunkAttention(DIM, 2, position=False, **terms).eval()
        model.load_state_dict({k: full.state_dict()[k] for k in model.state_dict()})
        logits.append(model(padded(jds), padded(cvs)))
    assert ((logits[0] - logits[1]).abs() > 1e-3).all()


@pytest.mark.parametrize("position", [False, True])
@pytest.mark.parametrize("terms", [only(), only(*TERMS), only("self_cv", "cross_jd")])
def test_untrained_it_is_the_head_on_mean_vectors(terms, position):
    model = ChunkAttention(DIM, position=position, **terms).eval()
    jds, cvs = two_sides([(2, 3), (1, 1), (4, 2)], 0)
    jd, cv = (torch.tensor(np.stack([x.mean(0) for x in side])).float() for side in (jds, cvs))
    torch.testing.assert_close(model(padded(jds), padded(cvs)), model.head(jd, cv))


def test_the_untrained_logit_ignores_dropout_and_a_trained_one_does_not():
    jd, cv = (padded(side) for side in two_sides([(4, 4)], 0))
    fresh = ChunkAttention(DIM, dropout=0.5)
    torch.testing.assert_close(fresh.train()(jd, cv), fresh.eval()(jd, cv))
    trained = random_weights(ChunkAttention(DIM, dropout=0.5))
    torch.manual_seed(0)
    assert trained.train()(jd, cv).item() != pytest.approx(trained.eval()(jd, cv).item(), abs=1e-4)
    torch.testing.assert_close(trained.eval()(jd, cv), trained.eval()(jd, cv), rtol=0, atol=0)


@pytest.mark.parametrize("terms", COMBINATIONS, ids=lambda t: "+".join(n for n in t if t[n]) or "-")
def test_after_one_step_no_parameter_is_dead(terms):
    model = ChunkAttention(DIM, max_chunks=3, **terms)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    jd, cv = (padded(side) for side in two_sides([(3, 2), (2, 3), (3, 3)], 0))
    for _ in range(2):
        optimiser.zero_grad()
        sigmoid_mse(model(jd, cv), torch.tensor([0.0, 0.5, 1.0])).backward()
        optimiser.step()
    dead = [name for name, p in model.named_parameters() if not p.grad.abs().sum() > 0]
    assert not dead
    assert (model.position.grad.abs().sum(1) > 0).all()


def test_documents_of_one_chunk_train_without_nan():
    model = ChunkAttention(DIM)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    jd, cv = (padded(documents([1, 1, 1], seed), more=2) for seed in (0, 1))
    for _ in range(5):
        optimiser.zero_grad()
        loss = sigmoid_mse(model(jd, cv), torch.tensor([0.0, 0.5, 1.0]))
        loss.backward()
        optimiser.step()
    assert loss.isfinite()
    assert all(p.isfinite().all() and p.grad.isfinite().all() for p in model.parameters())
    assert bool((model.cross_attention(jd, cv)[..., 0] == 1).all())


def test_a_term_costs_four_matrices_and_a_norm():
    without = count_parameters(ChunkAttention(DIM, **only()))
    for terms in COMBINATIONS:
        more = count_parameters(ChunkAttention(DIM, **terms)) - without
        assert more == sum(terms.values()) * (4 * DIM**2 + 2 * DIM)
    positions = without - count_parameters(ChunkAttention(DIM, position=False, **only()))
    assert positions == 64 * DIM


def test_invalid_arguments_are_refused():
    with pytest.raises(ValueError, match="dim 8 is not a multiple of heads 3"):
        ChunkAttention(8, heads=3)
    jd, cv = (padded(side) for side in two_sides([(2, 2)], 0))
    with pytest.raises(ValueError, match="no term cross_jd"):
        ChunkAttention(DIM, cross_jd=False).cross_attention(jd, cv)
