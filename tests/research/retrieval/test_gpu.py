"""The GPU's answers are the CPU's. Needs a GPU and the extra `gpu`."""

import faiss
import numpy as np
import pytest
from test_vector_index import brute, filled, unit

from research.retrieval.vector_index import GPU_MOST, SLACK

pytestmark = pytest.mark.skipif(faiss.get_num_gpus() == 0, reason="needs a GPU and faiss-gpu")


@pytest.mark.parametrize("k", [1, 20, 2000, GPU_MOST - SLACK])
def test_flat_on_a_gpu_equals_brute_force_with_the_tie_rule(k):
    vectors, queries = unit(4000, 64, 1), unit(5, 64, 2)
    vectors[2000:] = vectors[:2000]  # every score twice
    index = filled("flat", vectors)
    assert index.to_gpu(0)
    scores, rows = index.search(queries, k)
    expected = brute(vectors, queries, k)
    assert np.array_equal(rows, expected[1])
    assert np.array_equal(scores, expected[0])


@pytest.mark.parametrize("kind", ["ivf-flat", "ivf-sq8"])
def test_lists_on_a_gpu_find_the_rows_of_the_cpu(kind):
    vectors, queries = unit(20_000, 64, 3), unit(50, 64, 4)
    index = filled(kind, vectors)
    here = index.search(queries, 50, 16)
    assert index.to_gpu(0)
    there = index.search(queries, 50, 16)
    same = np.mean([np.isin(a, b).mean() for a, b in zip(here[1], there[1], strict=True)])
    assert same > 0.98
    assert np.abs(here[0] - there[0]).max() < 4e-3


def test_a_filter_a_change_and_a_kind_of_the_cpu_alone_work_as_before():
    vectors = unit(3000, 64, 5)
    index = filled("ivf-flat", vectors)
    assert index.to_gpu(0)
    allowed = np.array([5, 17, 2999])
    _, rows = index.search(vectors[:3], 10, 10**4, allowed)
    assert [sorted(r) for r in rows.tolist()] == [[5, 17, 2999]] * 3
    index.add(vectors[:1] * 3, np.array([3000]))
    assert (index.search(vectors[:1], 1, 10**4)[1] == 3000).all()
    assert not filled("ivf-pq", vectors).to_gpu(0)
    assert not filled("hnsw", vectors).to_gpu(0)
