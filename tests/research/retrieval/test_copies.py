"""Near-duplicates by signatures are those of the exact comparison."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jdcv_core.data.near_duplicates import near_duplicate_groups
from jdcv_core.data.sources import load_table
from jdcv_core.types import Document
from research.retrieval import copies


def cv(seed: int, words: int = 300) -> str:
    rng = np.random.default_rng(seed)
    return " ".join(f"w{n}" for n in rng.integers(0, 5000, words))


def changed(text: str, share: float, seed: int) -> str:
    """The text with a block of its words replaced."""
    words = text.split()
    count = int(share * len(words))
    return " ".join([*words[count:], *(f"n{seed}x{n}" for n in range(count))])


def signatures(texts) -> np.ndarray:
    return np.stack([copies.signature(text) for text in texts])


def similarity(a: str, b: str) -> float:
    """Jaccard similarity of the sets of three words in a row, by sets."""
    one, two = (
        {tuple(padded[n : n + 3]) for n in range(len(padded) - 2)}
        for padded in (["", "", *text.lower().split()] for text in (a, b))
    )
    return len(one & two) / len(one | two)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.6, 0.9])
def test_the_estimate_is_that_of_sets_within_its_error(share):
    a, b = cv(1), changed(cv(1), share, 1)
    estimate = float((copies.signature(a) == copies.signature(b)).mean())
    assert abs(estimate - similarity(a, b)) < 4 * 0.045


def test_groups_are_those_of_the_exact_comparison():
    texts = [cv(n) for n in range(40)]
    texts += [changed(texts[n], 0.15, n) for n in range(0, 40, 4)] + ["...", "—", ""]
    names = {f"cv:{n:02d}": text for n, text in enumerate(texts)}
    exact: dict[str, list[int]] = {}
    for at, (_, first) in enumerate(
        sorted(near_duplicate_groups(Document(i, t) for i, t in names.items()).items())
    ):
        exact.setdefault(first, []).append(at)
    expected = sorted(group for group in exact.values() if len(group) > 1)
    assert sorted(copies.groups(signatures(texts))) == expected


def test_real_documents_have_the_groups_of_the_exact_comparison(shared_data):
    data = load_table(shared_data / "resume_job_fit" / "pairs.csv")
    documents = sorted(data.side("cv"), key=lambda d: d.id)[:150]
    exact: dict[str, set[str]] = {}
    for name, first in near_duplicate_groups(documents).items():
        exact.setdefault(first, set()).add(name)
    found = copies.groups(signatures(d.text for d in documents))
    assert [{documents[at].id for at in group} for group in found] == [
        group for _, group in sorted(exact.items()) if len(group) > 1
    ]


def test_many_copies_are_one_group():
    texts = [cv(1)] * 200 + [cv(2)] + [changed(cv(1), 0.05, 7)] * 50
    assert copies.groups(signatures(texts)) == [[*range(200), *range(201, 251)]]


@given(st.lists(st.integers(0, 4), max_size=12), st.integers(1, 12))
def test_distinct_documents_are_the_first_of_each_kind(kinds, k):
    found = copies.distinct(
        signatures([f"{cv(kind)} {n}" for n, kind in enumerate(kinds)])
        if kinds
        else np.empty((0, copies.HASHES), np.uint32),
        k,
    )
    first = {kind: kinds.index(kind) for kind in kinds}
    expected = [[at for at, own in enumerate(kinds) if own == kind] for kind in first]
    assert found == expected[:k]


def test_documents_without_a_word_are_no_copies():
    assert copies.distinct(signatures(["...", "!", "😀"]), 3) == [[0], [1], [2]]
    assert copies.groups(signatures(["...", "!", "😀"])) == []


def test_a_signature_is_the_same_in_another_process():
    code = f"from research.retrieval.copies import signature; print(signature({cv(3)!r}).tolist())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(copies.signature(cv(3)).tolist())
