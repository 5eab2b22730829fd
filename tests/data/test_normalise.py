"""Identity of documents, merging of pairs, the fingerprint."""

import random
import unicodedata
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jdcv_core.data import normalise as module
from jdcv_core.data.normalise import assemble, document_id, fingerprint, normalise
from jdcv_core.errors import InputError
from jdcv_core.types import LABELS

WORDS = st.lists(st.text("abcé", min_size=1, max_size=3), min_size=1, max_size=4)
BLANKS = st.text(" \t\n\r\u00a0\u2003", min_size=1, max_size=3)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "cv": st.sampled_from(["a", "b", "c d", "c  d", "e\u0301", "\u00e9", " a"]),
            "jd": st.sampled_from(["a", "x", "y", "x\n"]),
            "label": st.integers(0, 2),
            "fold": st.sampled_from(["train", "test"]),
        }
    ),
    min_size=1,
    max_size=25,
)


def row(cv, jd, label=0, fold="", **more):
    return {"cv": cv, "jd": jd, "label": label, "fold": fold, **more}


@given(st.text())
def test_normalising_twice_is_normalising_once(text):
    assert normalise(normalise(text)) == normalise(text)


@given(WORDS, st.lists(BLANKS, min_size=6, max_size=6))
def test_whitespace_and_unicode_form_do_not_change_identity(words, blanks):
    spaced = blanks[0] + "".join(w + b for w, b in zip(words, blanks[1:], strict=False))
    assert document_id("cv", " ".join(words)) == document_id("cv", spaced)
    assert document_id("cv", spaced) == document_id("cv", unicodedata.normalize("NFD", spaced))


def test_copies_that_a_person_reads_alike_are_one_document():
    text = "Café – Zürich, R&D: 2015–2019"
    copies = [
        text.encode().decode("latin-1"),
        text.replace(" ", "\u200b\u00a0").replace("–", "&ndash;").replace("&D", "&amp;D"),
        "\ufeff" + text.replace("0", "０"),
    ]
    assert {document_id("cv", copy) for copy in [text, *copies]} == {document_id("cv", text)}


def test_ids_of_texts_that_need_no_repair_stay():
    # printf '%s' 'R&D – “x” é ½' | sha256sum
    assert document_id("cv", "R&D – “x”\te\u0301  ½") == "cv:cd59635bb9d5046b"


@given(WORDS, WORDS)
def test_other_words_are_another_document(one, other):
    same = document_id("cv", " ".join(one)) == document_id("cv", " ".join(other))
    assert same == (one == other)


def test_the_sides_do_not_share_ids_and_the_hash_is_sha256():
    # printf 'a b' | sha256sum
    assert document_id("cv", " a\tb\n") == "cv:c8687a08aa5d6ed2"
    assert document_id("jd", "a b") == "jd:c8687a08aa5d6ed2"


def expected_pairs(rows):
    """(CV text, JD text) → (label, fold), by a plain reading of the rule."""
    seen = defaultdict(list)
    for r in rows:
        seen[normalise(r["cv"]), normalise(r["jd"])].append(r)
    return {
        key: (same[0]["label"], "train" if any(r["fold"] == "train" for r in same) else "test")
        for key, same in seen.items()
        if len({r["label"] for r in same}) == 1
    }, len(seen)


@given(ROWS)
def test_duplicates_are_merged_and_conflicts_dropped(rows):
    expected, distinct = expected_pairs(rows)
    if not expected:
        with pytest.raises(InputError, match="no pair is left"):
            assemble("rows", rows)
        return
    dataset = assemble("rows", rows)
    text = {i: normalise(d.text) for i, d in dataset.documents.items()}
    assert {(text[p.cv], text[p.jd]): (p.label, p.fold) for p in dataset.pairs} == expected
    facts = dataset.facts
    assert facts["pairs"] == len(dataset.pairs) == len(expected)
    assert facts["conflicts_dropped"] == distinct - len(expected)
    assert facts["rows"] == len(rows)
    assert facts["rows"] == facts["pairs"] + facts["duplicates_merged"] + facts["conflicting_rows"]
    assert sum(facts["label_counts"].values()) == len(expected)
    assert set(dataset.documents) == {p.cv for p in dataset.pairs} | {p.jd for p in dataset.pairs}
    assert (facts["cvs"], facts["jds"]) == (len(dataset.side("cv")), len(dataset.side("jd")))


@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(rows, rng: random.Random):
    shuffled = rng.sample(rows, len(rows))
    if not expected_pairs(rows)[0]:
        return
    one, other = assemble("rows", rows), assemble("rows", shuffled)
    assert one.pairs == other.pairs
    assert one.documents == other.documents
    # The rows of a conflict are listed as they were read.
    assert {**one.facts, "conflict_rows": []} == {**other.facts, "conflict_rows": []}


@given(ROWS)
def test_reading_everything_twice_changes_only_the_counts_of_rows(rows):
    if not expected_pairs(rows)[0]:
        return
    once, twice = assemble("rows", rows), assemble("rows", rows + rows)
    assert once.pairs == twice.pairs
    assert twice.facts["rows"] == 2 * once.facts["rows"]
    assert twice.facts["fingerprint"] == once.facts["fingerprint"]


def test_a_pair_in_both_folds_stays_in_train_and_is_reported():
    rows = [row("a", "x", 1, "test"), row("a", "x", 1, "train"), row("b", "x", 0, "test")]
    dataset = assemble("folds", rows)
    assert {(p.label, p.fold) for p in dataset.pairs} == {(1, "train"), (0, "test")}
    assert dataset.facts["merged_across_folds"] == 1
    assert dataset.facts["duplicates_merged"] == 1


def test_conflicting_rows_are_named():
    rows = [
        row("a", "x", 0, origin="p.csv, row 1"),
        row("b", "x", 0, origin="p.csv, row 2"),
        row("a ", "x", 2, origin="p.csv, row 3"),
    ]
    facts = assemble("conflict", rows).facts
    assert facts["conflict_rows"] == ["p.csv, row 1: No Fit; p.csv, row 3: Good Fit"]
    assert (facts["conflicts_dropped"], facts["conflicting_rows"]) == (1, 2)
    assert facts["label_counts"] == dict(zip(LABELS, (1, 0, 0), strict=True))


def test_the_text_is_kept_as_read_and_the_first_origin_with_it():
    rows = [row(" a \n b", "x", origin="row 1"), row("a b", "y", origin="row 2")]
    document = assemble("text", rows).documents[document_id("cv", "a b")]
    assert (document.text, document.origin) == (" a \n b", "row 1")


def test_given_facts_are_kept_and_fit_survives():
    dataset = assemble("facts", [row("a", "x", fit=0.25), row("a", "x")], {"source": "here"})
    assert dataset.facts["source"] == "here"
    assert dataset.pairs[0].fit == 0.25
    with pytest.raises(ValueError, match="several values of fit"):
        assemble("fits", [row("a", "x", fit=0.25), row("a", "x", fit=0.5)])
    with pytest.raises(ValueError, match="label 3"):
        assemble("label", [row("a", "x", 3)])


def test_the_fingerprint_is_of_ids_labels_and_folds():
    base = [row("a", "x", 0, "train"), row("b", "x", 1, "test")]
    original = assemble("base", base)
    assert original.facts["fingerprint"] == fingerprint(reversed(original.pairs))
    prints = {original.facts["fingerprint"]}
    for changed in (row("b", "x", 2, "test"), row("b", "x", 1, "train"), row("c", "x", 1, "test")):
        prints.add(assemble("changed", [base[0], changed]).facts["fingerprint"])
    assert len(prints) == 4


def test_a_collision_of_ids_is_refused(monkeypatch):
    monkeypatch.setattr(module, "ID_DIGITS", 1)
    rows = [row(f"text {n}", "x", origin=f"p.csv, row {n}") for n in range(40)]
    with pytest.raises(InputError, match=r"p\.csv, row \d+: its CV and another text have the same"):
        assemble("collision", rows)
