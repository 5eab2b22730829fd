"""The simulated corpus: the same every time, block by block, and as like itself as real CVs are."""

import numpy as np
import pytest

from research.retrieval.simulated_vectors import BLOCK, Simulated

REAL = {"within": (0.44, 0.15), "between": (0.25, 0.12), "jd": (0.23, 0.12)}
"""Mean and standard deviation of cosines of chunk vectors (all-MiniLM-L6-v2, chunks of 128 tokens)
of 333 CVs and 197 JDs of the hub dataset."""


@pytest.fixture(scope="module")
def corpus() -> Simulated:
    return Simulated(BLOCK + 700)


def test_a_block_is_the_same_alone_and_in_the_whole(corpus):
    again = Simulated(BLOCK + 700)
    assert np.array_equal(again.block(1), list(corpus.each())[1])
    assert [len(b) for b in corpus.each()] == [BLOCK, 700]
    assert not np.array_equal(corpus.block(1)[:5], Simulated(BLOCK + 700, seed=1).block(1)[:5])


def test_vectors_have_unit_length(corpus):
    assert np.allclose(np.linalg.norm(corpus.block(1), axis=2), 1, atol=1e-6)
    assert corpus.jds(7).shape == (7, 2, 384)


def test_words_are_counted_as_in_real_documents():
    """The numbers in the module, which real CVs and JDs have too, within a sixth to a third."""
    corpus = Simulated(333)
    cvs, jds = [e.words[0] for e in corpus.entries()], [e.words[0] for e in corpus.queries(197)]
    assert np.median([len(own) for own in cvs]) == pytest.approx(361, rel=0.15)
    assert np.median([len(own) for own in jds]) == pytest.approx(184, rel=0.15)
    every, having = np.unique(np.concatenate(cvs), return_counts=True)
    frequent = having * 16 > len(cvs)
    assert having[frequent].sum() / having.sum() == pytest.approx(0.59, rel=0.25)
    rare = dict(zip(every[~frequent].tolist(), having[~frequent].tolist(), strict=True))
    shared = [sum(rare.get(word, 0) for word in own.tolist()) / len(cvs) for own in jds]
    assert np.mean(shared) == pytest.approx(1.5, rel=0.35)


def test_documents_of_an_occupation_share_words():
    corpus = Simulated(600)
    words = [set(e.words[0].tolist()) for e in corpus.entries()]
    occupation = corpus._occupations(600, [0, 1, 0])
    one = np.flatnonzero(occupation == np.bincount(occupation).argmax()).tolist()
    others = [n for n in range(600) if n not in one]

    def common(first: list[int], second: list[int]) -> float:
        return np.mean([len(words[a] & words[b]) for a in first for b in second if a != b])

    assert common(one, one) > common(one, others) + 5


def test_cosines_are_near_those_of_real_documents(corpus):
    cvs, jds = corpus.block(1), corpus.jds(300)
    flat = cvs.reshape(-1, 384)
    cosines = flat @ flat.T
    of = np.repeat(np.arange(len(cvs)), 4)
    same, other = of[:, None] == of, ~np.eye(len(flat), dtype=bool)
    found = {
        "within": cosines[same & other],
        "between": cosines[~same],
        "jd": jds.reshape(-1, 384) @ flat.T,
    }
    for name, (mean, deviation) in REAL.items():
        assert abs(found[name].mean() - mean) < 0.06
        assert abs(found[name].std() - deviation) < 0.06
    assert found["within"].mean() > found["between"].mean() + 0.15
