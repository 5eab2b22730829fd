"""Calibration against scikit-learn and against scores whose calibration is known."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from jdcv_core.evaluation.calibration import brier, ece, reliability
from jdcv_core.types import TARGETS


def draws(n, seed=0):
    rng = np.random.default_rng(seed)
    scores = rng.random(n)
    return np.where(rng.random(n) < scores, 2, 0), scores


def test_with_two_classes_it_is_scikit_learns():
    labels, scores = draws(1000)
    assert brier(labels, scores) == pytest.approx(brier_score_loss(labels == 2, scores))
    mean_target, mean_score = calibration_curve(labels == 2, scores, n_bins=10, strategy="quantile")
    found = reliability(labels, scores, bins=10)
    np.testing.assert_allclose(found["score"], mean_score, atol=0.002)  # bin edges differ by a pair
    np.testing.assert_allclose(found["target"], mean_target, atol=0.02)
    assert found["count"].tolist() == [100] * 10


def test_the_error_equals_a_plain_loop():
    labels, scores = draws(500)
    order = np.argsort(scores)
    total = 0.0
    for at in range(5):
        mine = order[at * 100 : at * 100 + 100]
        total += 100 * abs(scores[mine].mean() - np.array(TARGETS)[labels[mine]].mean())
    assert ece(labels, scores, bins=5) == pytest.approx(total / 500)


def test_calibrated_scores_have_the_error_of_chance_and_shifted_ones_the_shift():
    found = [ece(*draws(4000, seed), bins=10) for seed in range(20)]
    expected = np.sqrt(2 / np.pi * 10 / 4000 / 6)  # the variance of a target is on average 1/6
    assert np.mean(found) == pytest.approx(expected, rel=0.1)
    labels = np.random.default_rng(0).integers(0, 3, 3000)
    shifted = np.array(TARGETS)[labels] * 0.5 + 0.4
    few = reliability(labels, shifted)
    assert few["count"].sum() == 3000
    assert len(few["count"]) == 3  # equal scores stay together
    constant = np.full(3000, np.array(TARGETS)[labels].mean() + 0.2)
    assert ece(labels, constant) == pytest.approx(0.2)


def test_invalid_arguments_are_refused():
    with pytest.raises(ValueError, match="scores of shape"):
        brier([0, 1], [0.5])
    with pytest.raises(ValueError, match="1 bin"):
        ece([0, 1], [0.5, 0.5], bins=0)
    with pytest.raises(ValueError, match="labels"):
        brier([0, 3], [0.5, 0.5])
