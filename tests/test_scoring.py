"""The match head and the baseline against plain loops, and what may not change a score."""

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

from jdcv_core.scoring import MatchHead, MeanPairs, count_parameters


@settings(max_examples=40)
@given(LENGTHS, SEEDS)
def test_the_baseline_equals_plain_loops(lengths, seed):
    model = random_weights(MeanPairs(DIM), seed).double()
    jds, cvs = two_sides(lengths, seed)
    logits = model(scattered(jds, 5, seed), scattered(cvs, 6, seed))
    expected = [
        slow.mean_pairs(weights_of(model), jd.tolist(), cv.tolist())
        for jd, cv in zip(jds, cvs, strict=True)
    ]
    np.testing.assert_allclose(torch.sigmoid(logits).detach(), expected, atol=1e-10)


@settings(max_examples=40)
@given(LENGTHS, SEEDS, st.integers(0, 3), st.integers(0, 3), SEEDS)
def test_padding_never_changes_the_baseline(lengths, seed, more_jd, more_cv, noise):
    model = random_weights(MeanPairs(DIM), seed)
    jds, cvs = two_sides(lengths, seed)
    spoilt = model(padded(jds, more=more_jd, noise=noise), padded(cvs, more=more_cv, noise=noise))
    torch.testing.assert_close(spoilt, model(padded(jds), padded(cvs)), atol=1e-5, rtol=0)


@settings(max_examples=40)
@given(LENGTHS, SEEDS, st.randoms(use_true_random=False))
def test_batches_and_the_order_of_chunks_never_change_the_baseline(lengths, seed, random):
    model = random_weights(MeanPairs(DIM), seed)
    jds, cvs = two_sides(lengths, seed)
    whole = model(padded(jds), padded(cvs))
    alone = [model(padded([jd]), padded([cv])) for jd, cv in zip(jds, cvs, strict=True)]
    torch.testing.assert_close(torch.cat(alone), whole, atol=1e-5, rtol=0)
    shuffled = [
        [matrix[random.sample(range(len(matrix)), len(matrix))] for matrix in side]
        for side in (jds, cvs)
    ]
    torch.testing.assert_close(model(*map(padded, shuffled)), whole, atol=1e-5, rtol=0)


def test_the_baseline_is_the_head_alone_for_documents_of_one_chunk():
    model = random_weights(MeanPairs(DIM))
    jd, cv = padded(documents([1] * 9, 0)), padded(documents([1] * 9, 1))
    head = model.head(jd.vectors[:, 0], cv.vectors[:, 0])
    torch.testing.assert_close(model(jd, cv), head, atol=1e-5, rtol=1e-5)


def test_the_score_is_the_mean_of_the_scores_of_all_chunk_pairs():
    model = random_weights(MeanPairs(DIM))
    jd, cv = padded(documents([3], 0)), padded(documents([4], 1))
    scores = [
        torch.sigmoid(model.head(jd.vectors[0, i], cv.vectors[0, k]))
        for i in range(3)
        for k in range(4)
    ]
    assert torch.sigmoid(model(jd, cv)).item() == pytest.approx(sum(scores).item() / 12, abs=1e-6)
    # Not the mean of logits, which one very good chunk pair would move without end.
    logits = [torch.logit(score).item() for score in scores]
    assert model(jd, cv).item() != pytest.approx(sum(logits) / 12, abs=1e-3)


def test_a_repeated_document_scores_as_the_document():
    model = random_weights(MeanPairs(DIM))
    (jd,), (cv,) = documents([2], 0), documents([3], 1)
    twice = model(padded([np.concatenate([jd, jd])]), padded([np.concatenate([cv, cv, cv])]))
    torch.testing.assert_close(twice, model(padded([jd]), padded([cv])), atol=1e-5, rtol=0)


def test_an_untrained_head_is_a_cosine():
    u, v = torch.randn(2, 5, DIM, generator=torch.Generator().manual_seed(0))
    expected = 5 * torch.cosine_similarity(u, v, dim=-1) - 0.5
    torch.testing.assert_close(MatchHead(DIM)(u, v), expected)


def test_all_pairs_are_the_pairs_one_by_one():
    head = random_weights(MatchHead(DIM))
    jd, cv = padded(documents([3, 3], 0)).vectors, padded(documents([4, 4], 1)).vectors
    logits = head.all_pairs(jd, cv)
    assert logits.shape == (2, 3, 4)
    for pair, i, k in np.ndindex(2, 3, 4):
        one = head(jd[pair, i], cv[pair, k])
        torch.testing.assert_close(logits[pair, i, k], one, atol=1e-5, rtol=0)


def test_the_sides_have_their_own_matrices():
    head = random_weights(MatchHead(DIM))
    u, v = torch.randn(2, 5, DIM, generator=torch.Generator().manual_seed(0))
    assert not torch.allclose(head(u, v), head(v, u), atol=1e-3)


def test_gradients_reach_every_parameter_and_stay_finite_at_the_ends():
    model = random_weights(MeanPairs(DIM))
    jd, cv = padded(documents([2, 1], 0)), padded(documents([3, 1], 1))
    model(jd, cv).sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())
    for scale in (1e4, -1e4):
        model.head.scale.data.fill_(scale)
        model.zero_grad()
        logits = model(jd, cv)
        logits.sum().backward()
        assert logits.isfinite().all()
        assert all(p.grad.isfinite().all() for p in model.parameters())


def test_only_parameters_that_may_change_are_counted():
    head = MatchHead(DIM)
    assert count_parameters(head) == 2 * DIM**2 + 2
    head.cv.weight.requires_grad_(False)
    assert count_parameters(head) == DIM**2 + 2
