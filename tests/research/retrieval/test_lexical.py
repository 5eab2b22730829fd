"""Word retrievers equal plain loops over the formulas; fusion equals sums by hand."""

import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from jdcv_core.errors import InputError
from research.retrieval.fusion import rrf
from research.retrieval.lexical import bm25_search, tfidf_search

texts = st.lists(
    st.sampled_from(["sql", "java", "welding", "rohre", "care", "軟"]), max_size=9
).map(" ".join)
ids = st.text("ab1é", min_size=1, max_size=3)
corpora = st.dictionaries(ids, texts, min_size=1, max_size=9).filter(
    lambda corpus: any(text for text in corpus.values())
)


def slow_bm25(query, text, corpus):
    split = [other.split() for other in corpus.values()]
    mean = sum(map(len, split)) / len(split)
    total = 0.0
    for word in query.split():
        df, f = sum(word in other for other in split), text.split().count(word)
        idf = math.log(1 + (len(split) - df + 0.5) / (df + 0.5))
        total += idf * f * 2.2 / (f + 1.2 * (0.25 + 0.75 * len(text.split()) / mean))
    return total


def slow_tfidf(query, text, corpus):
    split = [other.split() for other in corpus.values()]

    def vector(own):
        found = {}
        for word in set(own.split()):
            df = sum(word in other for other in split)
            if df:
                idf = 1 + math.log((1 + len(split)) / (1 + df))
                found[word] = (1 + math.log(own.split().count(word))) * idf
        return found

    a, b = vector(query), vector(text)
    length = math.hypot(*a.values()) * math.hypot(*b.values())
    return sum(a[word] * b.get(word, 0.0) for word in a) / length if length else 0.0


@settings(max_examples=examples(20))
@given(st.dictionaries(ids, texts, max_size=4), corpora, st.integers(1, 10))
@pytest.mark.parametrize(("search", "slow"), [(bm25_search, slow_bm25), (tfidf_search, slow_tfidf)])
def test_a_search_equals_a_slow_loop(search, slow, queries, corpus, k):
    found = search(queries, corpus, k)
    assert list(found) == list(queries)
    for query, own in found.items():
        expected = {d: slow(queries[query], text, corpus) for d, text in corpus.items()}
        shared = {d: s for d, s in expected.items() if s > 0}
        assert len(own) == min(k, len(shared))
        assert own == pytest.approx({d: shared[d] for d in own}, rel=1e-5)
        kth = sorted(shared.values(), reverse=True)[: len(own)]
        assert sorted(own.values(), reverse=True) == pytest.approx(kth, rel=1e-5)


@given(st.dictionaries(ids, texts, max_size=4), corpora, st.integers(1, 10), st.integers(1, 30))
@pytest.mark.parametrize("search", [bm25_search, tfidf_search])
def test_blocks_and_the_order_of_the_corpus_change_no_bit(search, queries, corpus, k, cells):
    found = search(queries, corpus, k)
    assert search(queries, corpus, k, cells=cells) == found
    backwards = search(queries, dict(reversed(corpus.items())), k, cells=cells)
    assert [list(own.items()) for own in backwards.values()] == [
        list(own.items()) for own in found.values()
    ]


@pytest.mark.parametrize("search", [bm25_search, tfidf_search])
@pytest.mark.parametrize("cells", [1, 2, 3, 1000])
def test_ties_go_to_the_lower_id_and_no_shared_word_is_not_found(search, cells):
    corpus = {"c": "sql", "a10": "sql", "b": "yoga", "a9": "sql", "d": "sql sql"}
    found = search({"q": "sql", "none": "piano", "empty": ""}, corpus, 3, cells=cells)
    tied = list(found["q"])
    assert [d for d in tied if d != "d"] == ["a10", "a9", "c"][: len(tied) - ("d" in tied)]
    assert (found["none"], found["empty"]) == ({}, {})
    assert list(search({"q": "yoga"}, corpus, 3, cells=cells)["q"]) == ["b"]


def test_no_block_is_larger_than_the_bound(monkeypatch):
    from research.retrieval import lexical

    sizes = []
    first = lexical.k_best

    def seen(scores, places, k):
        sizes.append(len(scores))
        return first(scores, places, k)

    monkeypatch.setattr(lexical, "k_best", seen)
    corpus = {f"{i:03}": "sql" for i in range(100)}
    lexical.bm25_search({"p": "sql", "q": "sql"}, corpus, 5, cells=30)
    assert sizes == [30, 30, 35, 35, 35, 35, 15, 15]


@pytest.mark.parametrize("search", [bm25_search, tfidf_search])
def test_chinese_texts_are_found_by_their_characters(search):
    corpus = {"1": "高级软件工程师，五年经验", "2": "餐厅厨师", "3": "Koch in Berlin"}
    assert list(search({"q": "招聘软件工程师"}, corpus, 3)["q"]) == ["1", "2"]  # 师 is in both


@pytest.mark.parametrize("search", [bm25_search, tfidf_search])
def test_wrong_input_is_refused(search):
    with pytest.raises(ValueError, match=re.escape("must be at least 1, got 0 and")):
        search({"q": "sql"}, {"a": "sql"}, 0)
    with pytest.raises(ValueError, match="got 1 and 0"):
        search({"q": "sql"}, {"a": "sql"}, 1, cells=0)
    for corpus in ({}, {"a": "- ."}):
        with pytest.raises(InputError, match="no document has a word"):
            search({"q": "sql"}, corpus, 1)
    assert search({}, {"a": "sql"}, 1) == {}


def test_fusion_by_hand():
    one = {"q": {"a": 0.9, "b": 0.5, "c": 0.5}, "only here": {"a": 1.0}}
    two = {"q": {"d": 70.0, "c": 3.0}}
    fused = rrf([one, two])
    # a is first, b and c tie at second (b by its id); d is first, c second.
    assert fused["q"] == {"c": 1 / 63 + 1 / 62, "a": 1 / 61, "d": 1 / 61, "b": 1 / 62}
    assert list(fused["q"]) == ["c", "a", "d", "b"]
    assert fused["only here"] == {"a": 1 / 61}
    assert rrf([]) == {}
    with pytest.raises(ValueError, match="k0 must be at least 0"):
        rrf([one], k0=-1)
    with pytest.raises(ValueError, match="a is nan"):
        rrf([{"q": {"a": math.nan}}])


runs = st.lists(
    st.dictionaries(ids, st.dictionaries(ids, st.sampled_from([0.1, 0.5, 0.9])), max_size=3),
    max_size=4,
)


@given(runs, st.integers(0, 60))
def test_fusion_equals_a_slow_loop_in_any_order_of_the_runs(several, k0):
    fused = rrf(several, k0)
    assert fused == rrf(several[::-1], k0)
    assert set(fused) == {query for run in several for query in run}
    for query, own in fused.items():
        assert set(own) == {d for run in several for d in run.get(query, {})}
        for document, score in own.items():
            total = 0.0
            for run in several:
                scores = run.get(query, {})
                if document in scores:
                    me = (-scores[document], document)
                    total += 1 / (k0 + 1 + sum((-s, d) < me for d, s in scores.items()))
            assert score == pytest.approx(total)
        assert list(own) == sorted(own, key=lambda d: (-own[d], d))
