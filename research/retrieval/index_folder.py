"""A living corpus of chunk vectors on the disk: documents are added, replaced and erased without
building it anew.

    INDEX/state-000012/          the current state: settings, and the segments that belong to it
    INDEX/trained/               the trained, empty FAISS indexes
    INDEX/segments/000012-000/   documents: codes, vectors, texts, ids

Segments never change. A change writes new segments first, then the next state (one rename: that is
the moment of the change), and removes what belongs to no state last. So a kill leaves the old state
or the new one; what it leaves beside is removed by whoever opens the folder next. Every file has
its SHA-256 in the manifest of its folder, every manifest of a segment has its own in the state's,
and all is compared before FAISS reads a byte.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from jdcv_core.errors import InputError
from jdcv_core.folders import (
    MANIFEST,
    read_manifest,
    remove_folder,
    remove_leftovers,
    verify_folder,
    write_folder,
)
from jdcv_core.progress import progress
from research.retrieval.vector_index import FaissIndex, joined

VERSION = 1
SEGMENT = 16_384
"""Documents in a segment at most: what an erasure writes anew, and a build holds in memory."""
GROUP = 2048
"""Documents whose vectors are copied, normalised and coded at once."""
MOST_SMALL = 8
"""So many segments of less than half the size are joined into one by the next `put`."""
HEAD = 1000
"""Documents of a sample from which the number of chunks is estimated."""
AUTO = 100_000
"""Up to so many chunk vectors, a flat index is fast enough (kind `auto`)."""
CHUNKS, MEANS, VECTORS, COUNTS = "chunks.faiss", "means.faiss", "vectors.npy", "counts.npy"
IDS, LINES, OFFSETS = "ids.json", "documents.jsonl", "offsets.npy"


@dataclass(frozen=True)
class Entry:
    """A document in a corpus.

    id:      the owner's name for it, such as the name of its file
    vectors: float32 [chunk, dim], at least one chunk and none of length 0
    text:    may be empty
    spans:   of each chunk, [start, end) in characters of the text; may be empty
    """

    id: str
    vectors: np.ndarray
    text: str = ""
    spans: Sequence[tuple[int, int]] = ()


@dataclass
class _Segment:
    """What is read of a segment: vectors stay on the disk, texts too.

    counts:  chunks of each document; offsets: where its line begins in LINES, in bytes
    """

    folder: Path
    ids: list[str]
    counts: np.ndarray
    vectors: np.ndarray
    offsets: np.ndarray

    def entry(self, at: int) -> Entry:
        start = int(self.counts[:at].sum())
        vectors = np.array(self.vectors[start : start + self.counts[at]])
        return Entry(self.ids[at], vectors, **self.line(at))

    def entries(self) -> Iterator[Entry]:
        """All documents in order."""
        starts = np.concatenate([[0], np.cumsum(self.counts)])
        with (self.folder / LINES).open("rb") as file:
            for at, name in enumerate(self.ids):
                vectors = self.vectors[starts[at] : starts[at + 1]]
                yield Entry(name, vectors, **_of_line(file.readline()))

    def line(self, at: int) -> dict[str, Any]:
        with (self.folder / LINES).open("rb") as file:
            file.seek(int(self.offsets[at]))
            return _of_line(file.readline())


def _of_line(line: bytes) -> dict[str, Any]:
    found = json.loads(line)
    return {"text": found["text"], "spans": [tuple(span) for span in found["spans"]]}


class Corpus:
    """A folder of documents that can be searched; see the module for what is in it.

    settings: what was given to `create`; `kind` and `dim` are always there
    starts:   int64 [document + 1]: document d has the chunk rows starts[d] to starts[d + 1]
    document_of: int32 [row], the document of each chunk row
    """

    def __init__(self, folder: Path, verify: bool = True, gpu: int | None = None) -> None:
        """Open a folder.

        verify: compare every file with its SHA-256 now. Without, only manifests and sizes are
                compared, which is for a change that compares what it touches
        gpu:    the GPU to search on where that can be done, see `FaissIndex.to_gpu`; None: the CPU
        """
        self.folder, self.gpu = folder, gpu
        _sweep(folder)
        self.number, facts = _state(folder)
        self.settings: dict[str, Any] = facts["settings"]
        self._listed: dict[str, str] = facts["segments"]
        size = len(self._listed)
        check = verify_folder if verify else read_manifest
        with progress("Opening the index", size) if size > 8 else _silent() as advance:
            check(folder / "trained", "trained index", VERSION)
            _compare_manifest(folder / "trained", facts["trained"])
            self._segments = []
            for name, digest in self._listed.items():
                path = folder / "segments" / name
                check(path, "segment", VERSION)
                _compare_manifest(path, digest)
                self._segments.append(_read(path))
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
        kind: str = "auto",
        settings: Mapping[str, Any] | None = None,
    ) -> Corpus:
        """An empty corpus with its training.

        folder:   must not exist
        sample:   chunk vectors float32 [chunk, dim] of some documents, to train on, in an order
                  that means nothing: no more are read than training needs
        expected: how many documents there will be, about
        kind:     see `FaissIndex`; auto: flat up to 100,000 chunk vectors, above that ivf-pq
        settings: plain values that are kept with it, such as what encoded the documents

        Raises InputError if the folder exists or the kind is unknown.
        """
        stream = iter(sample)
        head = list(islice(stream, HEAD))
        if not head:
            raise InputError(str(folder), "there is no document", "give at least one")
        if folder.exists():
            raise InputError(str(folder), "it exists already", "give another name")
        dim = head[0].shape[1]
        rows = int(np.mean([len(v) for v in head]) * expected)
        if kind == "auto":
            kind = "flat" if rows <= AUTO else "ivf-pq"
        chunks = FaissIndex.make(dim, kind, rows)
        means = FaissIndex.make(dim, _of_means(kind), expected)
        with progress("Training the index", None):
            _train(chunks, means, chain(head, stream))
        folder.mkdir(parents=True)
        with _temporary(folder) as space:
            files = _save(space, {CHUNKS: chunks, MEANS: means})
            write_folder(folder / "trained", "trained index", VERSION, files, {"kind": kind})
        facts = {
            "settings": {**(settings or {}), "kind": kind, "dim": dim},
            "trained": _digest(folder / "trained"),
            "segments": {},
        }
        write_folder(folder / "state-000001", "index", VERSION, {}, facts)
        return cls(folder)

    @classmethod
    def of(
        cls,
        folder: Path,
        entries: Sequence[Entry],
        kind: str = "auto",
        settings: Mapping[str, Any] | None = None,
    ) -> Corpus:
        """`create` and `put`, trained on the documents themselves in a shuffled order."""
        order = np.random.default_rng(0).permutation(len(entries))
        sample = (entries[at].vectors for at in order)
        return cls.create(folder, sample, len(entries), kind, settings).put(entries, len(entries))

    @cached_property
    def chunks(self) -> list[tuple[FaissIndex, int]]:
        """The indexes of chunk vectors; read when they are first asked for."""
        return self._load(CHUNKS, self._bases)

    @cached_property
    def means(self) -> list[tuple[FaissIndex, int]]:
        """The indexes of the documents' mean vectors."""
        return self._load(MEANS, self._firsts)

    def __len__(self) -> int:
        return len(self.ids)

    def put(self, entries: Iterable[Entry], total: int | None = None) -> Corpus:
        """Add documents; those whose id is there already are replaced. Returns the corpus as it is
        then; this one is of the past.

        entries: each id once; held in memory one segment at a time
        total:   how many there are, for the bar
        A kill leaves the corpus as it was, or with all of them.
        Raises InputError for a document without chunks or of another width, and while another
        process changes the corpus.
        """
        with self._change() as number:
            names: dict[str, str] = {}
            seen: set[str] = set()
            small = [s for s in self._segments if len(s.ids) < SEGMENT // 2]
            small = small if len(small) >= MOST_SMALL else []
            old = (entry for s in small for entry in s.entries() if entry.id not in seen)
            stream = chain(entries, old)
            with progress("Indexing", total) if total != 0 else _silent() as advance:
                while batch := list(islice(stream, SEGMENT)):
                    for entry in batch:
                        self._check(entry, seen)
                    name = f"{number:06d}-{len(names):03d}"
                    names[name] = self._write(name, batch)
                    advance(len(batch))
                    del batch  # before the next one is read
            kept = self._without(seen, number, names)  # the joined ones are seen, so they go
            self._publish(number, {**kept, **names})
        return Corpus(self.folder, verify=False)

    def erase(self, ids: Iterable[str]) -> Corpus:
        """Take documents out: afterwards no file of the folder has their codes, vectors, texts or
        ids. Returns the corpus as it is then.

        The segments that held them are written anew, and are those of a corpus that never had them.
        The training may have seen them: a centroid is a mean over many vectors, and stays.
        Raises InputError for an id that is not there, before anything is changed.
        """
        gone = set(ids)
        known = set(self.ids)
        for name in sorted(gone):
            if name not in known:
                what = f"it has no document {name!r}"
                raise InputError(str(self.folder), what, "check the id; nothing was changed")
        with self._change() as number:
            verify_folder(self.folder / "trained", "trained index", VERSION)
            self._publish(number, self._without(gone, number, {}))
        return Corpus(self.folder, verify=False)

    def entry(self, document: int) -> Entry:
        """The document of a number, with its text and vectors."""
        segment = int(np.searchsorted(self._firsts, document, side="right")) - 1
        return self._segments[segment].entry(document - int(self._firsts[segment]))

    def rows(self, documents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The chunk vectors of some documents: float32 [row, dim], and where each document's begin,
        int64 [document + 1]. Only these are read from the disk.

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

    def nbytes(self) -> int:
        """Bytes that stay in memory: codes, and the chunk rows of each document; without ids."""
        codes = sum(index.nbytes() for index, _ in (*self.chunks, *self.means))
        return codes + self.starts.nbytes + self.document_of.nbytes

    def _check(self, entry: Entry, seen: set[str]) -> None:
        shape = entry.vectors.shape
        if len(shape) != 2 or shape[0] == 0 or shape[1] != self.settings["dim"]:
            what = f"its chunk vectors are {list(shape)}, not [chunk, {self.settings['dim']}]"
            raise InputError(f"document {entry.id}", what, "encode it with the corpus's encoder")
        if not (np.isfinite(entry.vectors).all() and (np.abs(entry.vectors).max(1) > 0).all()):
            what = "a chunk vector is 0 or not a number"
            raise InputError(f"document {entry.id}", what, "encode it anew")
        if entry.id in seen:
            raise InputError(f"document {entry.id}", "it comes twice", "give each id once")
        seen.add(entry.id)

    def _without(self, gone: set[str], number: int, names: Mapping[str, str]) -> dict[str, str]:
        """The listed segments without some documents: those that had one are written anew."""
        kept: dict[str, str] = {}
        for (name, digest), segment in zip(self._listed.items(), self._segments, strict=True):
            if gone.isdisjoint(segment.ids):
                kept[name] = digest
                continue
            verify_folder(segment.folder, "segment", VERSION)
            rest = [entry for entry in segment.entries() if entry.id not in gone]
            if rest:
                new = f"{number:06d}-{len(names) + len(kept):03d}r"
                kept[new] = self._write(new, rest)
        return kept

    def _write(self, name: str, entries: Sequence[Entry]) -> str:
        """Write a segment; returns the SHA-256 of its manifest."""
        counts = np.array([len(e.vectors) for e in entries], np.int64)
        lines = [
            json.dumps({"text": e.text, "spans": [list(s) for s in e.spans]}).encode() + b"\n"
            for e in entries
        ]
        offsets = np.cumsum([0, *(len(line) for line in lines[:-1])])
        folder = self.folder / "segments" / name
        with _temporary(self.folder) as space:
            files: dict[str, Path | bytes] = self._write_vectors(space, entries, counts)
            for file, array in ((COUNTS, counts), (OFFSETS, offsets)):
                np.save(space / file, array, allow_pickle=False)
                files[file] = space / file
            contents = {LINES: b"".join(lines), IDS: json.dumps([e.id for e in entries]).encode()}
            write_folder(folder, "segment", VERSION, {**files, **contents}, {"name": name})
        return _digest(folder)

    def _write_vectors(
        self, space: Path, entries: Sequence[Entry], counts: np.ndarray
    ) -> dict[str, Path | bytes]:
        """The vectors and both indexes as files; some documents at a time, which saves memory."""
        chunks, means = self._trained(CHUNKS), self._trained(MEANS)
        shape = (int(counts.sum()), self.settings["dim"])
        row = 0
        with (space / VECTORS).open("wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for at in range(0, len(entries), GROUP):
                own = counts[at : at + GROUP]
                vectors = np.concatenate([e.vectors for e in entries[at : at + GROUP]])
                vectors = vectors.astype("<f4", copy=False)
                file.write(vectors.tobytes())
                units = unit(vectors)
                chunks.add(units, np.arange(row, row + len(units)))
                row += len(units)
                sums = np.add.reduceat(units, np.cumsum(own) - own, axis=0)
                means.add(sums / own[:, None].astype(np.float32), np.arange(at, at + len(own)))
        return {VECTORS: space / VECTORS, **_save(space, {CHUNKS: chunks, MEANS: means})}

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
        """The number of the next state; no other process changes the corpus meanwhile."""
        with _lock(self.folder) as held:
            if not held:
                what = "another process is changing it"
                raise InputError(str(self.folder), what, "wait for it and go on")
            if _state(self.folder)[0] != self.number:
                what = "another process has changed it"
                raise InputError(str(self.folder), what, "open it again and repeat")
            try:
                yield self.number + 1
            except BaseException:
                _clean(self.folder)
                raise

    def _trained(self, file: str) -> FaissIndex:
        return FaissIndex.load(self.folder / "trained" / file, self._kind(file))

    def _kind(self, file: str) -> str:
        kind = self.settings["kind"]
        return kind if file == CHUNKS else _of_means(kind)

    def _load(self, file: str, offsets: np.ndarray) -> list[tuple[FaissIndex, int]]:
        found = [FaissIndex.load(s.folder / file, self._kind(file)) for s in self._segments]
        whole = joined(found, [int(o) for o in offsets[: len(found)]])
        if self.gpu is not None:
            for index, _ in whole:
                index.to_gpu(self.gpu)
        return whole


def _train(chunks: FaissIndex, means: FaissIndex, sample: Iterator[np.ndarray]) -> None:
    """Train both on a sample of documents. Holds one copy of the rows that training needs."""
    rows = np.empty((chunks.sample, chunks.dim), np.float32)
    averages = np.empty((means.sample, means.dim), np.float32)
    row = average = 0
    while row < len(rows) or average < len(averages):
        vectors = next(sample, None)
        if vectors is None:
            break
        units = unit(vectors)
        own = units[: len(rows) - row]
        rows[row : row + len(own)] = own
        row += len(own)
        if average < len(averages):
            averages[average] = units.mean(0)
            average += 1
    chunks.train(rows[:row], overwrite=True)
    del rows
    means.train(averages[:average], overwrite=True)


def _of_means(kind: str) -> str:
    """The kind of the index of means. They are few, and their order matters: two bits a dimension
    instead of RaBitQ's one."""
    return "ivf-pq" if kind == "ivf-rabitq" else kind


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows [row, dim] divided by their lengths, float32."""
    vectors = np.asarray(vectors, dtype=np.float32)
    return vectors / np.sqrt(np.einsum("rd,rd->r", vectors, vectors))[:, None]


def _read(folder: Path) -> _Segment:
    arrays = {name: np.load(folder / name, allow_pickle=False) for name in (COUNTS, OFFSETS)}
    vectors = np.load(folder / VECTORS, mmap_mode="r", allow_pickle=False).view(np.ndarray)
    ids = json.loads((folder / IDS).read_bytes())
    return _Segment(folder, ids, arrays[COUNTS], vectors, arrays[OFFSETS])


def _state(folder: Path) -> tuple[int, dict[str, Any]]:
    """The newest state's number and facts."""
    if not folder.is_dir():
        raise InputError(str(folder), "there is no such index", "make it with `jdcv index`")
    states = sorted(folder.glob("state-*"))
    if not states:
        raise InputError(str(folder), "it is no index: it has no state", "give another folder")
    facts = read_manifest(states[-1], "index", VERSION).facts
    return int(states[-1].name.partition("-")[2]), facts


def _digest(folder: Path) -> str:
    return hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()


def _compare_manifest(folder: Path, digest: str) -> None:
    if _digest(folder) != digest:
        what = "it belongs to another index, or to another state of this one"
        raise InputError(str(folder / MANIFEST), what, "put a whole copy of the index in its place")


def _sweep(folder: Path) -> None:
    """Remove what a killed process left, unless one is at work."""
    if folder.is_dir():
        with _lock(folder) as held:
            if held:
                _clean(folder)


def _clean(folder: Path) -> None:
    """Remove older states, segments of no state, and temporary files. Call it with the lock."""
    try:
        number, facts = _state(folder)
    except InputError:
        return  # opening it says what is wrong
    for state in sorted(folder.glob("state-*")):
        if state.name != f"state-{number:06d}":
            remove_folder(state)
    segments = folder / "segments"
    for path in sorted(segments.iterdir()) if segments.is_dir() else []:
        if path.name not in facts["segments"] and not path.name.startswith("."):
            remove_folder(path)
    remove_leftovers(segments)
    remove_leftovers(folder)


@contextmanager
def _lock(folder: Path) -> Iterator[bool]:
    """Whether this process alone may change the folder now."""
    try:
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:  # a folder that is only to be read
        yield False
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


@contextmanager
def _temporary(folder: Path) -> Iterator[Path]:
    """A folder for files that are linked into a new one; named so that `remove_leftovers` knows it
    after a kill."""
    path = Path(tempfile.mkdtemp(f".{os.getpid()}.jdcv-tmp", ".files.", folder))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _save(space: Path, indexes: Mapping[str, FaissIndex]) -> dict[str, Path | bytes]:
    for name, index in indexes.items():
        index.save(space / name)
    return {name: space / name for name in indexes}


@contextmanager
def _silent() -> Iterator[Callable[..., None]]:
    yield lambda *about: None
