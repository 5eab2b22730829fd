"""The floors against truths that can be worked out."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from jdcv_core import floors
from jdcv_core.types import Document, Pair


def test_the_majority_floor_gives_the_commonest_class_of_train():
    pairs = [Pair(f"cv:{i}", "jd:0", label) for i, label in enumerate([0, 0, 0, 1, 1, 2])]
    assert floors.majority(pairs, [0, 3, 4]).tolist() == [0.5] * 6
    assert floors.majority(pairs, [0, 1, 5]).tolist() == [0.0] * 6


def test_tfidf_is_one_for_equal_words_and_zero_for_none_shared():
    texts = {"cv:a": "welding pipes", "cv:b": "teaching maths", "jd:a": "Pipes, welding!"}
    documents = {i: Document(i, text) for i, text in texts.items()}
    pairs = [Pair("cv:a", "jd:a", 2), Pair("cv:b", "jd:a", 0)]
    np.testing.assert_allclose(floors.tfidf_cosine(pairs, [0, 1], documents), [1, 0], atol=1e-12)


def test_tfidf_takes_document_frequencies_from_train_only():
    """A word that no training document has weighs nothing."""
    texts = {"cv:a": "welding", "jd:a": "welding", "cv:b": "welding yoga", "jd:b": "yoga"}
    documents = {i: Document(i, text) for i, text in texts.items()}
    pairs = [Pair("cv:a", "jd:a", 2), Pair("cv:b", "jd:b", 2)]
    assert floors.tfidf_cosine(pairs, [0], documents).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("side", ["cv", "jd"])
def test_a_probe_sees_its_own_side_and_nothing_else(side):
    """Labels that follow the CV alone are found by the CV probe and missed by the JD probe."""
    rng = np.random.default_rng(0)
    matrices = {f"{s}:{i}": rng.normal(size=(3, 8)) for s in ("cv", "jd") for i in range(120)}
    pairs = []
    for i in range(120):
        for j in rng.integers(120, size=5):
            pairs.append(Pair(f"cv:{i}", f"jd:{j}", 2 if matrices[f"cv:{i}"].mean(0)[0] > 0 else 0))
    train = range(0, 400)
    scores = floors.one_side_probe(pairs, train, matrices, side)
    assert ((scores >= 0) & (scores <= 1)).all()
    good = [p.label == 2 for p in pairs[400:]]
    auc = roc_auc_score(good, scores[400:])
    assert auc > 0.9 if side == "cv" else abs(auc - 0.5) < 0.2
