"""nDCG equals that of an independent implementation, also with ties."""

import math

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import ranking as slow

from jdcv_core.errors import InputError
from jdcv_core.evaluation.ranking import (
    deepest_k,
    mean_over_queries,
    ndcg_per_query,
    qrels_and_run,
    ranking,
    ranking_per_query,
)
from jdcv_core.types import Pair

ids = st.text("ab01", min_size=1, max_size=3).map("cv:{}".format)
# Many scores are tied, and some differ only in float64.
scores = st.sampled_from([0.0, 0.5, 0.5 + 1e-12, 0.5 + 2e-12, 1.0, -3.0])
judged = st.dictionaries(ids, st.tuples(st.integers(0, 2), scores), max_size=12)


@settings(deadline=None)
@given(judged, st.integers(1, 14))
def test_agrees_with_the_slow_reference(documents, k):
    grades = {document: grade for document, (grade, _) in documents.items()}
    run = {document: score for document, (_, score) in documents.items()}
    expected = slow.ndcg(grades, run, k)
    value = ndcg_per_query({"jd:1": grades}, {"jd:1": run}, k)["jd:1"]
    assert value == pytest.approx(math.nan if expected is None else expected, nan_ok=True)


@settings(deadline=None)
@given(judged)
def test_ranking_follows_the_tie_rule(documents):
    run = {document: score for document, (_, score) in documents.items()}
    ranked = ranking(run)
    assert [slow.place(document, run) for document in ranked] == list(range(1, len(run) + 1))


@settings(deadline=None)
@given(judged)
def test_the_order_of_insertion_has_no_effect(documents):
    grades = {document: grade for document, (grade, _) in documents.items()}
    run = {document: score for document, (_, score) in documents.items()}
    backwards = dict(reversed(run.items()))
    assert ndcg_per_query({"q": grades}, {"q": run}) == pytest.approx(
        ndcg_per_query({"q": dict(reversed(grades.items()))}, {"q": backwards}), nan_ok=True
    )


def test_the_backend_alone_breaks_ties_the_other_way():
    """This is why ranks are passed instead of scores; if it fails, scores may be passed."""
    qrels, run = {"jd:1": {"cv:a": 2, "cv:b": 0}}, {"jd:1": {"cv:a": 0.5, "cv:b": 0.5}}
    alone = next(ir_measures.iter_calc([ir_measures.nDCG @ 1], qrels, run)).value
    assert (alone, ndcg_per_query(qrels, run, 1)) == (0.0, {"jd:1": 1.0})


def test_a_worked_number_shows_the_linear_gain():
    # Ranked Potential, Good: (1 + 2 / log2 3) / (2 + 1 / log2 3); with 2^g - 1 it would be 0.797.
    value = ndcg_per_query({"q": {"a": 1, "b": 2}}, {"q": {"a": 0.9, "b": 0.1}})["q"]
    assert value == pytest.approx((1 + 2 / math.log2(3)) / (2 + 1 / math.log2(3)))


def test_queries_without_a_relevant_document_are_left_out_of_the_mean():
    qrels = {"jd:2": {"cv:1": 0}, "jd:1": {"cv:1": 1, "cv:2": 0}}
    per_query = ndcg_per_query(qrels, {"jd:1": {"cv:1": 0.1, "cv:2": 0.9}, "jd:2": {"cv:1": 0.5}})
    assert list(per_query) == ["jd:1", "jd:2"]
    assert math.isnan(per_query["jd:2"])
    assert mean_over_queries(per_query) == per_query["jd:1"] == pytest.approx(1 / math.log2(3))
    assert math.isnan(mean_over_queries({}))


def test_a_query_that_ranked_nothing_has_an_ndcg_of_0():
    assert ndcg_per_query({"jd:1": {"cv:1": 1}}, {}) == {"jd:1": 0.0}
    assert ndcg_per_query({"jd:1": {"cv:1": 1}}, {"jd:1": {}, "jd:9": {"cv:1": 1}}) == {"jd:1": 0.0}


def test_an_unjudged_document_takes_a_place():
    per_query = ndcg_per_query({"q": {"a": 1}}, {"q": {"a": 0.1, "unjudged": 0.9}})
    assert per_query["q"] == pytest.approx(1 / math.log2(3))


def test_pairs_become_judgements_and_a_run():
    pairs = [Pair("cv:1", "jd:1", 2), Pair("cv:2", "jd:1", 0), Pair("cv:1", "jd:2", 1)]
    qrels, run = qrels_and_run(pairs, [0.9, 0.1, 0.4])
    assert qrels == {"jd:1": {"cv:1": 2, "cv:2": 0}, "jd:2": {"cv:1": 1}}
    assert run == {"jd:1": {"cv:1": 0.9, "cv:2": 0.1}, "jd:2": {"cv:1": 0.4}}
    with pytest.raises(ValueError, match="jd:1 cv:1 occurs twice"):
        qrels_and_run([pairs[0], pairs[0]], [0.1, 0.2])
    with pytest.raises(ValueError, match="shorter"):
        qrels_and_run(pairs, [0.1])


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="cv:1 is nan"):
        ndcg_per_query({"q": {"cv:1": 1}}, {"q": {"cv:1": math.nan}})
    with pytest.raises(ValueError, match="at least 1"):
        ndcg_per_query({}, {}, 0)


def slow_figures(grades, order, k, relevant):
    """Compute MAP, MRR, recall@k and P@k of one query with a loop over ranks."""
    good = [d for d, g in grades.items() if g >= relevant]
    hits, precisions, first = 0, [], 0.0
    for rank, document in enumerate(order, start=1):
        if grades.get(document, 0) >= relevant:
            hits += 1
            precisions.append(hits / rank)
            first = first or 1 / rank
    top = sum(grades.get(d, 0) >= relevant for d in order[:k])
    return {
        "map": sum(precisions) / len(good),
        "mrr": first,
        "recall": top / len(good),
        "precision": top / k,
        "judged": sum(d in grades for d in order[:k]) / len(order[:k]),
    }


@given(
    st.dictionaries(st.integers(0, 9), st.integers(0, 2), min_size=3),
    st.dictionaries(st.integers(0, 9), st.sampled_from([0.1, 0.5, 0.9]), min_size=1),
    st.integers(1, 3),
    st.integers(1, 2),
)
def test_early_figures_equal_plain_loops_with_ties_and_unjudged_documents(
    grades, scores, k, relevant
):
    qrels = {"jd:1": {f"cv:{d}": g for d, g in grades.items()}}
    run = {"jd:1": {f"cv:{d}": s for d, s in scores.items()}}
    found = ranking_per_query(qrels, run, k, relevant)
    if max(grades.values()) < relevant:
        found.pop("judged")
        assert all(np.isnan(values["jd:1"]) for values in found.values())
        return
    expected = slow_figures(qrels["jd:1"], ranking(run["jd:1"]), k, relevant)
    assert {name: values["jd:1"] for name, values in found.items()} == pytest.approx(expected)


def test_k_deeper_than_a_judged_pool_is_refused_with_the_deepest_that_is_not():
    qrels = {"jd:1": {"cv:1": 2, "cv:2": 0, "cv:3": 1}, "jd:2": {"cv:1": 2, "cv:2": 0}}
    assert deepest_k(qrels) == 2
    with pytest.raises(InputError, match=r"jd:2.*2 documents are judged.*k=2"):
        ranking_per_query(qrels, qrels, k=3)
    assert ranking_per_query(qrels, qrels, k=2)["precision"] == {"jd:1": 0.5, "jd:2": 0.5}
    with pytest.raises(ValueError, match="at least 1"):
        ranking_per_query(qrels, qrels, k=0)


def test_a_query_that_ranked_nothing_has_zero():
    found = ranking_per_query({"jd:1": {"cv:1": 2}}, {}, k=1)
    assert {name: values["jd:1"] for name, values in found.items()} == dict.fromkeys(found, 0.0)
