"""Mined CVs are near the top, never known fits, and the same for the same seed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from jdcv_core import floors
from jdcv_core.types import Document, Pair
from research.contrastive.known_fits import PairGraph
from research.contrastive.mining import bm25_scores, runner_ups
from research.contrastive.views import dropout_views, two_spans

JDS, CVS = [f"jd:{i}" for i in range(6)], [f"cv:{i:02}" for i in range(15)]


@settings(max_examples=examples(13), deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 8), st.integers(1, 8), st.integers(1, 6))
def test_mined_cvs_are_in_the_window_and_not_known_fits(seed, first, width, count):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 4, (6, 15)).astype(float)  # ties
    pairs = [Pair(c, j, int(rng.integers(3))) for c in CVS for j in JDS if rng.random() < 0.3]
    groups = {d: d for d in JDS + CVS} | {"cv:03": "cv:02", "jd:1": "jd:0"}
    graph = PairGraph(pairs, groups)
    found = runner_ups(scores, JDS, CVS, graph, first, first + width, count, 5)
    for at, (jd, own) in enumerate(zip(JDS, found, strict=True)):
        bad = {groups[p.cv] for p in pairs if groups[p.jd] == groups[jd] and p.label > 0}
        ranked = sorted(range(15), key=lambda c: (-scores[at, c], CVS[c]))
        allowed = [CVS[c] for c in ranked if groups[CVS[c]] not in bad]
        window = allowed[first : first + width]
        assert set(own) <= set(window)
        assert len(own) == len(set(own)) == min(count, len(window))
    alone = runner_ups(scores[2:3], JDS[2:3], CVS, graph, first, first + width, count, 5)
    assert alone == found[2:3]


def test_bm25_of_all_pairs_ranks_as_the_floor_does():
    rng = np.random.default_rng(0)
    documents = {
        i: Document(i, " ".join(f"word{w}" for w in rng.integers(0, 30, 25))) for i in JDS + CVS
    }
    pairs = [Pair(c, j, 0) for j in JDS for c in CVS]
    floor = floors.bm25(pairs, range(len(pairs)), documents).reshape(6, 15)
    found = bm25_scores([documents[j] for j in JDS], [documents[c] for c in CVS])
    np.testing.assert_allclose(found / (found + np.median(found)), floor, rtol=1e-5)


def test_an_invalid_window_is_refused():
    for first, last, count in ((-1, 3, 1), (3, 3, 1), (0, 3, 0)):
        with pytest.raises(ValueError, match="window"):
            runner_ups(np.zeros((6, 15)), JDS, CVS, PairGraph([]), first, last, count, 0)
    with pytest.raises(ValueError, match="shape"):
        runner_ups(np.zeros((6, 14)), JDS, CVS, PairGraph([]), 0, 3, 1, 0)


@settings(max_examples=examples(20), deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=5), st.integers(1, 12), st.integers(0, 99))
def test_two_spans_of_a_document_share_no_token_and_keep_their_order(lengths, least, seed):
    numbers = iter(range(1000))
    chunks = [[next(numbers) for _ in range(n)] for n in lengths]
    found = two_spans(chunks, np.random.default_rng(seed), least)
    long = [n for n in lengths if n >= least]
    assert (found is None) == (len(long) < 2 and max(lengths) < 2 * least)
    if found is not None:
        one, other = found
        assert min(len(one), len(other)) >= least
        assert max(one) < min(other)
        assert list(one) == sorted(one)


def test_dropout_views_are_each_chunk_twice():
    chunks = [[1, 2], [3]]
    views = dropout_views(chunks)
    assert views[:2] == views[2:] == chunks
