"""Figures of retrievers against loops written from their definitions."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import ranking as slow

from jdcv_core.errors import InputError
from jdcv_core.evaluation.ranking import ranking_per_query
from research.retrieval.evaluation import document_recall, retrieval_metrics
from research.retrieval.pareto import Point, pareto, recommend

ids = st.sampled_from(["a", "b", "B", "cv:1", "cv:10", "cv:9", "é", "工程师", "z"])
grades = st.dictionaries(ids, st.integers(0, 4), min_size=1)
scores = st.dictionaries(ids, st.sampled_from([0.1, 0.5, 0.5 + 1e-12, 0.9, -3.0]))


def slow_metrics(grades, scores, k, relevant):
    """By pairs of documents; ranks from the slow tie rule."""
    place = {document: slow.place(document, scores) for document in scores}
    good = {document for document, grade in grades.items() if grade >= relevant}
    at = sorted(place[document] for document in good & set(scores))
    first = [document for document in scores if place[document] <= k]
    ndcg = slow.ndcg(grades, scores, k)
    found = {"ndcg": math.nan if ndcg is None else ndcg}
    if good:
        found["map"] = sum((n + 1) / rank for n, rank in enumerate(at)) / len(good)
        found["mrr"] = 1 / at[0] if at else 0.0
        found["recall"] = sum(rank <= k for rank in at) / len(good)
    else:
        found |= dict.fromkeys(("map", "mrr", "recall"), math.nan)
    judged = sum(document in grades for document in first)
    return found | {"judged": judged / len(first) if first else 0.0}


@given(grades, scores, st.integers(1, 12), st.integers(1, 3))
def test_metrics_equal_the_slow_reference_at_any_depth(grades, scores, k, relevant):
    found = retrieval_metrics({"q": grades}, {"q": scores, "other": {"a": 1.0}}, k, relevant)
    values = {name: own["q"] for name, own in found.items()}
    assert values == pytest.approx(slow_metrics(grades, scores, k, relevant), nan_ok=True)
    assert all(list(own) == ["q"] for own in found.values())


@given(grades, scores, st.integers(1, 9), st.integers(1, 3))
def test_metrics_equal_those_of_a_judged_pool_where_it_takes_the_depth(grades, scores, k, relevant):
    qrels, run = {"q": grades}, {"q": scores}
    if k > len(grades):
        with pytest.raises(InputError, match="documents are judged"):
            ranking_per_query(qrels, run, k, relevant)
        return
    pool = ranking_per_query(qrels, run, k, relevant)
    found = retrieval_metrics(qrels, run, k, relevant)
    for name in ("map", "mrr", "recall", "judged"):
        assert found[name] == pytest.approx(pool[name], nan_ok=True)


def test_metrics_by_hand():
    qrels = {"jd:2": {"a": 2, "b": 1, "c": 2}, "jd:1": {"a": 0}, "jd:3": {"a": 2}}
    run = {"jd:2": {"x": 0.9, "a": 0.8, "b": 0.8, "y": 0.1, "c": 0.0}, "jd:1": {"a": 0.5}}
    found = retrieval_metrics(qrels, run, k=4)
    assert list(found) == ["ndcg", "map", "mrr", "recall", "judged"]
    assert all(list(own) == ["jd:1", "jd:2", "jd:3"] for own in found.values())
    # Ranks: x 1, a 2, b 3, y 4, c 5; the best order has the grades 2, 2, 1.
    log = math.log2
    ndcg = (2 / log(3) + 1 / log(4)) / (2 + 2 / log(3) + 1 / log(4))
    expected = {"ndcg": ndcg, "map": (1 / 2 + 2 / 5) / 2, "mrr": 1 / 2, "recall": 1 / 2}
    assert {n: own["jd:2"] for n, own in found.items()} == pytest.approx(expected | {"judged": 0.5})
    assert {own["jd:3"] for own in found.values()} == {0.0}
    assert found["judged"]["jd:1"] == 1.0
    assert all(math.isnan(found[n]["jd:1"]) for n in expected)
    with pytest.raises(ValueError, match="k must be at least 1"):
        retrieval_metrics(qrels, run, k=0)


@given(st.dictionaries(st.sampled_from("pqr"), scores), scores, st.integers(1, 10))
def test_document_recall_equals_a_slow_loop(found, exact, k):
    value = document_recall(found, {"q": exact}, k)
    best = [document for document in exact if slow.place(document, exact) <= k]
    expected = sum(d in found.get("q", {}) for d in best) / len(best) if best else math.nan
    assert value == pytest.approx({"q": expected}, nan_ok=True)


def test_document_recall_takes_lists_and_scores():
    exact = {"q2": {"a": 0.9, "b": 0.5, "c": 0.5}, "q1": {"a": 1.0}}
    assert list(document_recall({}, exact, 1).items()) == [("q1", 0.0), ("q2", 0.0)]
    lists = {"q2": ["a", "b", "c"], "q1": ["a"]}
    for truth in (exact, lists):
        # b is second by its id; of one document, one is enough; more than k may be found.
        assert document_recall({"q2": ["c", "a"], "q1": ["a"]}, truth, 2) == {"q1": 1.0, "q2": 0.5}
        assert document_recall(exact, truth, 2) == {"q1": 1.0, "q2": 1.0}
    with pytest.raises(ValueError, match="query q a document twice"):
        document_recall({}, {"q": ["a", "a"]}, 2)
    with pytest.raises(ValueError, match="k must be at least 1"):
        document_recall({}, {}, 0)


points = st.lists(
    st.builds(
        Point,
        st.sampled_from("abc"),
        st.sampled_from([0.0, 0.5, 0.9, 0.98, 1]),
        st.sampled_from([0, 1.0, 5.5, 5.5 + 1e-9, 90.0]),
    ),
    max_size=9,
)


def beaten(point, by):
    no_worse = by.recall >= point.recall and by.per_second >= point.per_second
    return no_worse and (by.recall > point.recall or by.per_second > point.per_second)


@given(points)
def test_the_front_is_what_no_other_point_beats(several):
    front = pareto(several)
    kept = [p for p in several if not any(beaten(p, other) for other in several)]
    assert sorted(front, key=str) == sorted(kept, key=str)
    assert front == sorted(front, key=lambda p: (p.recall, -p.per_second, p.name))
    assert pareto(several[::-1]) == front


@given(points.filter(bool), st.sampled_from([0.5, 0.95, 0.98, 1]))
def test_the_recommended_point_is_the_fastest_of_enough_recall(several, least):
    found = recommend(several, least)
    enough = [p for p in several if p.recall >= least]
    assert found.reached == bool(enough)
    if enough:
        assert found.point in enough
        assert found.point.per_second == max(p.per_second for p in enough)
    else:
        assert found.point.recall == max(p.recall for p in several)
    assert found.point in pareto(several)
    assert recommend(several[::-1], least) == found


def test_the_recommendation_is_one_sentence():
    several = [Point("flat", 1.0, 90.2), Point("ivf", 0.9799999, 4321.0), Point("sq", 0.98, 800.0)]
    assert str(recommend(several)) == (
        "Take sq: of 3 compared, the fastest with a recall of at least 0.98 (0.980, 800 queries/s)."
    )
    assert str(recommend(several[1:2])) == (
        "Take ivf: of 1 compared, none has a recall of 0.98, and it has the most "
        "(0.979, 4,321 queries/s)."
    )


def test_wrong_points_are_refused():
    for recall in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=f"the recall of a is {recall}"):
            Point("a", recall, 1.0)
    for speed in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="the speed of a"):
            Point("a", 0.5, speed)
    with pytest.raises(ValueError, match="no point to choose from"):
        recommend([])
    assert pareto([]) == []
