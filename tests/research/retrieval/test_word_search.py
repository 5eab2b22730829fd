"""A search by words over segments equals TF-IDF over one list of texts, whatever was rare."""

from collections import Counter
from dataclasses import fields
from math import log, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from research.retrieval import word_counts, word_search
from research.retrieval.lexical import tfidf_search
from research.retrieval.word_counts import WordCounts, count_words, hash_of
from research.retrieval.word_search import WordIndex

VOCABULARY = [f"w{n}" for n in range(60)]
texts = st.lists(st.sampled_from(VOCABULARY), max_size=25).map(" ".join)
segments = st.lists(st.lists(texts, min_size=1, max_size=8), min_size=1, max_size=4)


def index_of(parts):
    return WordIndex([WordCounts.of([count_words(text) for text in own]) for own in parts])


@settings(max_examples=examples(60))
@given(segments, texts, st.sampled_from([1, 2, 16, 10**6]), st.sampled_from([0, 3, 2**16]))
def test_scores_equal_those_of_tfidf_whatever_is_frequent(parts, query, frequent, most):
    every = [text for own in parts for text in own]
    if not any(every):
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(word_counts, "FREQUENT", frequent)
        patch.setattr(word_counts, "MOST_FREQUENT", most)
        index = index_of(parts)
    scores = index.ask(count_words(query))
    found = scores.of(np.arange(len(every)))
    assert np.array_equal(scores.of(np.arange(1, len(every), 2)), found[1::2])
    named = {f"{n:03}": text for n, text in enumerate(every)}
    expected = tfidf_search({"q": query}, named, len(every))["q"]
    assert found == pytest.approx([expected.get(name, 0.0) for name in named], abs=1e-9)


@given(st.lists(texts, max_size=12))
def test_words_come_back_as_they_were_counted(own):
    each = [count_words(text) for text in own]
    again = WordCounts.of(each).each()
    assert len(again) == len(each)
    for (hashes, counts), (old, old_counts) in zip(again, each, strict=True):
        assert np.array_equal(hashes, old)
        assert np.array_equal(counts, old_counts)


@given(st.lists(st.tuples(texts, st.booleans()), max_size=40))
def test_words_of_some_documents_are_as_if_there_were_no_others(own):
    each = [count_words(text) for text, _ in own]
    kept = np.array([keep for _, keep in own], bool)
    found = WordCounts.of(each).only(kept)
    alone = WordCounts.of([words for words, keep in zip(each, kept, strict=True) if keep])
    for field in fields(WordCounts):
        assert np.array_equal(getattr(found, field.name), getattr(alone, field.name))


def test_files_hold_what_was_arranged(tmp_path):
    made = WordCounts.of([count_words(t) for t in ("a1 b2 b2", "b2 c3", "", "b2")])
    made.save(tmp_path)
    read = WordCounts.read(tmp_path)
    assert all(np.array_equal(getattr(made, f.name), getattr(read, f.name)) for f in fields(made))
    b = int(np.flatnonzero(read.hashes == hash_of("b2"))[0])
    assert read.having()[b] == 3


def test_a_count_above_255_is_255():
    _, counts = count_words("sql " * 300 + "java")
    assert sorted(counts.tolist()) == [1, 255]


def test_the_best_are_those_with_the_highest_scores():
    rng = np.random.default_rng(0)
    share = 1 / np.arange(1, 61)
    every = [" ".join(rng.choice(VOCABULARY, 20, p=share / share.sum())) for _ in range(90)]
    scores = index_of([every[:50], every[50:]]).ask(count_words("w0 w7 w30 w40 w41"))
    exact = scores.of(np.arange(90))
    assert scores.best(5).tolist() == sorted(np.lexsort((np.arange(90), -exact))[:5].tolist())
    allowed = np.arange(0, 90, 3)
    own = sorted(allowed, key=lambda d: (-exact[d], d))[:4]
    assert scores.best(4, allowed).tolist() == sorted(own)
    assert scores.best(4, np.empty(0, np.int64)).tolist() == []


def zipf_texts(count, seed, length=20):
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, 401)
    drawn = rng.choice(400, (count, length), p=share / share.sum())
    return [" ".join(f"w{n}" for n in own) for own in drawn]


def test_candidates_of_a_large_index_equal_slow_loops(monkeypatch):
    """Those with the highest cosines over the words that are rare in the segment."""
    monkeypatch.setattr(word_search, "ALL", 10)
    every = zipf_texts(120, 1)
    parts = [every[:50], every[50:]]
    index = index_of(parts)
    said = [Counter(t.split()) for t in every]
    df = Counter(w for own in said for w in own)
    rare = [
        {w for w in df if sum(w in t.split() for t in part) * word_counts.FREQUENT <= len(part)}
        for part in parts
    ]

    def weight(own, w):
        return (1 + log(own[w])) * (1 + log(121 / (1 + df[w])))

    for query in zipf_texts(20, 2):
        asked = Counter(query.split())

        def score(d, asked=asked):
            both = asked.keys() & said[d].keys() & rare[d >= 50]
            norm = sqrt(sum(weight(said[d], w) ** 2 for w in said[d]))
            return round(sum(weight(asked, w) * weight(said[d], w) for w in both) / norm, 9)

        expected = sorted(range(120), key=lambda d: (-score(d), d))[:7]
        assert index.ask(count_words(query)).best(7).tolist() == sorted(expected)


def test_candidates_contain_the_best_by_tfidf(monkeypatch):
    """Documents of 40 topics, each with some words that few other documents have."""
    rng = np.random.default_rng(0)
    common = zipf_texts(1200, 3, 30)
    topic = rng.integers(0, 40, 1200)
    own = [" ".join(f"t{t}x{w}" for w in rng.integers(0, 25, 10)) for t in topic]
    every = [f"{a} {b}" for a, b in zip(common, own, strict=True)]
    parts = [every[:500], every[500:900], every[900:]]
    monkeypatch.setattr(word_search, "ALL", 300)
    index = index_of(parts)
    shares = []
    for number in range(40):
        scores = index.ask(count_words(f"{every[number]} {own[number]} {common[-number]}"))
        exact = scores.of(np.arange(1200))
        found = scores.best(60)
        assert np.array_equal(scores.of(found), exact[found])
        shares.append(np.isin(np.argsort(-exact, kind="stable")[:15], found).mean())
    assert np.mean(shares) > 0.999


def test_documents_that_may_be_found_limit_the_candidates(monkeypatch):
    monkeypatch.setattr(word_search, "ALL", 3)
    every = zipf_texts(90, 4)
    scores = index_of([every[:31], every[31:]]).ask(count_words("w3 w60 w200 w300"))
    allowed = np.arange(0, 90, 7)
    own = scores.without_frequent[allowed]
    expected = allowed[np.lexsort((allowed, -own))[:4]]
    assert scores.best(4, allowed).tolist() == sorted(expected.tolist())
    assert scores.best(100, allowed).tolist() == allowed.tolist()


def test_an_index_without_documents_or_words_finds_nothing():
    assert index_of([]).ask(count_words("java")).best(3).tolist() == []
    assert index_of([["", ""]]).ask(count_words("java")).of(np.arange(2)).tolist() == [0, 0]


def test_common_words_are_those_that_add_most_to_the_score():
    every = ["java kafka kafka and", "java and", "java and sql", "and"]
    index = index_of([every[:2], every[2:]])
    assert index.common(0, every[0], "Kafka and Java, Rust") == ("kafka", "java", "and")
    assert index.common(2, every[2], "SQL and java", most=1) == ("sql",)
    assert index.common(3, every[3], "welding") == ()
