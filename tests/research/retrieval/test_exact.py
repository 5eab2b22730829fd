"""Exact MaxSim over a corpus equals slow loops; with all hits the candidates hold the best."""

import numpy as np
import pytest

from research.retrieval import exact
from research.retrieval.exact import exact_maxsim, maxsim_all
from research.retrieval.late_interaction import approximate, maxsim
from research.retrieval.vector_index import unit_rows as unit

DIM = 16


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    monkeypatch.setattr(exact, "MOST", 7)


def documents(count: int, seed: int, most: int = 5) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, most + 1, count)
    return [unit(rng.standard_normal((n, DIM))) for n in sizes]


def flat(found: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate(found), np.cumsum([0, *(len(d) for d in found)])


def loops(query: np.ndarray, document: np.ndarray) -> float:
    from_query = sum(max(float(q @ d) for d in document) for q in query) / len(query)
    from_document = sum(max(float(q @ d) for q in query) for d in document) / len(document)
    return (from_query + from_document) / 2


@pytest.mark.parametrize("count", [1, 7, 8, 40])
@pytest.mark.parametrize("threads", [1, 3])
def test_it_equals_loops_and_the_scoring_of_one_query(count, threads):
    corpus, queries = documents(count, 1), documents(6, 2, most=3)
    rows, starts = flat(corpus)
    found = maxsim_all(queries, rows, starts, threads)
    assert found.dtype == np.float32
    assert np.allclose(found, [[loops(q, d) for d in corpus] for q in queries], atol=1e-6)
    for query, own in zip(queries, found, strict=True):
        assert np.allclose(own, maxsim(rows @ query.T, starts), atol=1e-6)


def test_the_order_of_chunks_and_of_documents_has_no_effect():
    corpus, queries = documents(30, 3), documents(5, 4)
    found = maxsim_all(queries, *flat(corpus))
    turned = maxsim_all([q[::-1] for q in queries], *flat([d[::-1] for d in corpus]))
    assert np.allclose(found, turned, atol=1e-6)
    order = np.random.default_rng(5).permutation(30)
    assert np.allclose(found[:, order], maxsim_all(queries, *flat([corpus[d] for d in order])))


@pytest.mark.parametrize("cuts", [(), (20,), (1, 2, 33)])
@pytest.mark.parametrize("k", [1, 10, 99])
def test_blocks_give_the_order_of_the_whole_and_ties_go_by_number(cuts, k):
    few = [np.eye(DIM, dtype=np.float32)[i : i + 1 + i % 3] for i in range(6)]
    corpus = [few[i] for i in np.random.default_rng(6).integers(0, 6, 40)]  # mostly ties, exact
    queries = [few[0], few[3], few[4][:1]]
    edges = [0, *cuts, 40]
    blocks = [flat(corpus[a:b]) for a, b in zip(edges, edges[1:], strict=False)]
    scores, found = exact_maxsim(queries, blocks, k)
    for query, own, numbers in zip(queries, scores, found, strict=True):
        every = [np.float32(loops(query, d)) for d in corpus]
        expected = sorted(range(40), key=lambda d: (-every[d], d))[:k]
        assert numbers.tolist() == expected
        assert np.allclose(own, [every[d] for d in expected])


def test_with_all_hits_the_candidates_hold_the_best():
    corpus = documents(200, 7, most=4)
    rows, starts = flat(corpus)
    chunk_document = np.repeat(np.arange(200), np.diff(starts))
    means = np.stack([d.mean(0) for d in corpus])
    for query in documents(20, 8, most=3):
        cosines, by_mean = query @ rows.T, means @ query.mean(0)
        order, mean_order = np.argsort(-cosines, axis=1), np.argsort(-by_mean)
        scores = np.take_along_axis(cosines, order, 1)
        kept = approximate(scores, order, by_mean[mean_order], mean_order, chunk_document, depth=60)
        assert exact_maxsim([query], [(rows, starts)], 1)[1][0, 0] in kept
        again = approximate(
            scores[::-1], order[::-1], by_mean[mean_order], mean_order, chunk_document, depth=60
        )
        assert np.array_equal(kept, again)  # the order of the query's chunks
        every = approximate(scores, order, by_mean, mean_order, chunk_document, depth=200)
        assert every.tolist() == list(range(200))
