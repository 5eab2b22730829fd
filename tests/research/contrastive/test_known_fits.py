"""Documents that match are never negatives of each other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from jdcv_core.types import Pair
from research.contrastive.known_fits import Contrast, PairGraph, match_contrast, views_of

SEEDS = st.integers(0, 2**32 - 1)


def random_graph(seed, jds, cvs, near):
    """Make random labelled pairs; with `near`, a third of the documents are near-duplicates."""
    rng = np.random.default_rng(seed)
    documents = [f"jd:{i}" for i in range(jds)] + [f"cv:{i}" for i in range(cvs)]
    pairs = [
        Pair(f"cv:{c}", f"jd:{j}", int(rng.integers(3)))
        for c in range(cvs)
        for j in range(jds)
        if rng.random() < 0.4
    ]
    groups = {d: d for d in documents}
    if near:
        for d in documents:
            if rng.random() < 0.33:
                side = [o for o in documents if o[:2] == d[:2]]
                groups[d] = groups[side[rng.integers(len(side))]]
    batch = [d for d in rng.permutation(documents).tolist() if rng.random() < 0.7]
    return pairs, groups, batch


def together(pairs, groups, jd, cv):
    """Find the highest label between near-duplicates of the two by a loop over all pairs."""
    same = [p.label for p in pairs if groups[p.jd] == groups[jd] and groups[p.cv] == groups[cv]]
    return max(same, default=None)


@settings(max_examples=examples(20), deadline=None)
@given(
    SEEDS,
    st.integers(1, 9),
    st.integers(1, 9),
    st.booleans(),
    st.sampled_from(["jd", "cv"]),
    st.sampled_from([None, 0.0, 0.5]),
)
def test_no_known_fit_is_a_negative_and_every_good_fit_of_the_batch_is_a_positive(
    seed, jds, cvs, near, anchors, potential
):
    pairs, groups, batch = random_graph(seed, jds, cvs, near)
    graph = PairGraph(pairs, groups if near else None)
    contrast = match_contrast(graph, batch, anchors, potential)
    names = [batch[i] for i in contrast.anchor.tolist()]
    others = [batch[i] for i in contrast.candidate.tolist()]
    assert {n[:2] for n in names} <= {anchors}
    assert {n[:2] for n in others} <= {"cv" if anchors == "jd" else "jd"}
    assert len(names) + len(others) == len(batch)
    never = {tuple(p) for p in contrast.excluded.tolist()}
    drawn = dict(zip(map(tuple, contrast.positive.tolist()), contrast.weight.tolist(), strict=True))
    for i, one in enumerate(names):
        for k, other in enumerate(others):
            jd, cv = (one, other) if anchors == "jd" else (other, one)
            label = together(pairs, groups, jd, cv)
            assert ((i, k) in never) == (label in (1, 2))
            expected = {2: 1.0, 1: potential or 0.0}.get(label, 0.0)
            assert drawn.get((i, k), 0.0) == expected
    assert contrast.excluded.tolist() == sorted(contrast.excluded.tolist())


@settings(max_examples=examples(10), deadline=None)
@given(SEEDS, st.integers(1, 12), st.integers(1, 5))
def test_no_views_of_one_document_are_negatives(seed, count, documents):
    rng = np.random.default_rng(seed)
    groups = [f"cv:{rng.integers(documents)}" for _ in range(count)]
    contrast = views_of(count, groups)
    never = {tuple(p) for p in contrast.excluded.tolist()}
    for i in range(2 * count):
        for j in range(2 * count):
            assert ((i, j) in never) == (groups[i % count] == groups[j % count])
    assert sorted(map(tuple, contrast.positive.tolist())) == sorted(
        (i, (i + count) % (2 * count)) for i in range(2 * count)
    )


def test_pairs_outside_the_batch_are_ignored():
    graph = PairGraph([Pair("cv:1", "jd:1", 2), Pair("cv:2", "jd:9", 2)])
    contrast = match_contrast(graph, ["jd:1", "cv:2", "cv:1"])
    assert contrast.positive.tolist() == [[0, 1]]
    assert contrast.excluded.tolist() == [[0, 1]]


def test_invalid_arguments_are_refused():
    with pytest.raises(ValueError, match="twice in the batch"):
        match_contrast(PairGraph([]), ["jd:1", "jd:1"])
    with pytest.raises(ValueError, match="'jd' or 'cv'"):
        match_contrast(PairGraph([]), ["jd:1"], "both")
    with pytest.raises(ValueError, match="appears twice"):
        Contrast.of([0, 0], [1], [(0, 1)], [1.0])
    with pytest.raises(ValueError, match="a positive of itself"):
        Contrast.of([0], [0, 1], [(0, 0)], [1.0])
    with pytest.raises(ValueError, match="2 groups for 3"):
        views_of(3, ["a", "b"])
