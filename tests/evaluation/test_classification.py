"""The cuts are optimal, and the metrics equal those of two other implementations."""

import warnings
from itertools import product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from reference import classification as slow
from sklearn import metrics as sklearn_metrics
from sklearn.exceptions import UndefinedMetricWarning
from thorough import examples

from jdcv_core.evaluation.classification import (
    ABOVE_ALL,
    ALL,
    NEED_THREE,
    apply_thresholds,
    classification_metrics,
    confusion_matrix,
    confusion_metrics,
    tune_thresholds,
    within_group_auc,
)

label = st.integers(0, 2)
# Few distinct scores, so that ties between labels are common.
score = st.integers(0, 8).map(lambda i: i / 8) | st.floats(0, 1)
scored = st.lists(st.tuples(label, score), min_size=1, max_size=25)
judged = st.lists(st.tuples(label, label, score), min_size=1, max_size=40)


def columns(rows):
    return [list(column) for column in zip(*rows, strict=True)]


@settings(deadline=None)
@given(scored)
def test_no_other_pair_of_cuts_is_better(rows):
    labels, scores = columns(rows)
    low, high = tune_thresholds(scores, labels, ALL)
    assert 0 <= low <= high <= ABOVE_ALL
    reached = slow.weighted_f1(labels, apply_thresholds(scores, (low, high)).tolist())
    assert reached == pytest.approx(slow.best_weighted_f1(labels, scores), abs=1e-9)


@settings(deadline=None)
@given(scored, st.randoms(use_true_random=False))
def test_cuts_do_not_depend_on_the_order_of_the_pairs(rows, random):
    shuffled = random.sample(rows, len(rows))
    assert tune_thresholds(*columns(rows)[::-1]) == tune_thresholds(*columns(shuffled)[::-1])


@settings(deadline=None)
@given(scored)
def test_classes_rise_with_the_score(rows):
    labels, scores = columns(rows)
    thresholds = tune_thresholds(scores, labels)
    assert apply_thresholds(scores, thresholds).tolist() == slow.classes(scores, *thresholds)
    assert (np.diff(apply_thresholds(sorted(scores), thresholds)) >= 0).all()


outer = st.sampled_from([0, 2])
two_classes = st.lists(st.tuples(outer, outer, score), min_size=2, max_size=25).filter(
    lambda rows: {label for label, _, _ in rows} == {0, 2}
)


@settings(deadline=None)
@given(two_classes)
def test_two_classes_have_one_cut_and_no_other_is_better(rows):
    labels, _, scores = columns(rows)
    low, high = tune_thresholds(scores, labels)
    assert low == high
    predicted = apply_thresholds(scores, (low, high)).tolist()
    assert set(predicted) <= {0, 2}
    best = max(slow.weighted_f1(labels, slow.classes(scores, cut, cut)) for cut in [*scores, 2.0])
    assert slow.weighted_f1(labels, predicted) == pytest.approx(best, abs=1e-9)


@settings(deadline=None)
@given(two_classes)
def test_figures_of_two_classes_are_those_of_binary_labels(rows):
    """scikit-learn reads them as 0 and 1; what needs three classes is undefined."""
    labels, predicted, scores = columns(rows)
    figures = classification_metrics(labels, predicted, scores)
    y, p = np.array(labels) // 2, np.array(predicted) // 2
    known = {"zero_division": 0}
    for name, average in (("weighted_f1", "weighted"), ("macro_f1", "macro")):
        expected = sklearn_metrics.f1_score(y, p, labels=[0, 1], average=average, **known)
        assert figures[name] == pytest.approx(expected, abs=1e-9)
    assert figures["f1_good"] == pytest.approx(sklearn_metrics.f1_score(y, p, **known), abs=1e-9)
    assert figures["auc_good"] == pytest.approx(sklearn_metrics.roc_auc_score(y, scores), abs=1e-9)
    kappa = sklearn_metrics.cohen_kappa_score(y, p, replace_undefined_by=0.0)
    assert figures["qwk"] == pytest.approx(kappa, abs=1e-9)
    assert {name for name, value in figures.items() if np.isnan(value)} == set(NEED_THREE)


def test_cuts_between_neighbouring_floats_still_separate_them():
    a = 0.3
    b = float(np.nextafter(a, 1))
    c = float(np.nextafter(b, 1))
    thresholds = tune_thresholds([a, b, c], [0, 1, 2])
    assert apply_thresholds([a, b, c], thresholds).tolist() == [0, 1, 2]


@pytest.mark.parametrize("only", [0, 1, 2])
def test_one_class_alone_gets_every_score(only):
    thresholds = tune_thresholds([0.2, 0.7], [only, only])
    assert apply_thresholds([0.0, 0.2, 0.5, 0.7, 1.0], thresholds).tolist() == [only] * 5


@settings(deadline=None)
@given(scored)
@example([(0, 0.5), (1, 0.5), (2, 0.5)])  # all No, all Potential or all Good are equally good
def test_of_equally_good_cuts_the_middle_ones_are_chosen(rows):
    labels, scores = columns(rows)
    distinct = sorted(set(scores))
    at = [*distinct, 2.0]
    figures = {
        (low, high): slow.weighted_f1(labels, slow.classes(scores, at[low], at[high]))
        for low in range(len(at))
        for high in range(low, len(at))
    }
    best = max(figures.values())
    ties = np.array([cuts for cuts, figure in figures.items() if figure > best - 1e-9])
    off = np.linalg.norm(ties - ties.mean(0), axis=1)
    chosen = [sum(s < cut for s in distinct) for cut in tune_thresholds(scores, labels, ALL)]
    assert np.linalg.norm(chosen - ties.mean(0)) == pytest.approx(off.min(), abs=1e-9)


@settings(deadline=None)
@given(judged)
def test_figures_agree_with_the_slow_reference(rows):
    labels, predicted, scores = columns(rows)
    figures = classification_metrics(labels, predicted, scores, ALL)
    auc = slow.auc(labels, scores)
    expected = {
        "weighted_f1": slow.weighted_f1(labels, predicted),
        "macro_f1": slow.macro_f1(labels, predicted),
        "f1_no": slow.f1(labels, predicted, 0),
        "f1_potential": slow.f1(labels, predicted, 1),
        "f1_good": slow.f1(labels, predicted, 2),
        "qwk": slow.quadratic_kappa(labels, predicted),
        "mae_classes": slow.mean_distance(labels, predicted),
        "distant": slow.distant(labels, predicted),
        "precision_no": slow.precision(labels, predicted, 0),
        "precision_potential": slow.precision(labels, predicted, 1),
        "precision_good": slow.precision(labels, predicted, 2),
        "recall_no": slow.recall(labels, predicted, 0),
        "recall_potential": slow.recall(labels, predicted, 1),
        "recall_good": slow.recall(labels, predicted, 2),
        "auc_good": np.nan if auc is None else auc,
    }
    assert figures == pytest.approx(expected, abs=1e-9, nan_ok=True)
    assert all(type(value) is float for value in figures.values())


@settings(deadline=None)
@given(judged)
def test_figures_agree_with_scikit_learn(rows):
    labels, predicted, scores = columns(rows)
    figures = classification_metrics(labels, predicted, scores, ALL)
    known = {"labels": [0, 1, 2], "zero_division": 0}
    for name, average in (("weighted_f1", "weighted"), ("macro_f1", "macro")):
        expected = sklearn_metrics.f1_score(labels, predicted, average=average, **known)
        assert figures[name] == pytest.approx(expected, abs=1e-9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        kappa = sklearn_metrics.cohen_kappa_score(
            labels, predicted, labels=[0, 1, 2], weights="quadratic", replace_undefined_by=0.0
        )
    assert figures["qwk"] == pytest.approx(kappa, abs=1e-9)
    distance = sklearn_metrics.mean_absolute_error(labels, predicted)
    assert figures["mae_classes"] == pytest.approx(distance, abs=1e-9)
    precision, recall, f1, _ = sklearn_metrics.precision_recall_fscore_support(
        labels, predicted, **known
    )
    for k, name in enumerate(("no", "potential", "good")):
        found = [figures[f"{figure}_{name}"] for figure in ("precision", "recall", "f1")]
        assert found == pytest.approx([precision[k], recall[k], f1[k]], abs=1e-9)


@settings(max_examples=examples(16), deadline=None)
@given(judged)
def test_the_metrics_of_distance_are_consistent(rows):
    labels, predicted, scores = columns(rows)
    figures = classification_metrics(labels, predicted, scores, ALL)
    wrong = np.mean(np.not_equal(labels, predicted))
    # Every wrong class has a distance of at least 1, a distant error a distance of 2.
    assert figures["mae_classes"] == pytest.approx(wrong + figures["distant"], abs=1e-12)
    upside_down = classification_metrics(
        [2 - y for y in labels], [2 - y for y in predicted], [1 - s for s in scores], ALL
    )
    for name, other in (
        ("mae_classes", "mae_classes"),
        ("distant", "distant"),
        ("precision_no", "precision_good"),
        ("recall_potential", "recall_potential"),
    ):
        assert figures[name] == pytest.approx(upside_down[other], abs=1e-12)


def test_the_figures_of_a_planted_table():
    """Each class has three pairs; one Good is predicted No, and one No is predicted Potential."""
    figures = classification_metrics(
        [0, 0, 0, 1, 1, 1, 2, 2, 2], [0, 0, 1, 1, 1, 1, 2, 2, 0], [0.5] * 9
    )
    assert figures["distant"] == pytest.approx(1 / 9)
    assert figures["mae_classes"] == pytest.approx(3 / 9)
    assert figures["precision_no"] == pytest.approx(2 / 3)
    assert figures["precision_potential"] == pytest.approx(3 / 4)
    assert figures["recall_potential"] == 1
    assert figures["precision_good"] == 1
    assert figures["recall_good"] == pytest.approx(2 / 3)


@settings(deadline=None)
@given(st.lists(judged, min_size=1, max_size=4))
def test_many_confusion_matrices_at_once_equal_single_calls(tables):
    matrices = [confusion_matrix(*columns(rows)[:2]) for rows in tables]
    together = confusion_metrics(np.stack(matrices))
    for i, matrix in enumerate(matrices):
        for name, value in confusion_metrics(matrix).items():
            assert together[name][i] == pytest.approx(float(value), abs=1e-12)


def test_an_undefined_figure_gives_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures = classification_metrics([1, 1], [1, 1], [0.5, 0.6])
    assert figures["qwk"] == 0
    assert np.isnan(figures["auc_good"])


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([], [], "no pairs"),
        ([0.5], [3], "labels must be"),
        ([1.5], [0], "in \\[0, 1\\]"),
        ([float("nan")], [0], "in \\[0, 1\\]"),
        ([0.5, 0.6], [0], "one value per pair"),
    ],
)
def test_wrong_input_is_refused(scores, labels, message):
    with pytest.raises(ValueError, match=message):
        tune_thresholds(scores, labels)
    with pytest.raises(ValueError, match=message):
        classification_metrics(labels, labels, scores)


def test_cuts_in_the_wrong_order_are_refused():
    with pytest.raises(ValueError, match="above the high cut"):
        apply_thresholds([0.5], (0.6, 0.4))


@pytest.mark.parametrize("seed", range(5))
def test_the_auc_within_groups_equals_counting(seed):
    rng = np.random.default_rng(seed)
    labels, groups = rng.integers(0, 3, 60), rng.integers(0, 7, 60)
    scores = rng.integers(0, 6, 60) / 6
    won = compared = 0.0
    for a, b in product(range(60), repeat=2):
        if groups[a] == groups[b] and labels[a] == 2 and labels[b] != 2:
            won += (scores[a] > scores[b]) + 0.5 * (scores[a] == scores[b])
            compared += 1
    assert within_group_auc(labels, scores, groups) == pytest.approx(won / compared)
    one = within_group_auc(labels, scores, np.zeros(60))
    assert one == pytest.approx(sklearn_metrics.roc_auc_score(labels == 2, scores))


def test_a_score_that_knows_only_the_group_has_a_pooled_auc_but_none_within():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(20), 30)
    share = np.where(groups < 10, 0.9, 0.1)
    labels = np.where(rng.random(600) < share, 2, 0)
    assert sklearn_metrics.roc_auc_score(labels == 2, share) > 0.8
    assert within_group_auc(labels, share, groups) == 0.5
    assert np.isnan(within_group_auc([2, 0], [0.5, 0.5], ["a", "b"]))
    with pytest.raises(ValueError, match="groups"):
        within_group_auc([2, 0], [0.5, 0.5], ["a"])
