"""Groups of near-duplicates against a plain reading of their definition."""

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jdcv_core.data import near_duplicates
from jdcv_core.data.near_duplicates import near_duplicate_groups
from jdcv_core.data.sources import load_table
from jdcv_core.types import Document

# Few words, so that shingles are shared often; punctuation and an empty text among them.
TEXTS = st.lists(st.sampled_from(["a", "b", "c", "A", "é", ",", "7"]), max_size=9).map(" ".join)
CORPUS = st.lists(st.tuples(st.sampled_from(["cv", "jd"]), TEXTS), max_size=12)


def shingles(text):
    words = re.findall(r"\w+", text.lower())
    padded = ["", "", *words] if words else []
    return {tuple(padded[i : i + 3]) for i in range(len(padded) - 2)}


def jaccard(one, other):
    return len(one & other) / len(one | other) if one | other else 0.0


def reference(documents, threshold):
    """Merge groups until no two of them hold near-duplicates."""
    sets = {d.id: shingles(d.text) for d in documents}
    groups = [{d.id} for d in documents]
    for one in sets:
        for other in sets:
            if one[:2] == other[:2] and jaccard(sets[one], sets[other]) >= threshold:
                merged = [g for g in groups if one in g or other in g]
                groups = [g for g in groups if g not in merged] + [set().union(*merged)]
    return {i: min(group) for group in groups for i in group}


def as_documents(corpus):
    return [Document(f"{side}:{number:02}", text) for number, (side, text) in enumerate(corpus)]


@given(CORPUS, st.sampled_from([0.2, 0.5, 0.8, 1.0]), st.randoms(use_true_random=False))
def test_groups_equal_the_definition_in_any_order(corpus, threshold, rng: random.Random):
    documents = as_documents(corpus)
    expected = reference(documents, threshold)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_duplicates, "THRESHOLD", threshold)
        assert near_duplicate_groups(documents) == expected
        rng.shuffle(documents)
        assert near_duplicate_groups(documents) == expected


def test_a_chain_is_one_group_and_the_sides_stay_apart():
    words = [str(n) for n in range(30)]
    window = [" ".join(words[start : start + 20]) for start in (0, 4, 8)]
    documents = [Document(f"cv:{n}", text) for n, text in enumerate(window)]
    ends = jaccard(shingles(window[0]), shingles(window[2]))
    assert ends < 0.5 <= jaccard(shingles(window[0]), shingles(window[1]))
    documents.append(Document("jd:0", window[0]))
    groups = near_duplicate_groups(documents)
    assert groups == {"cv:0": "cv:0", "cv:1": "cv:0", "cv:2": "cv:0", "jd:0": "jd:0"}


def test_case_punctuation_and_repetition_do_not_count(monkeypatch):
    texts = ["Led a team", "led, a TEAM.", "b c d e", " ".join(["b c d e"] * 9)]
    documents = [Document(f"cv:{n}", text) for n, text in enumerate(texts)]
    assert jaccard(shingles(texts[0]), shingles(texts[1])) == 1
    assert near_duplicate_groups(documents)["cv:1"] == "cv:0"
    # 4 shingles in the first, those and 2 at the seams in the second.
    assert jaccard(shingles(texts[2]), shingles(texts[3])) == 4 / 6
    for threshold, group in ((4 / 6, "cv:2"), (0.7, "cv:3")):
        monkeypatch.setattr(near_duplicates, "THRESHOLD", threshold)
        assert near_duplicate_groups(documents)["cv:3"] == group


def test_more_documents_than_one_block_and_more_shingles_than_a_small_integer_holds():
    rng = random.Random(0)
    texts = [" ".join(str(rng.randrange(10**6)) for _ in range(40)) for _ in range(300)]
    documents = [Document(f"cv:{n:03}", text) for n, text in enumerate([*texts, *texts[::-1]])]
    groups = near_duplicate_groups(documents)
    assert groups == {f"cv:{n:03}": f"cv:{min(n, 599 - n):03}" for n in range(600)}


def test_invisible_characters_and_mojibake_do_not_hide_a_copy():
    text = "Développeur à Zürich depuis 2015, équipe de cinq personnes"
    copies = [text, text.encode().decode("latin-1"), "\u200b".join(text)]
    documents = [Document(f"cv:{i}", copy) for i, copy in enumerate(copies)]
    assert set(near_duplicate_groups(documents).values()) == {"cv:0"}


def test_no_documents_have_no_groups():
    assert near_duplicate_groups([]) == {}


def test_the_real_documents(shared_data):
    documents = load_table(shared_data / "resume_job_fit" / "pairs.csv").documents.values()
    groups = near_duplicate_groups(documents)
    cvs = [d for d in documents if d.side == "cv"]
    # The CVs that stand there twice, found by eye: 20, their entries in another order.
    assert len(cvs) - len({groups[d.id] for d in cvs}) == 20
    for document in cvs:
        twin = groups[document.id]
        if twin != document.id:
            words = [set(re.findall(r"[A-Za-z]{4,}", d.text)) for d in documents if d.id == twin]
            assert jaccard(words[0], set(re.findall(r"[A-Za-z]{4,}", document.text))) > 0.6
    assert len({groups[d.id] for d in documents if d.side == "jd"}) == 191


def test_real_texts_find_themselves_after_their_punctuation_was_replaced(shared_data):
    """raw_100.csv holds texts of pairs.csv before that: each joins the group of one of them."""
    folder = shared_data / "resume_job_fit"
    cleaned, raw = (load_table(folder / f).documents for f in ("pairs.csv", "raw_100.csv"))
    groups = near_duplicate_groups((cleaned | raw).values())
    there = {groups[i] for i in cleaned}
    assert len(raw.keys() - cleaned.keys()) == 93
    assert all(groups[i] in there for i in raw)
    # Nothing else was joined by them.
    assert len(there) == len(set(near_duplicate_groups(cleaned.values()).values()))
