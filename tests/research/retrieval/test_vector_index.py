"""A flat index equals brute force; the other kinds find what is near; filters, joining."""

import subprocess
import sys
from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from jdcv_core.errors import InputError
from research.retrieval.vector_index import INDEX_TYPES, FaissIndex, joined, search_all

TESTS = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
"""Where a new process finds this file and what it imports."""


def unit(rows: int, dim: int, seed: int) -> np.ndarray:
    """Clustered unit vectors, so that lists have something to hold."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((20, dim))
    vectors = centres[rng.integers(0, 20, rows)] + 0.7 * rng.standard_normal((rows, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def brute(vectors: np.ndarray, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """All products in float64, rounded; score descending, then row ascending."""
    scores = np.array(
        [[np.float32(v.astype(float) @ q.astype(float)) for v in vectors] for q in queries]
    )
    rows = np.array([sorted(range(len(vectors)), key=lambda r: (-s[r], r))[:k] for s in scores])
    return np.take_along_axis(scores, rows, 1), rows


def same_answers(
    ours: tuple[np.ndarray, np.ndarray], theirs: tuple[np.ndarray, np.ndarray]
) -> bool:
    """Whether two searches that return every row give each row the same score, to rounding.

    A sum of 64 products of numbers below 1 has an error of at most 64 * 2^-24, and fast-scan adds a
    scale and an offset of the table: 1e-5 is above both, and codes at a wrong place change scores
    by 0.1 and more. Rows whose scores are that near may stand in either order.
    """
    by_row = [np.take_along_axis(s, np.argsort(r, axis=1), axis=1) for s, r in (ours, theirs)]
    rows = [np.sort(r, axis=1) for _, r in (ours, theirs)]
    return np.array_equal(*rows) and np.allclose(*by_row, rtol=0, atol=1e-5)


def filled(kind: str, vectors: np.ndarray) -> FaissIndex:
    index = FaissIndex.make(vectors.shape[1], kind, len(vectors))
    index.train(vectors)
    index.add(vectors, np.arange(len(vectors)))
    return index


@settings(max_examples=examples(20), deadline=None)
@given(
    rows=st.integers(1, 60),
    kept=st.integers(1, 8),
    k=st.integers(1, 70),
    seed=st.integers(0, 10**6),
)
def test_flat_equals_brute_force_with_the_tie_rule(rows, kept, k, seed):
    rng = np.random.default_rng(seed)
    few = unit(kept, 16, seed)
    vectors = few[rng.integers(0, kept, rows)]  # mostly ties
    found = filled("flat", vectors).search(few, min(k, rows))
    expected = brute(vectors, few, min(k, rows))
    assert np.array_equal(found[1], expected[1])
    assert np.array_equal(found[0], expected[0])


REPEATED = """
import sys
import {first}
import {second}
import numpy as np
import faiss, torch
sys.path[:0] = {tests!r}
from test_vector_index import brute, filled, unit
vectors, queries = unit(700, 32, 1), unit(5, 32, 2)
vectors[350:] = vectors[:350]
expected = brute(vectors, queries, 20)
for threads in (1, 2):
    faiss.omp_set_num_threads(threads)
    torch.set_num_threads(threads)
    for _ in range(50):
        weights = torch.randn(64, 64)
        (weights @ weights).sum()
        found = filled("flat", vectors).search(queries, 20)
        assert np.array_equal(found[1], expected[1]) and np.array_equal(found[0], expected[0])
print("same")
"""


@pytest.mark.parametrize(("first", "second"), [("torch", "faiss"), ("faiss", "torch")])
def test_either_import_order_one_and_two_threads_a_hundred_times(first, second):
    script = REPEATED.format(first=first, second=second, tests=TESTS)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("same", 0), done.stderr


@pytest.mark.parametrize("kind", INDEX_TYPES)
def test_every_kind_finds_what_is_near(kind):
    vectors, queries = unit(4000, 64, 3), unit(20, 64, 4)
    exact = brute(vectors, queries, 10)[1]
    _, rows = filled(kind, vectors).search(queries, 100, effort=400 if kind == "hnsw" else 60)
    found = np.mean([np.isin(e, r).mean() for e, r in zip(exact, rows, strict=True)])
    assert found > (0.8 if kind == "ivf-rabitq" else 0.9)  # one bit a dimension


@pytest.mark.parametrize("kind", INDEX_TYPES)
def test_a_filter_gives_allowed_rows_only_and_all_of_them_if_few(kind):
    vectors = unit(3000, 32, 5)
    allowed = np.array([2999, 3, 8, 1000, 1001])
    scores, rows = filled(kind, vectors).search(vectors[:4], 50, effort=10**4, allowed=allowed)
    assert rows.shape == (4, 5)
    assert all(sorted(r) == sorted(allowed) for r in rows.tolist())
    assert (np.diff(scores, axis=1) <= 0).all()


@pytest.mark.parametrize("kind", INDEX_TYPES)
def test_joined_parts_answer_as_the_whole_does(kind):
    vectors, queries = unit(3000, 32, 6), unit(9, 32, 7)
    whole = FaissIndex.make(32, kind, 3000)
    whole.train(vectors)
    parts = [whole.empty() for _ in range(3)]
    whole.add(vectors, np.arange(3000))
    for at, part in enumerate(parts):
        part.add(vectors[1000 * at : 1000 * (at + 1)], np.arange(1000))
    together = joined(parts, [0, 1000, 2000])
    assert len(together) == (3 if kind == "hnsw" else 1)
    assert sum(len(index) for index, _ in together) == 3000
    if kind == "hnsw":  # a graph of the whole finds other rows than three graphs of parts
        ours, theirs = search_all(together, queries, 10, 10**4), whole.search(queries, 10, 10**4)
        assert np.allclose(ours[0], theirs[0], atol=1e-6)
        assert np.mean(np.isin(ours[1], theirs[1])) > 0.95
    else:
        ours = search_all(together, queries, 3000, 10**4)
        assert same_answers(ours, whole.search(queries, 3000, 10**4))
    some = np.array([5, 999, 1000, 2998])
    assert sorted(search_all(together, queries, 4, 10**4, some)[1][0]) == some.tolist()


FULL_BLOCKS = """
import sys
import numpy as np
sys.path[:0] = {tests!r}
from test_vector_index import FaissIndex, joined, same_answers, unit
rows = {rows}
vectors = unit(9 * rows, 64, 8)
whole = FaissIndex.make(64, {kind!r}, 1)
whole.train(vectors)
parts = [whole.empty() for _ in range(9)]
whole.add(vectors, np.arange(len(vectors)))
for at, part in enumerate(parts):
    part.add(vectors[at * rows : (at + 1) * rows], np.arange(rows))
(together, _), = joined(parts, [at * rows for at in range(9)])
del parts
for query in vectors[::1111]:
    ours, theirs = (i.search(query[None], len(vectors)) for i in (together, whole))
    assert same_answers(ours, theirs)
print("same")
"""


@pytest.mark.parametrize("kind", ["RR64,IVF1,RaBitQfs", "RR64,IVF1,PQ32x4fs"])
def test_joining_to_lists_of_full_blocks_leaves_memory_whole(kind):
    """512 bytes a block: FAISS itself writes outside at 512, 1024, ... rows in a list."""
    script = FULL_BLOCKS.format(tests=TESTS, kind=kind, rows=512)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("same", 0), done.stderr


def test_it_reads_back_what_it_saved(tmp_path):
    vectors = unit(3000, 32, 10)
    for kind in INDEX_TYPES:
        index = filled(kind, vectors)
        index.save(tmp_path / kind)
        again = FaissIndex.load(tmp_path / kind, kind)
        assert all(
            np.array_equal(a, b)
            for a, b in zip(index.search(vectors[:9], 7), again.search(vectors[:9], 7), strict=True)
        )
        assert index.nbytes() == (tmp_path / kind).stat().st_size


def test_an_unknown_kind_is_refused_by_name():
    with pytest.raises(InputError, match="did you mean 'ivf-pq'"):
        FaissIndex.make(32, "ivfpq", 1000)


def test_a_factory_string_is_taken_as_it_is():
    assert isinstance(
        faiss.downcast_index(FaissIndex.make(32, "IVF16,SQ8", 1000).index),
        faiss.IndexIVFScalarQuantizer,
    )


@pytest.mark.parametrize("kind", INDEX_TYPES)
def test_training_in_place_makes_the_same_index(kind):
    vectors, queries = unit(5000, 32, 8), unit(9, 32, 9)
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        answers = []
        for overwrite in (False, True):
            index = FaissIndex.make(32, kind, 5000)
            index.train(vectors.copy(), overwrite)
            index.add(vectors, np.arange(5000))
            answers.append(index.search(queries, 20, 10))
    finally:
        faiss.omp_set_num_threads(threads)
    assert np.allclose(answers[0][0], answers[1][0], atol=1e-5)
    assert np.mean(answers[0][1] == answers[1][1]) > 0.95


@pytest.mark.parametrize("kind", INDEX_TYPES)
def test_training_on_few_is_no_reason_for_warnings(kind, capfd):
    filled(kind, unit(300, 32, 10))
    index = FaissIndex.make(32, kind, 5000)
    index.train(unit(300, 32, 10))
    written = capfd.readouterr()
    assert written.out + written.err == ""


@settings(max_examples=examples(10), deadline=None)
@given(seed=st.integers(0, 10**6))
def test_rounding_is_allowed_for_and_a_wrong_code_is_seen(seed):
    """Noise of 1e-6 on every score changes the order of near-ties, as another processor does."""
    rng = np.random.default_rng(seed)
    vectors = unit(64, 64, seed)
    vectors[32:] = vectors[:32]
    rows = np.stack([rng.permutation(64) for _ in range(3)])
    scores = np.take_along_axis(vectors[:3] @ vectors.T, rows, axis=1)

    def sorted_by_score(scores, rows):
        order = np.argsort(-scores, axis=1)
        return np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1)

    noisy = (scores + rng.uniform(-1e-6, 1e-6, scores.shape)).astype(np.float32)
    ours, theirs = sorted_by_score(noisy, rows), sorted_by_score(scores, rows)
    assert not np.array_equal(ours[1], theirs[1])
    assert same_answers(ours, theirs)
    wrong = scores.copy()
    wrong[0, :2] += 0.1
    assert not same_answers(sorted_by_score(wrong, rows), theirs)
    assert not same_answers((theirs[0], np.where(rows == 5, 6, rows)), theirs)
