"""A folder of documents and their chunk vectors that can be searched. Documents are added, replaced
and erased without building the index again.

    INDEX/state-000012/          the current state: settings, and the names of its segments
    INDEX/trained/               the trained, empty FAISS indexes
    INDEX/segments/000012-000/   documents, see `segment`

Segments never change. A change first writes new segments, then the next state (by one rename, which
is the moment of the change), and last removes what belongs to no state. So a kill leaves the old
state or the new one; whoever opens the folder next removes the rest. Every file has its SHA-256 in
the manifest of its folder, every manifest of a segment has its SHA-256 in the state, and all are
compared before FAISS reads a byte.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from jdcv_core.atomic import lock, remove_folder, remove_leftovers, scratch_folder
from jdcv_core.errors import InputError
from jdcv_core.folders import MANIFEST, read_manifest, verify_folder, write_folder
from jdcv_core.progress import progress
from research.retrieval import segment
from research.retrieval.segment import CHUNKS, MEANS, VERSION, Entry, Segment
from research.retrieval.vector_index import FaissIndex, joined, unit_rows

MOST_SMALL = 8
"""If so many segments are less than half full, the next `put` joins them."""
HEAD = 1000
"""Documents of a sample from which the number of chunks is estimated."""
AUTO = 100_000
"""Up to so many chunk vectors, the index type `auto` is `flat`, which is fast enough there."""


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
        _sweep(folder)
        self.number, state = _state(folder)
        self.settings: dict[str, Any] = state["settings"]
        self._listed: dict[str, str] = state["segments"]
        size = len(self._listed)
        check = verify_folder if verify else read_manifest
        with progress("Opening the index", size) if size > 8 else _silent() as advance:
            check(folder / "trained", "trained index", VERSION)
            _compare_manifest(folder / "trained", state["trained"])
            self._segments = []
            for name, digest in self._listed.items():
                path = folder / "segments" / name
                check(path, "segment", VERSION)
                _compare_manifest(path, digest)
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
        stream = iter(sample)
        head = list(islice(stream, HEAD))
        if not head:
            raise InputError(str(folder), "there is no document", "give at least one")
        if folder.exists():
            raise InputError(str(folder), "it exists already", "give another name")
        dim = head[0].shape[1]
        rows = int(np.mean([len(v) for v in head]) * expected)
        if index_type == "auto":
            index_type = "flat" if rows <= AUTO else "ivf-pq"
        chunks = FaissIndex.make(dim, index_type, rows)
        means = FaissIndex.make(dim, _of_means(index_type), expected)
        with progress("Training the index", None):
            _train(chunks, means, chain(head, stream))
        folder.mkdir(parents=True)
        with scratch_folder(folder) as space:
            files = segment.save_indexes(space, {CHUNKS: chunks, MEANS: means})
            about = {"index_type": index_type}
            write_folder(folder / "trained", "trained index", VERSION, files, about)
        state = {
            "settings": {**(settings or {}), "index_type": index_type, "dim": dim},
            "trained": _digest(folder / "trained"),
            "segments": {},
        }
        write_folder(folder / "state-000001", "index", VERSION, {}, state)
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
        order = np.random.default_rng(0).permutation(len(entries))
        sample = (entries[at].vectors for at in order)
        made = cls.create(folder, sample, len(entries), index_type, settings)
        return made.put(entries, len(entries))

    @cached_property
    def chunks(self) -> list[tuple[FaissIndex, int]]:
        """The FAISS indexes of chunk vectors; they are read at the first access."""
        return self._load(CHUNKS, self._bases)

    @cached_property
    def means(self) -> list[tuple[FaissIndex, int]]:
        """The FAISS indexes of the documents' mean vectors."""
        return self._load(MEANS, self._firsts)

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Id → number of each document."""
        return {name: number for number, name in enumerate(self.ids)}

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
            names: dict[str, str] = {}
            seen: set[str] = set()
            small = [s for s in self._segments if len(s.ids) < segment.SIZE // 2]
            small = small if len(small) >= MOST_SMALL else []
            old = (entry for s in small for entry in s.entries() if entry.id not in seen)
            stream = chain(entries, old)
            with_months = self._segments[0].months is not None if self._segments else None
            with progress("Indexing", total) if total != 0 else _silent() as advance:
                while batch := list(islice(stream, segment.SIZE)):
                    if with_months is None:
                        with_months = batch[0].months is not None
                    for entry in batch:
                        self._check(entry, seen, with_months)
                    name = f"{number:06d}-{len(names):03d}"
                    names[name] = self._write(name, batch)
                    advance(len(batch))
                    del batch  # before the next one is read
            kept = self._without(seen, number, names)  # the joined ones are seen, so they go
            self._publish(number, {**kept, **names})
        return IndexFolder(self.folder, verify=False, gpu=self.gpu)

    def erase(self, ids: Iterable[str]) -> IndexFolder:
        """Remove documents: afterwards no file of the folder has their codes, vectors, texts or
        ids. Returns a new object for the updated folder; this one is stale afterwards.

        The segments that held them are written again, as if the documents had never been there.
        Training may have seen them: a centroid is a mean over many vectors, and stays.
        Raises InputError for an id that is not in the index, before anything is changed.
        """
        gone = set(ids)
        for name in sorted(gone):
            self.number_of(name)
        with self._change() as number:
            verify_folder(self.folder / "trained", "trained index", VERSION)
            self._publish(number, self._without(gone, number, {}))
        return IndexFolder(self.folder, verify=False, gpu=self.gpu)

    def number_of(self, name: str) -> int:
        """The number of the document with an id. Raises InputError if there is none."""
        if name not in self.numbers:
            raise InputError(str(self.folder), f"it has no document {name!r}", "check the id")
        return self.numbers[name]

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
            rest = [entry for entry in old.entries() if entry.id not in gone]
            if rest:
                new = f"{number:06d}-{len(names) + len(kept):03d}r"
                kept[new] = self._write(new, rest)
        return kept

    def _write(self, name: str, entries: Sequence[Entry]) -> str:
        """Write a segment; returns the SHA-256 of its manifest."""
        path = self.folder / "segments" / name
        with scratch_folder(self.folder) as space:
            chunks, means = self._trained(CHUNKS), self._trained(MEANS)
            segment.write_segment(path, space, entries, chunks, means)
        return _digest(path)

    def _publish(self, number: int, segments: Mapping[str, str]) -> None:
        state = {
            "settings": self.settings,
            "trained": _digest(self.folder / "trained"),
            "segments": dict(segments),
        }
        write_folder(self.folder / f"state-{number:06d}", "index", VERSION, {}, state)
        _clean(self.folder)

    @contextmanager
    def _change(self) -> Iterator[int]:
        """The number of the next state; no other process can change the index meanwhile."""
        with lock(self.folder / "lock") as held:
            if not held:
                what = "another process is changing it"
                raise InputError(str(self.folder), what, "wait for it, then repeat")
            if _state(self.folder)[0] != self.number:
                what = "another process has changed it"
                raise InputError(str(self.folder), what, "open it again and repeat")
            try:
                yield self.number + 1
            except BaseException:
                _clean(self.folder)
                raise

    def _trained(self, file: str) -> FaissIndex:
        return FaissIndex.load(self.folder / "trained" / file, self._type(file))

    def _type(self, file: str) -> str:
        index_type: str = self.settings["index_type"]
        return index_type if file == CHUNKS else _of_means(index_type)

    def _load(self, file: str, offsets: np.ndarray) -> list[tuple[FaissIndex, int]]:
        found = [FaissIndex.load(s.folder / file, self._type(file)) for s in self._segments]
        whole = joined(found, [int(o) for o in offsets[: len(found)]])
        if self.gpu is not None:
            for index, _ in whole:
                index.to_gpu(self.gpu)
        return whole


def _train(chunks: FaissIndex, means: FaissIndex, sample: Iterator[np.ndarray]) -> None:
    """Train both on a sample of documents. It holds one copy of the rows that training needs."""
    rows = np.empty((chunks.sample, chunks.dim), np.float32)
    averages = np.empty((means.sample, means.dim), np.float32)
    row = average = 0
    while row < len(rows) or average < len(averages):
        vectors = next(sample, None)
        if vectors is None:
            break
        units = unit_rows(vectors)
        own = units[: len(rows) - row]
        rows[row : row + len(own)] = own
        row += len(own)
        if average < len(averages):
            averages[average] = units.mean(0)
            average += 1
    chunks.train(rows[:row], overwrite=True)
    del rows
    means.train(averages[:average], overwrite=True)


def _of_means(index_type: str) -> str:
    """The type of the index of means. Means are few and their order matters, so they get two bits a
    dimension instead of RaBitQ's one."""
    return "ivf-pq" if index_type == "ivf-rabitq" else index_type


def _state(folder: Path) -> tuple[int, dict[str, Any]]:
    """The number and the content of the newest state."""
    if not folder.is_dir():
        raise InputError(
            str(folder), "there is no such index", "make it with `jdcv index` or Retriever.build"
        )
    states = sorted(folder.glob("state-*"))
    if not states:
        raise InputError(str(folder), "it is no index: it has no state", "give another folder")
    content = read_manifest(states[-1], "index", VERSION).facts
    return int(states[-1].name.partition("-")[2]), content


def _digest(folder: Path) -> str:
    return hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()


def _compare_manifest(folder: Path, digest: str) -> None:
    if _digest(folder) != digest:
        what = "it belongs to another index, or to another state of this one"
        raise InputError(str(folder / MANIFEST), what, "put a whole copy of the index in its place")


def _sweep(folder: Path) -> None:
    """Remove what a killed process left, unless another process is changing the folder."""
    if folder.is_dir():
        with lock(folder / "lock") as held:
            if held:
                _clean(folder)


def _clean(folder: Path) -> None:
    """Remove older states, segments of no state, and temporary files. Call it with the lock."""
    try:
        number, current = _state(folder)
    except InputError:
        return  # whoever opens the folder gets the error
    for state in sorted(folder.glob("state-*")):
        if state.name != f"state-{number:06d}":
            remove_folder(state)
    segments = folder / "segments"
    for path in sorted(segments.iterdir()) if segments.is_dir() else []:
        if path.name not in current["segments"] and not path.name.startswith("."):
            remove_folder(path)
    remove_leftovers(segments)
    remove_leftovers(folder)


@contextmanager
def _silent() -> Iterator[Callable[..., None]]:
    yield lambda *about: None
