"""The floors equal values that can be computed by hand."""

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
    """A word that no training document contains has weight 0."""
    texts = {"cv:a": "welding", "jd:a": "welding", "cv:b": "welding yoga", "jd:b": "yoga"}
    documents = {i: Document(i, text) for i, text in texts.items()}
    pairs = [Pair("cv:a", "jd:a", 2), Pair("cv:b", "jd:b", 2)]
    assert floors.tfidf_cosine(pairs, [0], documents).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("side", ["cv", "jd"])
def test_a_probe_reads_only_its_side(side):
    """If labels depend only on the CV, the CV probe finds them and the JD probe does not."""
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


def corpus(seed=0, n=60):
    """Make pairs that fit if a rare word of the JD is in the CV."""
    rng = np.random.default_rng(seed)
    words = [f"word{i}" for i in range(12)]
    documents, pairs = {}, []
    for side in ("cv", "jd"):
        for i in range(n):
            chosen = rng.choice(words, size=4 if side == "cv" else 2, replace=False).tolist()
            text = " ".join(chosen + ["team", "work"] * int(rng.integers(1, 4)))
            documents[f"{side}:{i}"] = Document(f"{side}:{i}", text)
    for i in range(n):
        for j in rng.choice(n, size=12, replace=False):
            cv, jd = (set(documents[d].text.split()) for d in (f"cv:{i}", f"jd:{j}"))
            pairs.append(Pair(f"cv:{i}", f"jd:{j}", min(2, len((cv & jd) - {"team", "work"}))))
    return pairs, documents


def test_bm25_equals_the_formula_word_by_word():
    pairs, documents = corpus()
    train = range(0, 400)
    words = {i: d.text.split() for i, d in documents.items()}
    known = {pairs[i].cv for i in train}
    mean = np.mean([len(words[i]) for i in known])

    def slow(pair):
        total = 0.0
        for word in words[pair.jd]:
            df = sum(word in words[i] for i in known)
            if df == 0:
                continue
            f = words[pair.cv].count(word)
            idf = np.log(1 + (len(known) - df + 0.5) / (df + 0.5))
            total += idf * f * 2.2 / (f + 1.2 * (0.25 + 0.75 * len(words[pair.cv]) / mean))
        return total

    raw = np.array([slow(p) for p in pairs])
    median = np.median(raw[list(train)])
    np.testing.assert_allclose(
        floors.bm25(pairs, train, documents), raw / (raw + median), rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("floor", [floors.bm25, floors.tfidf_logistic, floors.tfidf_cosine])
def test_word_floors_find_fits_that_depend_on_words(floor):
    pairs, documents = corpus()
    scores = floor(pairs, range(500), documents)
    assert ((scores >= 0) & (scores <= 1 + 1e-6)).all()
    assert roc_auc_score([p.label > 0 for p in pairs[500:]], scores[500:]) > 0.75


@pytest.mark.parametrize("floor", [floors.bm25, floors.tfidf_logistic, floors.tfidf_cosine])
def test_nothing_of_the_test_pairs_reaches_the_others(floor):
    """Changing the labels and a document of test pairs changes no other score."""
    pairs, documents = corpus()
    only_test = "cv:59"
    train = [i for i, p in enumerate(pairs[:500]) if p.cv != only_test]
    before = floor(pairs, train, documents)
    turned = [p if i in set(train) else Pair(p.cv, p.jd, 2 - p.label) for i, p in enumerate(pairs)]
    changed = documents | {only_test: Document(only_test, "word1 word2 novel words " * 9)}
    after = floor(turned, train, changed)
    others = [i for i, p in enumerate(pairs) if p.cv != only_test]
    np.testing.assert_array_equal(before[others], after[others])
    assert not np.array_equal(before, after)


def test_logistic_regression_on_shuffled_labels_is_at_chance():
    pairs, documents = corpus()
    rng = np.random.default_rng(1)
    labels = rng.permutation([p.label for p in pairs])
    shuffled = [Pair(p.cv, p.jd, int(y)) for p, y in zip(pairs, labels, strict=True)]
    scores = floors.tfidf_logistic(shuffled, range(500), documents)
    assert abs(roc_auc_score(labels[500:] > 0, scores[500:]) - 0.5) < 0.1


def test_random_scores_are_determined_by_the_seed():
    pairs, _ = corpus()
    one = floors.random_scores(pairs, 0)
    assert np.array_equal(one, floors.random_scores(pairs, 0))
    assert not np.array_equal(one, floors.random_scores(pairs, 1))
    assert ((one >= 0) & (one < 1)).all()
