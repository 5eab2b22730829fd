"""Index types are compared by the same truth, and settings go as far as the index does."""

import numpy as np
import pytest
from test_search import documents, loops

from research.retrieval.compare_index_types import (
    compare_types,
    exact_best,
    recall,
    settings,
    timed,
)
from research.retrieval.index_folder import IndexFolder
from research.retrieval.search import Candidate, Depth

ENTRIES = documents(400, 1)
QUERIES = [3 * e.vectors for e in documents(12, 2)]


@pytest.fixture(scope="module")
def compared():
    return compare_types(
        lambda folder, index_type: IndexFolder.of(folder, ENTRIES, index_type),
        ["flat", "ivf-pq"],
        QUERIES,
        10,
    )


def test_the_truth_is_the_order_of_slow_loops(tmp_path):
    found, seconds = exact_best(IndexFolder.of(tmp_path / "x", ENTRIES), QUERIES, 10, threads=1)
    for query, best in zip(QUERIES, found, strict=True):
        scores = {e.id: loops(query, e.vectors) for e in ENTRIES}
        assert best == sorted(scores, key=lambda i: (-scores[i], i))[:10]
    assert seconds > 0


def test_recall_counts_the_true_best_among_the_first_k_found():
    found = [
        [Candidate(0, i, 0.0, None, 0.0, ()) for i in "abcx"],
        [Candidate(0, i, 0.0, None, 0.0, ()) for i in "q"],
    ]
    assert recall(found, [["a", "x", "b"], ["q", "r", "s"]], 3) == pytest.approx(
        (2 / 3 + 1 / 3) / 2
    )


def test_each_setting_of_each_type_is_measured(compared, tmp_path):
    flat = [m for m in compared if m.index_type == "flat"]
    lists = [m for m in compared if m.index_type == "ivf-pq"]
    index = IndexFolder.of(tmp_path / "x", ENTRIES, "ivf-pq")
    assert [m.depth for m in lists] == settings(index, 10)
    assert {m.depth.effort for m in lists} > {1} == {min(m.depth.effort for m in lists)}
    assert all(m.depth.effort is None for m in flat)
    assert all(m.queries == len(QUERIES) and m.per_second > 0 for m in compared)
    assert all(m.p50_ms <= m.p99_ms and m.build_seconds > 0 for m in compared)
    assert len({m.point.name for m in compared}) == len(compared)


def test_looking_further_finds_more_and_a_whole_look_finds_all(compared, tmp_path):
    for kind in ("flat", "ivf-pq"):
        by_depth = [m for m in compared if m.index_type == kind]
        most = max(by_depth, key=lambda m: (m.depth.effort or 0, m.depth.depth))
        least = min(by_depth, key=lambda m: (m.depth.effort or 0, m.depth.depth))
        assert least.recall < most.recall
    flat = next(m for m in compared if m.index_type == "flat" and m.depth.depth == 240)
    assert flat.recall > 0.99
    index = IndexFolder.of(tmp_path / "x", ENTRIES)
    _, found = timed(index, QUERIES, 10, Depth(hits=10**4, depth=400))
    assert recall(found, exact_best(index, QUERIES, 10)[0], 10) == 1


def test_a_slow_setting_is_cut_short(tmp_path):
    index = IndexFolder.of(tmp_path / "x", ENTRIES)
    times, found = timed(index, QUERIES, 10, Depth(20, 10), most_seconds=0.0)
    assert len(times) == len(found) == 1
    assert np.isfinite(times).all()
