"""Fused scores equal loops over the formula, and fitted weights are honest about what they gain."""

import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jdcv_core.errors import InputError
from research.retrieval.fit_weights import GRID, fit_weights
from research.retrieval.fused_scores import (
    REFERENCE,
    VECTORS,
    WORDS,
    Weights,
    fused,
    reference_documents,
)

values = st.lists(st.tuples(st.floats(0, 1), st.floats(-1, 1)), min_size=2, max_size=12)


@given(values, st.integers(1, 9), st.integers(0, 9))
def test_fused_scores_equal_loops(scores, w, v):
    words, vectors = (np.array(column) for column in zip(*scores, strict=True))
    found = fused(words, vectors, Weights(w, v), (words, vectors))
    expected = np.zeros(len(scores))
    for column, weight in ((words, w), (vectors, v)):
        deviation = statistics.pstdev(column.tolist())
        if deviation > 1e-6:
            expected += weight * (column - statistics.fmean(column.tolist())) / deviation
        elif deviation > 1e-12:
            return  # near the bound below which scores count as equal
    assert found == pytest.approx(expected / (w + v), abs=1e-6)


@given(values, st.floats(0.1, 9), st.floats(-3, 3))
def test_scale_and_offset_of_a_score_do_not_matter(scores, scale, offset):
    words, vectors = (np.array(column) for column in zip(*scores, strict=True))
    if words.std() < 1e-3:
        return
    other = scale * words + offset
    one = fused(words, vectors, Weights(2, 1), (words, vectors))
    assert fused(other, vectors, Weights(2, 1), (other, vectors)) == pytest.approx(one, abs=1e-6)


def test_equal_scores_of_all_documents_add_nothing():
    same = np.full(3, 0.1) + 0.2 - 0.2
    vectors = np.array([0.1, 0.3, 0.2])
    found = fused(same, vectors, Weights(2, 1), (same, vectors))
    assert np.argsort(found).tolist() == [0, 2, 1]
    assert found.mean() == pytest.approx(0)


def test_the_reference_is_spread_over_all_documents():
    assert reference_documents(3).tolist() == [0, 1, 2]
    found = reference_documents(10**6)
    assert (len(found), found[0], found[-1]) == (REFERENCE, 0, 10**6 - 1)
    assert np.diff(found).max() - np.diff(found).min() <= 1


@pytest.mark.parametrize("weights", [(0, 0), (-1, 2), (float("nan"), 1)])
def test_weights_that_cannot_be_are_refused(weights):
    with pytest.raises(InputError, match="one of them above"):
        Weights(*weights)


def table(best: dict[str, float], height: float) -> dict[Weights, dict[str, float]]:
    """Metrics that fall with the distance from each query's best share of words."""
    return {
        weights: {
            query: height - abs(weights.words / (weights.words + weights.vectors) - share)
            for query, share in best.items()
        }
        for weights in (*GRID, Weights())
    }


def test_a_better_weight_is_found_and_held_out_queries_gain():
    found = fit_weights(table({f"q{n}": 0.1 for n in range(9)}, 1.0))
    assert found.weights == Weights(0.1, 0.9)
    assert found.held_out == pytest.approx(1.0)
    assert found.default == pytest.approx(1 - (0.8 - 0.1))
    assert (found.words, found.vectors) == (pytest.approx(0.1), pytest.approx(0.9))


def test_a_choice_that_does_not_carry_over_is_not_kept():
    """Each query is best elsewhere, so what the others choose does not help it."""
    found = fit_weights(table({"a": 0.0, "b": 1.0}, 1.0))
    assert found.held_out < found.default
    assert found.weights == Weights()
    one = fit_weights(table({"a": 0.0}, 1.0))
    assert one.weights == Weights()  # one query cannot be left out


def test_queries_without_a_relevant_document_do_not_count():
    values = table({"a": 0.1, "b": 0.1, "c": 0.1}, 1.0)
    for own in values.values():
        own["none"] = float("nan")
    assert fit_weights(values).queries == 3
    with pytest.raises(ValueError, match="no judged query has a relevant document"):
        fit_weights({weights: {"none": float("nan")} for weights in values})


def test_words_and_vectors_alone_are_the_ends_of_the_grid():
    assert (GRID[-1], GRID[0]) == (WORDS, VECTORS)
    assert str(Weights()) == "words 0.80, vectors 0.20"
