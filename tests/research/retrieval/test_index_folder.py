"""Documents come, change and go; nothing of who went is left; kills and damage do no harm."""

import os
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_vector_index import unit as clustered

from jdcv_core.errors import InputError
from research.retrieval import index_folder, segment, word_search
from research.retrieval.index_folder import IndexFolder
from research.retrieval.segment import Entry
from research.retrieval.vector_index import search_all, unit_rows
from research.retrieval.word_counts import WordCounts, count_words, hash_of
from research.retrieval.word_search import WordIndex
from research.retrieval.words import words

DIM = 16

TESTS = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
"""Where a new process finds this file and what it imports."""


def entry(name: str, seed: int | None = None, mark: str = "") -> Entry:
    """A document of one to four chunks; the same name and seed give the same."""
    rng = np.random.default_rng([*name.encode(), seed or 0])
    vectors = rng.standard_normal((int(rng.integers(1, 5)), DIM)).astype(np.float32)
    text = f"CV of {name} {mark}"
    return Entry(name, vectors, text, [(0, len(text))] * len(vectors))


def entries(count: int, start: int = 0) -> list[Entry]:
    return [entry(f"p{n:04d}") for n in range(start, start + count)]


def made(folder: Path, documents: list[Entry], kind: str = "flat") -> IndexFolder:
    sample = [e.vectors for e in entries(500)]
    return IndexFolder.create(folder, sample, 500, kind).put(documents)


def content(index: IndexFolder) -> dict[str, tuple]:
    found = [index.entry(d) for d in range(len(index))]
    return {e.id: (e.text, e.vectors.tobytes(), tuple(map(tuple, e.spans))) for e in found}


def expected(documents: list[Entry]) -> dict[str, tuple]:
    return {e.id: (e.text, e.vectors.tobytes(), tuple(e.spans)) for e in documents}


@pytest.fixture
def small_segments(monkeypatch):
    monkeypatch.setattr(segment, "SIZE", 20)


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf-rabitq"])
def test_put_replace_and_erase_keep_what_they_should(tmp_path, small_segments, kind):
    index = made(tmp_path / "x", entries(50), kind)
    assert content(index) == expected(entries(50))
    changed = [entry("p0003", 9), entry("p0041", 9), entry("new", 1)]
    index = index.put(changed)
    kept = [e for e in entries(50) if e.id not in ("p0003", "p0041")]
    assert content(index) == expected(kept + changed)
    index = index.erase(["p0000", "new"])
    left = [e for e in kept + changed if e.id not in ("p0000", "new")]
    assert content(index) == expected(left)
    assert content(IndexFolder(tmp_path / "x")) == expected(left)
    for at in range(len(index)):  # codes belong to the vectors beside them
        own = unit_rows(index.entry(at).vectors)
        rows = search_all(index.chunks, own, 1, 10**4)[1][:, 0]
        if kind == "flat":
            assert rows.tolist() == list(range(index.starts[at], index.starts[at + 1]))


def dated(name: str, seed: int = 0) -> Entry:
    """The same with months of each chunk and a key in the vector store."""
    own = entry(name, seed)
    months = np.random.default_rng(seed).uniform(0, 90, (len(own.vectors), 4)).astype(np.float32)
    months[0, 0] = np.nan
    return replace(own, months=months, key=f"key of {name}, {seed}")


def test_months_and_keys_come_back_through_changes_and_joins(tmp_path, small_segments):
    index = made(tmp_path / "x", [dated(f"p{n:04d}") for n in range(50)])
    for n in range(12):  # enough small segments that they are joined
        index = index.put([dated(f"p{n:04d}", 1)])
    index = index.erase(["p0030", "p0000"])
    assert len(index) == 48
    for number, name in enumerate(index.ids):
        expected = dated(name, int(name < "p0012"))
        assert index.entry(number).key == expected.key
        for found in (index.months(number), index.entry(number).months):
            np.testing.assert_array_equal(found, expected.months)


def test_documents_with_and_without_months_are_not_mixed(tmp_path):
    index = made(tmp_path / "x", [dated("a")])
    with pytest.raises(InputError, match="document b: it has no months"):
        index.put([entry("b")])
    index = index.erase(["a"]).put([entry("b")])  # an empty index has no rule
    assert index.months(0) is None
    with pytest.raises(InputError, match="document a: it has months"):
        index.put([dated("a")])
    with pytest.raises(InputError, match=r"its months are \[1, 4\], not"):
        made(tmp_path / "y", [replace(entry("p0000"), months=np.zeros((1, 4), np.float32))])


def test_words_after_changes_equal_one_list_of_texts(tmp_path, small_segments, monkeypatch):
    """Put, replace and erase: the directories over all segments equal those of one segment."""
    monkeypatch.setattr(word_search, "ALL", 0)
    index = made(tmp_path / "x", entries(50))
    changes = (
        lambda: index.put([entry("p0003", 9, "nurse nurse"), entry("new", 1, "welder")]),
        lambda: index.erase(["p0000", "p0041"]),
        lambda: index.put([replace(entry("p0003", 9), text="")]),
        lambda: index.erase([f"p{n:04d}" for n in range(20, 40)]),
    )
    query = count_words("CV of p0003, a nurse and welder")
    for change in changes:
        index = change()
        texts = [index.entry(d).text for d in range(len(index))]
        one = WordIndex([WordCounts.of([count_words(text) for text in texts])])
        every = np.arange(len(index))
        expected = one.ask(query).of(every)
        np.testing.assert_allclose(index.words.ask(query).of(every), expected, atol=1e-12)
        assert (expected > 0).any()


def test_rows_are_those_of_the_documents_asked_for(tmp_path, small_segments):
    index = made(tmp_path / "x", entries(70))
    asked = np.array([69, 0, 33, 34, 5, 0])
    found, starts = index.rows(asked)
    for at, document in enumerate(asked):
        assert np.array_equal(
            found[starts[at] : starts[at + 1]], index.entry(int(document)).vectors
        )


def test_many_small_changes_do_not_pile_up_segments(tmp_path):
    index = made(tmp_path / "x", entries(1))
    for n in range(1, 30):
        index = index.put([entry(f"p{n:04d}")])
    assert content(index) == expected(entries(30))
    assert len(list((tmp_path / "x" / "segments").iterdir())) <= index_folder.MOST_SMALL + 1


@pytest.mark.parametrize("kind", ["flat", "ivf-pq", "ivf-rabitq", "hnsw"])
def test_nothing_is_left_of_who_was_erased(tmp_path, small_segments, kind):
    """A byte scan, and: whoever it was, the segments are the same to the last byte."""
    found = []
    for seed in (1, 2):
        who = entry("Ada Lovelace", seed, mark=f"secret{seed}Ada")
        folder = tmp_path / str(seed)
        index = made(folder, [*entries(25), who, *entries(25, 25)], kind)
        assert scan(folder, who) == {"id", "text", "vectors", "words"}
        index.erase([who.id])
        assert scan(folder, who) == set()
        files = sorted(p for p in (folder / "segments").rglob("*") if p.is_file())
        found.append([(p.relative_to(folder), p.read_bytes()) for p in files])
    assert found[0] == found[1]


def scan(folder: Path, who: Entry) -> set[str]:
    """What of a document is in any file or file name of a folder."""
    needles = {
        "id": who.id.encode(),
        "text": who.text.split()[-1].encode(),
        "vectors": who.vectors[0].tobytes(),
        "codes": unit_rows(who.vectors)[0].tobytes(),
        "words": hash_of(words(who.text)[-1]).to_bytes(8, "little"),
    }
    seen = set()
    for path in folder.rglob("*"):
        data = str(path).encode() + (path.read_bytes() if path.is_file() else b"")
        seen |= {name for name, needle in needles.items() if needle in data}
    return seen - {"codes"} if "vectors" in seen else seen


KILLED = """
import os, sys
sys.path[:0] = {tests!r}
import jdcv_core.folders as folders
from pathlib import Path
from research.retrieval import segment
from test_index_folder import IndexFolder, entries, entry
segment.SIZE = 20
index = IndexFolder(Path({folder!r}))
left = int({calls})
def counted(real):
    def call(*arguments, **others):
        global left
        left -= 1
        if left < 0:
            os._exit(9)
        return real(*arguments, **others)
    return call
for name in ("rename", "fsync", "mkdir", "link", "open"):
    setattr(os, name, counted(getattr(os, name)))
if {erase}:
    index.erase(["p0003", "p0030"])
else:
    index.put([entry("p0003", 9), entry("new", 1)])
"""


EVERY_MOMENT = (0, 3, 8, 14, 20, 26, 32, 38, 44, 52, 60, 70, 80, 100, 1000)
"""Calls of the operating system before the kill."""


@pytest.mark.parametrize("erase", [True, False])
@pytest.mark.parametrize(
    "moments", [(8, 26, 44, 1000), pytest.param(EVERY_MOMENT, marks=pytest.mark.slow)]
)
def test_a_kill_at_any_moment_leaves_the_old_or_the_new(tmp_path, small_segments, moments, erase):
    made(tmp_path / "start", entries(50))
    old = expected(entries(50))
    gone = {"p0003", "p0030"} if erase else {"p0003"}
    new = expected(
        [e for e in entries(50) if e.id not in gone]
        + ([] if erase else [entry("p0003", 9), entry("new", 1)])
    )
    seen = set()
    for calls in moments:
        folder = tmp_path / f"k{calls}"
        shutil.copytree(tmp_path / "start", folder)
        script = KILLED.format(tests=TESTS, folder=str(folder), calls=calls, erase=erase)
        code = subprocess.run([sys.executable, "-c", script], capture_output=True).returncode
        assert code in (0, 9)
        index = IndexFolder(folder)
        seen.add("old" if content(index) == old else "new")
        assert content(index) in (old, new)
        assert content(index) == new or code == 9
        left = {p.name for p in folder.iterdir()} - {"lock", "trained", "segments"}
        assert len(left) == 1, left
        if content(index) == new and erase:
            assert not scan(folder, entry("p0003")) - {"vectors"}
    assert seen == {"old", "new"}


def all_files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.stat().st_size)


def refused(folder: Path) -> bool:
    try:
        IndexFolder(folder)
    except InputError:
        return True
    return False


@pytest.mark.parametrize(
    ("flips", "cuts", "swaps"),
    [(160, 40, 10), pytest.param(2000, 500, 100, marks=pytest.mark.slow)],
)
def test_damaged_truncated_and_swapped_files_are_refused(
    tmp_path, small_segments, flips, cuts, swaps
):
    """Bit flips, truncations, and swaps with the same file of another index."""
    made(tmp_path / "a", entries(50), "ivf-rabitq")
    made(tmp_path / "b", entries(50, 20), "ivf-rabitq")
    draw = random.Random(0)
    files = all_files(tmp_path / "a")
    assert len(files) > 20
    for number in range(flips + cuts):
        path = files[number % len(files)] if number < 2 * len(files) else draw.choice(files)
        before = path.read_bytes()
        at = draw.randrange(len(before))
        if number < flips:
            damaged = bytearray(before)
            damaged[at] ^= 1 << draw.randrange(8)
        else:
            damaged = before[:at]
        path.write_bytes(damaged)
        assert refused(tmp_path / "a"), (path, at)
        path.write_bytes(before)
    for _ in range(swaps):
        path = draw.choice(files)
        other = tmp_path / "b" / path.relative_to(tmp_path / "a")
        if not other.exists() or other.read_bytes() == path.read_bytes():
            other = draw.choice(
                [p for p in all_files(tmp_path / "b") if p.read_bytes() != path.read_bytes()]
            )
        before = path.read_bytes()
        path.write_bytes(other.read_bytes())
        assert refused(tmp_path / "a"), (path, other)
        path.write_bytes(before)
    assert not refused(tmp_path / "a")


def test_a_whole_segment_of_another_index_is_refused_by_name(tmp_path):
    made(tmp_path / "a", entries(9))
    made(tmp_path / "b", entries(9, 3))
    segment = next((tmp_path / "a" / "segments").iterdir())
    shutil.rmtree(segment)
    shutil.copytree(tmp_path / "b" / "segments" / segment.name, segment)
    with pytest.raises(InputError, match=f"{segment.name}.*belongs to another index"):
        IndexFolder(tmp_path / "a")


def test_an_erasure_takes_over_no_damage(tmp_path):
    """It opens the folder without comparing all of it; what it writes again it compares."""
    made(tmp_path / "x", entries(9))
    (path,) = (tmp_path / "x" / "segments").glob("*/vectors.npy")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="vectors.npy: it is altered"):
        IndexFolder(tmp_path / "x", verify=False).erase(["p0001"])
    assert path.read_bytes() == content


def test_two_writers_are_kept_apart(tmp_path):
    first = made(tmp_path / "x", entries(5))
    second = IndexFolder(tmp_path / "x")
    first.put([entry("one")])
    with pytest.raises(InputError, match="has changed it"):
        second.erase(["p0001"])
    assert len(IndexFolder(tmp_path / "x")) == 6


def test_what_cannot_be_a_document_is_refused_and_nothing_changes(tmp_path):
    index = made(tmp_path / "x", entries(5))
    wide = Entry("wide", np.ones((1, DIM + 1), np.float32))
    for bad, what in (
        ([wide], "not"),
        ([Entry("nan", np.full((1, DIM), np.nan, np.float32))], "not a number"),
        ([Entry("none", np.zeros((0, DIM), np.float32))], "not"),
        ([entry("twice"), entry("twice")], "twice"),
    ):
        with pytest.raises(InputError, match=what):
            index.put([entry("fine"), *bad])
        assert content(IndexFolder(tmp_path / "x")) == expected(entries(5))
    with pytest.raises(InputError, match="no document 'nobody'"):
        index.erase(["nobody", "p0001"])
    assert os.listdir(tmp_path / "x" / "segments")


def test_a_clustered_corpus_with_lists_finds_its_own_documents(tmp_path):
    vectors = clustered(2000, DIM, 1).reshape(500, 4, DIM)
    documents = [Entry(f"d{n}", v) for n, v in enumerate(vectors)]
    index = IndexFolder.create(tmp_path / "x", list(vectors), 500, "ivf-pq").put(documents)
    rows = search_all(index.chunks, vectors[:, 0], 10, 10**4)[1]
    assert np.mean([(rows[d] == 4 * d).any() for d in range(500)]) > 0.9


@pytest.mark.parametrize("kind", ["flat", "ivf-pq"])
def test_no_more_of_a_sample_is_read_than_training_needs(kind, tmp_path):
    read = 0

    def sample():
        nonlocal read
        for number in range(100_000):
            read += 1
            yield entry(f"s{number}").vectors

    index = IndexFolder.create(tmp_path / "x", sample(), 2000, kind)
    needed = max(index.lists for index, _ in index.put([entry("p")]).chunks) * 64
    assert 1000 <= read <= max(1000, needed) + 1


def test_a_folder_sorted_by_kind_is_trained_on_all_kinds(tmp_path, monkeypatch):
    monkeypatch.setattr("research.retrieval.vector_index.SAMPLE", 8)  # about one kind in order
    kinds = 3 * np.eye(DIM, dtype=np.float32)[:8]
    rng = np.random.default_rng(0)
    documents = [
        Entry(f"d{n:05d}", (kinds[n // 1000] + 0.3 * rng.standard_normal((1, DIM))).astype("f4"))
        for n in range(8000)
    ]
    index = IndexFolder.of(tmp_path / "x", documents, "ivf-flat")
    (index, _), *_ = index.chunks
    sizes = [index.index.invlists.list_size(at) for at in range(index.lists)]
    assert max(sizes) < 8 * np.mean(sizes)
