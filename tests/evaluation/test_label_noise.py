"""The label-noise ceiling equals simulations and known special cases."""

from itertools import product

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, cohen_kappa_score, f1_score

from jdcv_core.evaluation.label_noise import agreement_from_kappa, noise_ceiling, noise_matrix

SHARES = [0.5, 0.3, 0.2]


@pytest.mark.parametrize("spread", ["uniform", "neighbour"])
def test_clean_labels_have_a_ceiling_of_1_and_noise_lowers_it(spread):
    found = [noise_ceiling(SHARES, a, spread) for a in (1.0, 0.95, 0.9, 0.8, 0.7)]
    assert all(value == pytest.approx(1) for value in found[0].values())
    for name in found[0]:
        falls = [f[name] for f in found]
        assert falls == sorted(falls, reverse=True)
        assert falls[-1] < 0.85


def test_with_uninformative_labels_the_best_model_is_constant():
    """At an agreement of 1/3, labels are uniform for every true class."""
    found = noise_ceiling([1 / 3, 1 / 3, 1 / 3], 1 / 3)
    assert found["accuracy"] == pytest.approx(1 / 3)
    assert found["macro_f1"] == pytest.approx(1 / 3)  # predicting the truth is then a guess


@pytest.mark.parametrize(("agreement", "spread"), [(0.8, "uniform"), (0.75, "neighbour")])
def test_no_map_from_truth_to_class_does_better_in_simulation(agreement, spread):
    rng = np.random.default_rng(0)
    noise = noise_matrix(agreement, spread)
    truth_shares = np.linalg.solve(noise.T, SHARES)
    truth = rng.choice(3, p=truth_shares, size=300_000)
    labels = (rng.random(len(truth))[:, None] > noise[truth].cumsum(1)).sum(1)
    best_f1 = best_accuracy = 0.0
    for guess in product(range(3), repeat=3):
        predicted = np.array(guess)[truth]
        best_f1 = max(best_f1, f1_score(labels, predicted, average="macro"))
        best_accuracy = max(best_accuracy, accuracy_score(labels, predicted))
    found = noise_ceiling(SHARES, agreement, spread)
    assert found["macro_f1"] == pytest.approx(best_f1, abs=0.004)
    assert found["accuracy"] == pytest.approx(best_accuracy, abs=0.004)


def test_two_classes_have_the_ceiling_of_binary_labels():
    """The labels are drawn with a symmetric error."""
    found = noise_ceiling([0.6, 0.4], 0.8)
    assert noise_ceiling([0.6, 0.4], 1.0)["macro_f1"] == pytest.approx(1)
    rng = np.random.default_rng(0)
    truth = rng.random(300_000) < (0.4 - 0.2) / 0.6
    labels = truth ^ (rng.random(len(truth)) < 0.2)
    assert labels.mean() == pytest.approx(0.4, abs=0.004)
    assert found["macro_f1"] == pytest.approx(f1_score(labels, truth, average="macro"), abs=0.004)
    assert found["accuracy"] == pytest.approx((labels == truth).mean(), abs=0.004)


def test_shares_without_an_exact_solution_get_the_nearest_one():
    """The nearest solution is searched on a grid of distributions."""
    shares, noise = np.array([0.9, 0.05, 0.05]), noise_matrix(0.6, "neighbour")
    grid = [(a, b, 100 - a - b) for a in range(101) for b in range(101 - a)]
    truths = np.array(grid) / 100
    nearest = truths[np.argmin(((truths @ noise - shares) ** 2).sum(1))]
    assert nearest.tolist() == [1, 0, 0]
    best = noise_ceiling(shares, 0.6, "neighbour")
    assert best == pytest.approx(noise_ceiling(nearest @ noise, 0.6, "neighbour"))


def test_kappa_says_how_many_agree():
    rng = np.random.default_rng(0)
    one = rng.choice(3, p=SHARES, size=200_000)
    other = np.where(rng.random(len(one)) < 0.6, one, rng.choice(3, p=SHARES, size=len(one)))
    kappa = cohen_kappa_score(one, other)
    assert agreement_from_kappa(kappa, SHARES) == pytest.approx((one == other).mean(), abs=0.003)


def test_rows_of_the_noise_sum_to_one_and_nonsense_is_refused():
    for spread in ("uniform", "neighbour"):
        np.testing.assert_allclose(noise_matrix(0.7, spread).sum(1), 1)
        np.testing.assert_allclose(np.diag(noise_matrix(0.7, spread)), 0.7)
    for arguments in (
        ([0.5, 0.6], 0.8),
        ([1.0], 0.8),
        ([0.4, 0.3, 0.2, 0.1], 0.8),
        ([0.5, 0.3, 0.3], 0.8),
        (SHARES, 1.2),
        (SHARES, 0.8, "odd"),
    ):
        with pytest.raises(ValueError, match=r"shares|agreement|spread"):
            noise_ceiling(*arguments)
