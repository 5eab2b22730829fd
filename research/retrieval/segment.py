"""A segment of an index folder: the vectors, FAISS codes, texts and ids of at most SIZE documents.

    vectors.npy      float32 [row, dim], the chunk vectors of all documents one after the other
    months.npy       float32 [row, 4], the `Months` of each chunk; only where documents have them
    counts.npy       int64 [document], the number of chunks of each document
    signatures.npy   uint32 [document, hash], by which near-duplicates are found (`copies`)
    words/           which words each document has, and how often (`word_counts`)
    documents.jsonl  a line for each document: text, places of its chunks, key in the vector store
    offsets.npy      int64 [document], where its line begins, in bytes
    ids.json         the ids
    chunks.faiss     codes of the chunk vectors
    means.faiss      codes of the documents' mean vectors

Older segments have no signatures.npy or no words/; the next `put` writes them again with both.
A segment is written once and never changed; `index_folder` says which segments make up an index.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from jdcv_core.errors import InputError
from jdcv_core.folders import write_folder
from jdcv_core.types import Encoded
from research.retrieval import copies, word_counts
from research.retrieval.vector_index import FaissIndex, unit_rows
from research.retrieval.word_counts import Counts, WordCounts, count_words

VERSION = 2
"""Of the layout of an index folder and all in it."""
SIZE = 16_384
"""Most documents in a segment. An erasure rewrites, and a build holds in memory, so many."""
GROUP = 2048
"""Documents whose vectors are copied, normalised and coded in one step."""
CHUNKS, MEANS = "chunks.faiss", "means.faiss"
VECTORS, MONTHS, COUNTS = "vectors.npy", "months.npy", "counts.npy"
IDS, LINES, OFFSETS = "ids.json", "documents.jsonl", "offsets.npy"
SIGNATURES = "signatures.npy"


@dataclass(frozen=True)
class Entry:
    """A document as an index holds it; also a query.

    id:      the name that its owner gave it, such as the name of its file
    vectors: float32 [chunk, dim], at least one chunk, and none of length 0
    text:    may be empty
    spans:   of each chunk, [start, end) in characters of the text; may be empty
    months:  float32 [chunk, 4], the `Months` of each chunk, for rerankers that weigh by them; or
             None. All entries of an index have them, or none has
    key:     of the vectors in the vector store, so that an erasure can remove them there; or ""
    signature: uint32 [hash], of the text (`copies.signature`); None: not computed yet
    words:   of the text (`word_counts.count_words`); None: not counted yet
    line:    of LINES, where it is known already and neither text, spans nor key are needed
    """

    id: str
    vectors: np.ndarray
    text: str = ""
    spans: Sequence[tuple[int, int]] = ()
    months: np.ndarray | None = None
    key: str = ""
    signature: np.ndarray | None = None
    words: Counts | None = None
    line: bytes = b""

    @classmethod
    def of(cls, name: str, encoded: Encoded, vectors: np.ndarray | None = None) -> Entry:
        """An encoded document under a name. vectors: whitened ones instead of those that it has."""
        spans = [(chunk.start, chunk.end) for chunk in encoded.chunks]
        own = encoded.vectors if vectors is None else vectors
        return cls(name, own, encoded.document.text, spans, encoded.months, encoded.key)


@dataclass(frozen=True)
class Segment:
    """A segment that was opened. Vectors, months, signatures and texts stay on the disk.

    ids:     of its documents
    counts:  int64 [document], chunks of each
    vectors: float32 [row, dim]; months: float32 [row, 4] or None
    offsets: int64 [document], where the line of a document begins in LINES, in bytes
    signatures: uint32 [document, hash], or None in a segment of an older version
    """

    folder: Path
    ids: list[str]
    counts: np.ndarray
    vectors: np.ndarray
    months: np.ndarray | None
    offsets: np.ndarray
    signatures: np.ndarray | None = None

    @classmethod
    def read(cls, folder: Path) -> Segment:
        """Open a segment; its files must have been compared with their hashes."""
        counts, offsets = (np.load(folder / n, allow_pickle=False) for n in (COUNTS, OFFSETS))
        months, signatures = (
            _mapped(folder / name) if (folder / name).exists() else None
            for name in (MONTHS, SIGNATURES)
        )
        ids = json.loads((folder / IDS).read_bytes())
        return cls(folder, ids, counts, _mapped(folder / VECTORS), months, offsets, signatures)

    @property
    def is_old(self) -> bool:
        """Whether it was written before there were signatures or words."""
        return self.signatures is None or not (self.folder / word_counts.FOLDER).exists()

    @cached_property
    def words(self) -> WordCounts:
        """The words of the documents; they are counted now if the segment is old."""
        if (self.folder / word_counts.FOLDER).exists():
            return WordCounts.read(self.folder)
        lines = (self.folder / LINES).read_bytes().splitlines()
        return WordCounts.of([count_words(json.loads(line)["text"]) for line in lines])

    def entry(self, at: int) -> Entry:
        """The document at a place, without its words."""
        with (self.folder / LINES).open("rb") as file:
            file.seek(int(self.offsets[at]))
            found = self._entry(at, int(self.counts[:at].sum()), file.readline())
        months = None if found.months is None else np.array(found.months)
        return replace(found, vectors=np.array(found.vectors), months=months)

    def entries(self) -> Iterator[Entry]:
        """All documents in order, with views of the vectors, which stay on the disk; without their
        words."""
        starts = np.cumsum(self.counts) - self.counts
        with (self.folder / LINES).open("rb") as file:
            for at, start in enumerate(starts.tolist()):
                yield self._entry(at, start, file.readline())

    def entries_with_words(self) -> Iterator[Entry]:
        """The same with their words."""
        for entry, words in zip(self.entries(), self.words.each(), strict=True):
            yield replace(entry, words=words)

    def others(self, gone: Set[str]) -> list[Entry]:
        """The documents that are not among some ids, as `entries`, but with their lines as they
        are on the disk instead of texts, spans and keys."""
        starts = np.cumsum(self.counts) - self.counts
        lines = (self.folder / LINES).read_bytes().splitlines(keepends=True)
        every = enumerate(zip(self.ids, starts.tolist(), lines, strict=True))
        return [self._with_line(at, n, line) for at, (i, n, line) in every if i not in gone]

    def _entry(self, at: int, start: int, line: bytes) -> Entry:
        found = json.loads(line)
        spans = [tuple(span) for span in found["spans"]]
        entry = self._with_line(at, start, b"")
        return replace(entry, text=found["text"], spans=spans, key=found["key"])

    def _with_line(self, at: int, start: int, line: bytes) -> Entry:
        rows = slice(start, start + int(self.counts[at]))
        months = None if self.months is None else self.months[rows]
        signature = None if self.signatures is None else np.array(self.signatures[at])
        return Entry(
            self.ids[at], self.vectors[rows], months=months, signature=signature, line=line
        )


def write_segment(
    folder: Path,
    space: Path,
    entries: Sequence[Entry],
    chunks: FaissIndex,
    means: FaissIndex,
    words: WordCounts | None = None,
) -> None:
    """Write a segment as a folder that is whole or not there.

    space:         an empty folder on the same disk for files that are linked into the segment
    chunks, means: trained, empty indexes, which are filled here
    words:         of the entries; None: those that the entries have, or that their texts have
    """
    counts = np.array([len(e.vectors) for e in entries], np.int64)
    lines = [_line(entry) for entry in entries]
    offsets = np.cumsum([0, *(len(line) for line in lines[:-1])])
    arrays = {COUNTS: counts, OFFSETS: offsets, SIGNATURES: _signatures(entries)}
    months = [e.months for e in entries if e.months is not None]
    if months:
        arrays[MONTHS] = np.concatenate(months).astype("<f4")
    for name, array in arrays.items():
        np.save(space / name, array, allow_pickle=False)
    _write_vectors(space / VECTORS, entries, counts, chunks, means)
    files: dict[str, Path | bytes] = {name: space / name for name in (*arrays, VECTORS)}
    if words is None:
        each = [count_words(e.text) if e.words is None else e.words for e in entries]
        words = WordCounts.of(each)
    files |= words.save(space)
    files |= save_indexes(space, {CHUNKS: chunks, MEANS: means})
    files |= {LINES: b"".join(lines), IDS: json.dumps([e.id for e in entries]).encode()}
    write_folder(folder, "segment", VERSION, files, {"name": folder.name})


def save_indexes(space: Path, indexes: Mapping[str, FaissIndex]) -> dict[str, Path]:
    """Write indexes into files of a folder; returns name → file."""
    for name, index in indexes.items():
        index.save(space / name)
    return {name: space / name for name in indexes}


def check_entry(entry: Entry, dim: int) -> None:
    """Refuse vectors that an index cannot hold.

    Raises InputError for a document without chunks, for vectors of another width, for a vector that
    has no direction or is not finite, and for months of another number of chunks.
    """
    where, shape = f"document {entry.id}", entry.vectors.shape
    if len(shape) != 2 or shape[0] == 0 or shape[1] != dim:
        what = f"its chunk vectors are {list(shape)}, not [chunk, {dim}]"
        raise InputError(where, what, "encode it with the encoder of the index")
    if not (np.isfinite(entry.vectors).all() and (np.abs(entry.vectors).max(1) > 0).all()):
        raise InputError(where, "a chunk vector is 0 or not a number", "encode it again")
    if entry.months is not None and entry.months.shape != (shape[0], 4):
        what = f"its months are {list(entry.months.shape)}, not [{shape[0]}, 4]"
        raise InputError(where, what, "encode it again")


def _write_vectors(
    path: Path, entries: Sequence[Entry], counts: np.ndarray, chunks: FaissIndex, means: FaissIndex
) -> None:
    """Write the vectors and add them to both indexes, a group of documents at a time, which saves
    memory."""
    row = 0
    with path.open("wb") as file:
        shape = (int(counts.sum()), chunks.dim)
        header: dict[str, Any] = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for at in range(0, len(entries), GROUP):
            own = counts[at : at + GROUP]
            vectors = np.concatenate([e.vectors for e in entries[at : at + GROUP]])
            vectors = vectors.astype("<f4", copy=False)
            file.write(vectors.tobytes())
            units = unit_rows(vectors)
            chunks.add(units, np.arange(row, row + len(units)))
            row += len(units)
            sums = np.add.reduceat(units, np.cumsum(own) - own, axis=0)
            means.add(sums / own[:, None].astype(np.float32), np.arange(at, at + len(own)))


def _signatures(entries: Sequence[Entry]) -> np.ndarray:
    own = [copies.signature(e.text) if e.signature is None else e.signature for e in entries]
    return np.stack(own).astype("<u4")


def _line(entry: Entry) -> bytes:
    if entry.line:
        return entry.line
    spans = [list(span) for span in entry.spans]
    return json.dumps({"text": entry.text, "spans": spans, "key": entry.key}).encode() + b"\n"


def _mapped(file: Path) -> np.ndarray:
    return np.load(file, mmap_mode="r", allow_pickle=False).view(np.ndarray)
