"""Whitening makes the covariance the identity and depends only on the documents of the fit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from jdcv_core.encoding.whitening import RIDGE, Whitening

DIM = 6
SEEDS = st.integers(0, 2**32 - 1)


def corpus(seed, documents=30):
    """Draw chunks with a mean and far more variance in the last directions than in the first."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(DIM, DIM)) * np.geomspace(1, 6, DIM)
    return {
        f"cv:{row}": rng.normal(size=(rng.integers(1, 5), DIM)) @ mixing + rng.normal(size=DIM)
        for row in range(documents)
    }


def whiten(matrices, fit_on, ridge=RIDGE):
    return Whitening.fit(matrices, fit_on, ridge)(matrices)


def rotation(seed):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(DIM, DIM)))[0]


def assert_same(one, other, tolerance=1e-4):
    assert list(one) == list(other)
    for i in one:
        np.testing.assert_allclose(one[i], other[i], atol=tolerance)


@settings(max_examples=examples(10))
@given(SEEDS)
def test_the_chunks_it_was_fitted_on_become_white(seed):
    matrices = corpus(seed)
    before = np.concatenate(list(matrices.values()))
    after = np.concatenate(list(whiten(matrices, matrices, ridge=0).values()))
    np.testing.assert_allclose(after.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(np.cov(after.T, bias=True), np.eye(DIM), atol=1e-3)
    # With a ridge, the variance l of a direction becomes l / (l + ridge * mean of l).
    variance = np.linalg.eigvalsh(np.cov(before.T, bias=True))
    for ridge in (RIDGE, 0.5):
        after = np.concatenate(list(whiten(matrices, matrices, ridge).values()))
        left = np.linalg.eigvalsh(np.cov(after.T, bias=True))
        np.testing.assert_allclose(left, variance / (variance + ridge * variance.mean()), atol=1e-3)


@settings(max_examples=examples(10))
@given(SEEDS)
def test_documents_outside_the_fit_change_nothing_but_are_whitened_alike(seed):
    matrices = corpus(seed)
    fit_on = [f"cv:{row}" for row in range(20)]
    result = whiten(matrices, fit_on)
    spoilt = matrices | {f"cv:{row}": 1e3 * matrices[f"cv:{row}"] for row in range(20, 30)}
    assert_same({i: whiten(spoilt, fit_on)[i] for i in fit_on}, {i: result[i] for i in fit_on}, 0)
    # A copy of a fitted document, outside the fit, gets the vectors of the original.
    copied = whiten(matrices | {"jd:0": matrices["cv:0"]}, fit_on)
    np.testing.assert_array_equal(copied["jd:0"], result["cv:0"])
    assert_same(whiten(matrices, fit_on[::-1]), result)


@settings(max_examples=examples(10))
@given(SEEDS)
def test_a_shift_and_a_scale_vanish_and_a_rotation_stays(seed):
    matrices = corpus(seed)
    result = whiten(matrices, matrices)
    shift = 5 * np.random.default_rng(seed + 1).normal(size=DIM)
    moved = {i: 3.5 * (x + shift) for i, x in matrices.items()}
    assert_same(whiten(moved, matrices), result)
    turn = rotation(seed)
    turned = whiten({i: x @ turn for i, x in matrices.items()}, matrices)
    assert_same(turned, {i: x @ turn for i, x in result.items()})


def test_fewer_chunks_than_dimensions_stay_finite():
    rng = np.random.default_rng(0)
    matrices = {f"cv:{row}": rng.normal(size=(2, 50)).astype(np.float32) for row in range(8)}
    result = whiten(matrices, ["cv:0", "cv:1", "cv:2"])
    assert all(x.dtype == np.float32 and np.isfinite(x).all() for x in result.values())
    assert max(np.abs(result[i]).max() for i in ("cv:0", "cv:1", "cv:2")) < 10


def test_it_needs_a_document_to_fit_on():
    with pytest.raises(ValueError, match="no document to fit"):
        whiten(corpus(0), [])
    with pytest.raises(KeyError, match="cv:99"):
        whiten(corpus(0), ["cv:99"])
