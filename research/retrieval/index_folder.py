"""A folder of documents and their chunk vectors that can be searched. Documents are added, replaced
and erased without building the index again.

    INDEX/state-000012/          the current state: settings, and the names of its segments
    INDEX/trained/               the trained, empty FAISS indexes; trained-000012 after a rebuild
    INDEX/segments/000012-000/   documents, see `segment`

Segments never change; `index_state` has the steps of a change, and what a kill leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from functools import cached_property
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from jdcv_core.atomic import lock, scratch_folder
from jdcv_core.data.text_folder import composed
from jdcv_core.errors import InputError, names
from jdcv_core.folders import read_manifest, verify_folder, write_folder
from jdcv_core.progress import progress
from research.retrieval import copies, segment
from research.retrieval.fused_scores import reference_documents
from research.retrieval.index_state import TRAINED, clean, compare_manifest, read_state, sweep
from research.retrieval.segment import CHUNKS, MEANS, VERSION, Entry, Segment
from research.retrieval.trained_indexes import Trained, digest_of, shuffled, type_of_means
from research.retrieval.vector_index import FaissIndex, joined
from research.retrieval.word_counts import WordCounts
from research.retrieval.word_search import WordIndex

MOST_SMALL = 8
"""If so many segments are less than half full, the next `put` joins them."""
MANY = 50_000
"""Documents whose words take more than a second to weigh."""


class IndexFolder:
    """A folder of documents that can be searched; see the module for its files.

    ids:         of the documents; their order gives each document its number
    settings:    what was given to `create`; `index_type` and `dim` are always there
    starts:      int64 [document + 1]: document d has the chunk rows starts[d] to starts[d + 1]
    document_of: int32 [row], the document of each chunk row

    An object shows the folder as it was when it was opened. `put` and `erase` return a new object;
    the old one is stale afterwards.
    """

    def __init__(self, folder: Path, verify: bool = True, gpu: int | None = None) -> None:
        """Open a folder.

        verify: compare every file with its SHA-256 now. Otherwise only manifests and sizes are
                compared, which is enough for a change: a change compares what it reads
        gpu:    the GPU to search on where that is possible, see `FaissIndex.to_gpu`; None: the CPU

        Raises InputError naming the file that is missing, altered or not of this index.
        """
        self.folder, self.gpu = folder, gpu
        sweep(folder)
        self.number, state = read_state(folder)
        self.settings: dict[str, Any] = state["settings"]
        self._listed: dict[str, str] = state["segments"]
        self._trained_folder = folder / state.get("trained_folder", TRAINED)
        size = len(self._listed)
        check = verify_folder if verify else read_manifest
        with progress("Opening the index", size) if size > 8 else _silent() as advance:
            check(self._trained_folder, "trained index", VERSION)
            compare_manifest(self._trained_folder, state["trained"])
            self._segments = []
            for name, digest in self._listed.items():
                path = folder / "segments" / name
                check(path, "segment", VERSION)
                compare_manifest(path, digest)
                self._segments.append(Segment.read(path))
                advance()
        counts = [s.counts for s in self._segments]
        every = np.concatenate(counts) if counts else np.zeros(0, np.int64)
        self.starts = np.concatenate([[0], np.cumsum(every)]).astype(np.int64)
        self.document_of = np.repeat(np.arange(len(every), dtype=np.int32), every)
        self.ids = [i for s in self._segments for i in s.ids]
        self._firsts = np.cumsum([0, *(len(s.ids) for s in self._segments)])
        self._bases = np.cumsum([0, *(len(s.vectors) for s in self._segments)])

    @classmethod
    def create(
        cls,
        folder: Path,
        sample: Iterable[np.ndarray],
        expected: int,
        index_type: str = "auto",
        settings: Mapping[str, Any] | None = None,
    ) -> IndexFolder:
        """Make a trained index without documents.

        folder:     must not exist
        sample:     chunk vectors float32 [chunk, dim] of some documents, to train on, in a random
                    order: only as many are read as training needs
        expected:   about how many documents there will be
        index_type: see `FaissIndex`; auto: flat up to 100,000 chunk vectors, ivf-pq above
        settings:   plain values to keep with it, such as the name of the encoder

        Raises InputError if the folder exists, the sample is empty or the index type is unknown.
        """
        if folder.exists():
            raise InputError(str(folder), "it exists already", "give another name")
        trained = Trained.on(folder, sample, expected, index_type)
        folder.mkdir(parents=True)
        state = trained.write(folder, TRAINED, settings or {})
        write_folder(folder / "state-000001", "index", VERSION, {}, {**state, "segments": {}})
        return cls(folder)

    @classmethod
    def of(
        cls,
        folder: Path,
        entries: Sequence[Entry],
        index_type: str = "auto",
        settings: Mapping[str, Any] | None = None,
    ) -> IndexFolder:
        """`create` and `put`, trained on the documents themselves in a shuffled order."""
        sample = shuffled(entries)
        made = cls.create(folder, sample, len(entries), index_type, settings)
        return made.put(entries, len(entries))

    def rebuild(
        self,
        entries: Sequence[Entry],
        index_type: str = "auto",
        settings: Mapping[str, Any] | None = None,
    ) -> IndexFolder:
        """Replace the whole index by one that `of` would make of the entries, in one step: a kill
        leaves the old index or the new one. Returns a new object; this one is stale afterwards."""
        with self._change() as number:
            trained = Trained.on(self.folder, shuffled(entries), len(entries), index_type)
            state = trained.write(self.folder, f"{TRAINED}-{number:06d}", settings or {})
            new = copy(self)  # this object stays as it is, also where a step fails
            new.settings, new._segments, new._listed = state["settings"], [], {}
            new._trained_folder = self.folder / state["trained_folder"]
            new._publish(number, new._written(number, iter(entries), len(entries), set()))
        return IndexFolder(self.folder, verify=False, gpu=self.gpu)

    @cached_property
    def chunks(self) -> list[tuple[FaissIndex, int]]:
        """The FAISS indexes of chunk vectors; they are read at the first access."""
        return self._load(CHUNKS, self._bases)

    @cached_property
    def means(self) -> list[tuple[FaissIndex, int]]:
        """The FAISS indexes of the documents' mean vectors."""
        return self._load(MEANS, self._firsts)

    @cached_property
    def words(self) -> WordIndex:
        """The words of all documents; their weights are computed at the first access."""
        with progress("Weighing words", None) if len(self) > MANY else _silent():
            return WordIndex([s.words for s in self._segments])

    @cached_property
    def reference(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Some documents that stand for all: their numbers, and `rows` of them."""
        documents = reference_documents(len(self))
        return documents, *self.rows(documents)

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Id → number of each document."""
        return {name: number for number, name in enumerate(self.ids)}

    @cached_property
    def _composed(self) -> dict[str, str]:
        """The composed form of each id → the id."""
        return {composed(name): name for name in self.ids}

    @property
    def outdated(self) -> bool:
        """Whether a segment has no signatures or words, as it was written by an older version;
        `put` adds them."""
        return any(s.is_old for s in self._segments)

    def __len__(self) -> int:
        return len(self.ids)

    def put(self, entries: Iterable[Entry], total: int | None = None) -> IndexFolder:
        """Add documents, and replace those whose id is in the index already. Returns a new object
        for the updated folder; this one is stale afterwards.

        entries: each id once; held in memory one segment at a time
        total:   how many there are, for the progress bar

        A kill leaves the index as it was, or with all of them.
        Raises InputError as `segment.check_entry` does, for an id that comes twice, for a document
        with months in an index without them (or the reverse), and while another process changes the
        index.
        """
        with self._change() as number:
            seen: set[str] = set()
            small = [len(s.ids) < segment.SIZE // 2 for s in self._segments]
            enough = sum(small) >= MOST_SMALL
            again = [
                s
                for s, is_small in zip(self._segments, small, strict=True)
                if s.is_old or (enough and is_small)
            ]
            old = (e for s in again for e in s.entries_with_words() if e.id not in seen)
            written = self._written(number, chain(entries, old), total, seen)
            kept = self._without(seen, number, written)  # those written again are seen
            self._publish(number, {**kept, **written})
        return IndexFolder(self.folder, verify=False, gpu=self.gpu)

    def erase(
        self, ids: Iterable[str], forget: Callable[[list[str]], object] | None = None
    ) -> IndexFolder:
        """Remove documents: afterwards no file of the folder has their codes, vectors, texts,
        signatures or ids. Returns a new object for the updated folder; this one is stale then.

        forget: called with the keys of these documents in the vector store, after everything was
                checked and before the index changes, so that a kill in between can be repeated

        The segments that held them are written again, as if the documents had never been there.
        Training may have seen them: a centroid is a mean over many vectors, and stays.
        Raises InputError for ids that are not in the index, before anything is changed.
        """
        gone = self.numbers_of(ids)
        with self._change() as number:
            verify_folder(self._trained_folder, "trained index", VERSION)
            kept = self._without({self.ids[d] for d in gone}, number, {})
            if forget is not None:
                forget([self.entry(d).key for d in gone])
            self._publish(number, kept)
        return IndexFolder(self.folder, verify=False, gpu=self.gpu)

    def with_settings(self, settings: Mapping[str, Any]) -> IndexFolder:
        """Change some settings in one step. Returns a new object; this one is stale afterwards."""
        with self._change() as number:
            new = copy(self)
            new.settings = {**self.settings, **settings}
            new._publish(number, self._listed)
        return IndexFolder(self.folder, verify=False, gpu=self.gpu)

    def id_of(self, name: str) -> str | None:
        """The id of the document with a name: that id, or else the one that differs from it only
        in its form of Unicode (composed or decomposed). None if there is no such document."""
        return name if name in self.numbers else self._composed.get(composed(name))

    def number_of(self, name: str) -> int:
        """The number of the document with an id (`id_of`). Raises InputError if there is none."""
        return self.numbers_of([name])[0]

    def numbers_of(self, ids: Iterable[str]) -> list[int]:
        """The numbers of documents, each once. Raises InputError naming all ids that are not in
        the index."""
        given = list(dict.fromkeys(ids))
        found = [self.id_of(name) for name in given]
        if missing := [repr(name) for name, own in zip(given, found, strict=True) if own is None]:
            what = f"it has no document {names(missing)}"
            raise InputError(str(self.folder), what, "check the id")
        return [self.numbers[own] for own in dict.fromkeys(found) if own is not None]

    def signatures(self, documents: np.ndarray) -> np.ndarray:
        """The signatures of some documents, uint32 [document, hash], see `copies`.

        documents: their numbers, int64 [document], in any order
        """
        found = np.empty((len(documents), copies.HASHES), np.uint32)
        segments = np.searchsorted(self._firsts, documents, side="right") - 1
        for at in np.unique(segments):
            mine = np.flatnonzero(segments == at)
            own, places = self._segments[at].signatures, documents[mine] - self._firsts[at]
            if own is None:
                texts = [self._segments[at].entry(int(place)).text for place in places]
                own, places = np.stack([copies.signature(t) for t in texts]), np.arange(len(texts))
            found[mine] = own[places]
        return found

    def entry(self, document: int) -> Entry:
        """The document with a number, with its text and vectors."""
        at = int(np.searchsorted(self._firsts, document, side="right")) - 1
        return self._segments[at].entry(document - int(self._firsts[at]))

    def rows(self, documents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The chunk vectors of some documents: float32 [row, dim], and where the rows of each
        document begin, int64 [document + 1]. Only these are read from the disk.

        documents: their numbers, int64 [document], in any order
        """
        counts = (self.starts[1:] - self.starts[:-1])[documents]
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        rows = np.repeat(self.starts[documents] - starts[:-1], counts) + np.arange(starts[-1])
        found = np.empty((len(rows), self.settings["dim"]), np.float32)
        segments = np.searchsorted(self._bases, rows, side="right") - 1
        changes = np.flatnonzero(np.diff(segments, prepend=-1, append=-1))
        for first, end in pairwise(changes.tolist()):
            at = segments[first]
            own = rows[first:end] - self._bases[at]
            np.take(self._segments[at].vectors, own, axis=0, out=found[first:end], mode="clip")
        return found, starts

    def months(self, document: int) -> np.ndarray | None:
        """The months of a document's chunks, float32 [chunk, 4]; None in an index without them."""
        at = int(np.searchsorted(self._firsts, document, side="right")) - 1
        whole, base = self._segments[at].months, self._bases[at]
        if whole is None:
            return None
        return np.array(whole[self.starts[document] - base : self.starts[document + 1] - base])

    def nbytes(self) -> int:
        """Bytes that stay in memory: codes, and the chunk rows of each document; without ids."""
        codes = sum(index.nbytes() for index, _ in (*self.chunks, *self.means))
        return codes + self.starts.nbytes + self.document_of.nbytes

    def _written(
        self, number: int, stream: Iterator[Entry], total: int | None, seen: set[str]
    ) -> dict[str, str]:
        """Write entries into new segments; returns segment name → SHA-256 of its manifest, and adds
        the ids to `seen`. total: how many there are, for the progress bar"""
        written: dict[str, str] = {}
        with_months = self._segments[0].months is not None if self._segments else None
        with progress("Indexing", total) if total != 0 else _silent() as advance:
            while batch := list(islice(stream, segment.SIZE)):
                if with_months is None:
                    with_months = batch[0].months is not None
                for entry in batch:
                    self._check(entry, seen, with_months)
                name = f"{number:06d}-{len(written):03d}"
                written[name] = self._write(name, batch)
                advance(len(batch))
                del batch  # before the next one is read
        return written

    def _check(self, entry: Entry, seen: set[str], with_months: bool) -> None:
        segment.check_entry(entry, self.settings["dim"])
        where = f"document {entry.id}"
        if (entry.months is not None) != with_months:
            have, other = ("no months", "have them") if with_months else ("months", "have none")
            what = f"it has {have}, and the documents of the index {other}"
            raise InputError(where, what, "cut it with the chunker of the index")
        if entry.id in seen:
            raise InputError(where, "it comes twice", "give each id once")
        seen.add(entry.id)

    def _without(self, gone: set[str], number: int, names: Mapping[str, str]) -> dict[str, str]:
        """The listed segments without some documents: those that had one are written again."""
        kept: dict[str, str] = {}
        for (name, digest), old in zip(self._listed.items(), self._segments, strict=True):
            if gone.isdisjoint(old.ids):
                kept[name] = digest
                continue
            verify_folder(old.folder, "segment", VERSION)
            rest = old.others(gone)
            if rest:
                new = f"{number:06d}-{len(names) + len(kept):03d}r"
                words = old.words.only(np.array([name not in gone for name in old.ids]))
                kept[new] = self._write(new, rest, words)
        return kept

    def _write(self, name: str, entries: Sequence[Entry], words: WordCounts | None = None) -> str:
        """Write a segment; returns the SHA-256 of its manifest."""
        path = self.folder / "segments" / name
        with scratch_folder(self.folder) as space:
            chunks, means = self._trained(CHUNKS), self._trained(MEANS)
            segment.write_segment(path, space, entries, chunks, means, words)
        return digest_of(path)

    def _publish(self, number: int, segments: Mapping[str, str]) -> None:
        state = {
            "settings": self.settings,
            "trained": digest_of(self._trained_folder),
            "trained_folder": self._trained_folder.name,
            "segments": dict(segments),
        }
        write_folder(self.folder / f"state-{number:06d}", "index", VERSION, {}, state)
        clean(self.folder)

    @contextmanager
    def _change(self) -> Iterator[int]:
        """The number of the next state; no other process can change the index meanwhile."""
        with lock(self.folder / "lock") as held:
            if not held:
                what = "another process is changing it"
                raise InputError(str(self.folder), what, "wait for it, then repeat")
            if read_state(self.folder)[0] != self.number:
                what = "another process has changed it"
                raise InputError(str(self.folder), what, "open it again and repeat")
            try:
                yield self.number + 1
            except BaseException:
                clean(self.folder)
                raise

    def _trained(self, file: str) -> FaissIndex:
        return FaissIndex.load(self._trained_folder / file, self._type(file))

    def _type(self, file: str) -> str:
        index_type: str = self.settings["index_type"]
        return index_type if file == CHUNKS else type_of_means(index_type)

    def _load(self, file: str, offsets: np.ndarray) -> list[tuple[FaissIndex, int]]:
        found = [FaissIndex.load(s.folder / file, self._type(file)) for s in self._segments]
        whole = joined(found, [int(o) for o in offsets[: len(found)]])
        if self.gpu is not None:
            for index, _ in whole:
                index.to_gpu(self.gpu)
        return whole


@contextmanager
def _silent() -> Iterator[Callable[..., None]]:
    yield lambda *about: None
