"""Search equals slow loops where nothing is approximated, and comes near where something is."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from jdcv_core.types import ChunkVectors
from research.aggregators.pairwise import MaxSim
from research.retrieval.index_folder import IndexFolder
from research.retrieval.late_interaction import approximate, maxsim
from research.retrieval.search import Depth, search, search_many
from research.retrieval.segment import Entry
from research.retrieval.vector_index import unit_rows as unit

DIM = 24


def loops(query: np.ndarray, document: np.ndarray) -> float:
    """MaxSim both ways, one cosine after the other."""
    cosines = [
        [float(q @ d) / float(np.linalg.norm(q) * np.linalg.norm(d)) for d in document]
        for q in query
    ]
    from_query = sum(max(row) for row in cosines) / len(query)
    columns = list(zip(*cosines, strict=True))
    return (from_query + sum(max(c) for c in columns) / len(document)) / 2


def documents(count: int, seed: int) -> list[Entry]:
    rng = np.random.default_rng(seed)
    topics = rng.standard_normal((30, DIM))
    found = []
    for n in range(count):
        own = topics[rng.integers(0, 30, int(rng.integers(1, 6)))]
        vectors = own + 0.6 * rng.standard_normal(own.shape)
        found.append(Entry(f"d{n:05d}", (3 * vectors).astype(np.float32), f"text {n}"))
    return found


def index_of(folder, entries: list[Entry], kind: str = "flat") -> IndexFolder:
    sample = [e.vectors for e in entries]
    return IndexFolder.create(folder, sample, len(entries), kind).put(entries)


@settings(max_examples=examples(13), deadline=None)
@given(seed=st.integers(0, 10**6), counts=st.lists(st.integers(1, 5), min_size=1, max_size=8))
def test_maxsim_equals_loops_and_the_scorer_of_the_table(seed, counts):
    rng = np.random.default_rng(seed)
    query = unit(rng.standard_normal((int(rng.integers(1, 4)), DIM)))
    pieces = [unit(rng.standard_normal((n, DIM))) for n in counts]
    starts = np.cumsum([0, *counts])
    ours = maxsim(np.concatenate(pieces) @ query.T, starts)
    assert np.allclose(ours, [loops(query, p) for p in pieces], atol=1e-6)
    names = [f"cv:{n}" for n in range(len(pieces))]
    cv = ChunkVectors.pad(dict(zip(names, pieces, strict=True)), names)
    jd = ChunkVectors.pad({"jd:0": query}, ["jd:0"] * len(names))
    scorer = MaxSim(DIM)
    with torch.no_grad():
        cosines = (scorer(jd, cv) - scorer.head.bias) / scorer.head.scale
    assert np.allclose(ours, cosines.numpy(), atol=1e-5)


def test_a_flat_search_without_limits_is_the_order_of_the_loops(tmp_path):
    entries = documents(150, 1)
    entries[7] = Entry("a tie", entries[90].vectors, "")
    index = index_of(tmp_path / "x", entries)
    for query in (entries[3].vectors, entries[90].vectors[:1], -entries[5].vectors):
        expected = {e.id: loops(query, e.vectors) for e in entries}
        order = sorted(expected, key=lambda i: (-round(expected[i], 6), i))
        found = search(index, Entry("", query), k=150)
        assert [m.id for m in found] == order
        assert np.allclose([m.score for m in found], [expected[i] for i in order], atol=1e-6)
        best = found[0]
        document = entries[[e.id for e in entries].index(best.id)].vectors
        for i, k, cosine in best.pairs:
            assert np.isclose(unit(query)[i] @ unit(document)[k], cosine, atol=1e-6)
            assert np.isclose(cosine, (unit(query) @ unit(document)[k]).max(), atol=1e-6)


def test_several_queries_and_threads_give_what_one_does(tmp_path):
    entries = documents(300, 2)
    index = index_of(tmp_path / "x", entries)
    queries = entries[:9]
    one = [search(index, q, 5) for q in queries]
    assert search_many(index, queries, 5, threads=3) == one


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf-pq", "ivf-rabitq"])
def test_a_filter_leaves_the_order_of_the_rest(tmp_path, kind):
    entries = documents(200, 3)
    index = index_of(tmp_path / "x", entries, kind)
    allowed = [4, 99, 100, 180, 199, 7]
    depth = Depth(effort=10**4)
    found = search(index, entries[99], 10, depth, allowed)
    expected = sorted(allowed, key=lambda d: -loops(entries[99].vectors, entries[d].vectors))
    assert [m.document for m in found] == expected
    assert search(index, entries[99], 10, depth, []) == []


@pytest.mark.parametrize("seed", range(25))
def test_candidates_are_those_of_the_formula(seed):
    rng = np.random.default_rng(seed)
    chunk_document = np.repeat(np.arange(40), 3)
    rows = np.stack([rng.permutation(120)[:50] for _ in range(2)])
    scores = -np.sort(-rng.random((2, 50)).astype(np.float32), axis=1)
    rows[1, 45:] = -1
    scores[1, 45:] = -np.inf
    means, mean_scores = rng.permutation(40)[:20], -np.sort(-rng.random(20).astype(np.float32))
    estimate = {}
    for document in set(chunk_document[rows[rows >= 0]]) | set(means):
        total = 0.0
        for i in range(2):
            own = [
                s for s, r in zip(scores[i], rows[i], strict=True) if r // 3 == document and r >= 0
            ]
            lowest = min(s for s, r in zip(scores[i], rows[i], strict=True) if r >= 0)
            total += (max(own) - lowest) / 2 if own else 0
        if document in means:
            total += mean_scores[list(means).index(document)] - mean_scores[-1]
        estimate[document] = total
    expected = sorted(estimate, key=lambda d: (-estimate[d], d))[:9]
    found = approximate(scores, rows, mean_scores, means, chunk_document, 9)
    assert found.tolist() == sorted(expected)


def test_a_compressed_index_with_exact_scores_finds_nearly_all(tmp_path):
    entries = documents(3000, 5)
    exact = index_of(tmp_path / "x", entries)
    compressed = index_of(tmp_path / "y", entries, "ivf-pq")
    queries = documents(3020, 5)[3000:]
    truth = search_many(exact, queries, 50, Depth(hits=20_000, depth=3000))
    found = search_many(compressed, queries, 50, Depth(hits=600, depth=300))
    pairs = zip(truth, found, strict=True)
    recall = np.mean([len({m.id for m in a} & {m.id for m in b}) / 50 for a, b in pairs])
    assert recall > 0.9
    shallow = search_many(compressed, queries, 50, Depth(hits=60, depth=50))
    pairs = zip(truth, shallow, strict=True)
    less = np.mean([len({m.id for m in a} & {m.id for m in b}) / 50 for a, b in pairs])
    assert less < recall


def test_a_reranker_decides_among_the_best(tmp_path):
    entries = documents(100, 6)
    index = index_of(tmp_path / "x", entries)
    query = entries[0]
    by_maxsim = search(index, query, 100)

    def shortest(asked: Entry, found: list[Entry]) -> np.ndarray:
        assert asked == query
        return np.array([-float(len(e.vectors)) for e in found])

    found = search(index, query, 100, reranker=shortest, rerank=20)
    assert {m.id for m in found} == {m.id for m in by_maxsim[:20]}
    sizes = {e.id: len(e.vectors) for e in entries}
    assert [m.id for m in found] == sorted((m.id for m in found), key=lambda i: (sizes[i], i))
