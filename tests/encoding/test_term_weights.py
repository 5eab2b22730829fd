"""Weights of tokens against scikit-learn's TF-IDF, and what they may depend on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from thorough import examples

from jdcv_core.encoding.term_weights import TermWeights

CHUNKS = st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=8), min_size=1, max_size=6)


def dense(words, vocabulary=40):
    found = np.zeros((len(words), vocabulary))
    for row, chunk in enumerate(words):
        np.add.at(found[row], chunk[:, 0].astype(int), chunk[:, 1])
    return found


@settings(max_examples=examples(20))
@given(CHUNKS, CHUNKS)
def test_weights_are_those_of_scikit_learn_where_training_has_seen_the_token(train, other):
    vectorizer = TfidfVectorizer(analyzer=lambda chunk: map(str, chunk), sublinear_tf=True)
    vectorizer.fit(train)
    seen = {token for chunk in train for token in chunk}
    other = [own for chunk in other if (own := [t for t in chunk if t in seen])] or train
    found = dense(TermWeights.fit({"a": train}, ["a"])({"b": other})["b"])
    names = [int(name) for name in vectorizer.get_feature_names_out()]
    expected = np.zeros_like(found)
    expected[:, names] = vectorizer.transform(other).toarray()
    np.testing.assert_allclose(found, expected, atol=1e-6)


@settings(max_examples=examples(10))
@given(CHUNKS, CHUNKS, CHUNKS)
def test_only_the_training_documents_count(train, other, third):
    alone = TermWeights.fit({"a": train}, ["a"])
    among = TermWeights.fit({"a": train, "b": other}, ["a"])
    np.testing.assert_array_equal(alone({"c": third})["c"], among({"c": third})["c"])


def test_a_token_that_training_has_not_seen_is_the_rarest():
    terms = TermWeights.fit({"a": [[1, 2], [1, 3]]}, ["a"])
    (chunk,) = terms({"b": [[1, 2, 99]]})["b"]
    assert chunk[:, 0].tolist() == [1, 2, 99]
    assert chunk[0, 1] < chunk[1, 1] < chunk[2, 1]
    assert np.linalg.norm(chunk[:, 1]) == pytest.approx(1)


def test_shorter_chunks_are_padded_with_weight_0():
    words = TermWeights.fit({"a": [[5]]}, ["a"])({"a": [[5], [6, 7, 8]]})["a"]
    assert words.shape == (2, 3, 2)
    assert (words[0, 1:] == 0).all()


def test_no_chunk_is_refused():
    with pytest.raises(ValueError, match="no chunk"):
        TermWeights.fit({"a": [[1]]}, [])
