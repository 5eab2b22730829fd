"""The nouns of the toolkit. The rest of the code is verbs on these.

Masks are True where something is real. Ids carry their side: `cv:3f2a…`, `jd:91bc…`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from jdcv_core.chunking import Chunker

Side = Literal["cv", "jd"]
SIDES: tuple[Side, ...] = get_args(Side)

LABELS = ("No Fit", "Potential Fit", "Good Fit")
"""The three ordered classes; a label is an index into this tuple. Binary labels are the first
and the last of them."""

NO, POTENTIAL, GOOD = range(len(LABELS))

TARGETS = (0.0, 0.5, 1.0)
"""The regression target of each label."""

Qrels = Mapping[str, Mapping[str, int]]
"""Judgements: query id → document id → grade (here: the label, 0 to 2)."""

Run = Mapping[str, Mapping[str, float]]
"""One system's ranked output: query id → document id → score."""


@dataclass(frozen=True)
class Document:
    """A CV or a JD.

    `id` is the side and a hash of the normalised text, so equal texts are one document.
    `origin` says where it was read first (`pairs.csv, row 7`), for messages.
    """

    id: str
    text: str
    origin: str = ""

    @property
    def side(self) -> str:
        return self.id.partition(":")[0]


@dataclass(frozen=True)
class Pair:
    """A CV and a JD with their label.

    `label` indexes LABELS. `fold` is the source's own split ("train", "test"; "" if it has none).
    `fit` is the noise-free fit in [0, 1] where the source knows it (the demo corpus), else None.
    """

    cv: str
    jd: str
    label: int
    fold: str = ""
    fit: float | None = None


@dataclass(frozen=True)
class Dataset:
    """Documents by id, labelled pairs over them, and what was found while reading.

    `facts` holds plain numbers and texts about the source (duplicates merged, conflicts dropped,
    the demo corpus's settings and ceiling); it goes into the record as it is.
    """

    name: str
    documents: Mapping[str, Document]
    pairs: Sequence[Pair]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def side(self, side: Side) -> list[Document]:
        """The documents of one side, in order of id."""
        return [self.documents[i] for i in sorted(self.documents) if i.startswith(f"{side}:")]

    @property
    def classes(self) -> tuple[int, ...]:
        """Return the labels that occur, in order: (0, 2) for binary labels."""
        return tuple(sorted({pair.label for pair in self.pairs}))


class Months(NamedTuple):
    """What is known of the experience that a chunk belongs to.

    duration, recency: in months; recency counts from the end of the experience to the reference
                       month, 0 for a current one. nan for a chunk of no dated experience, and for
                       an experience whose dates cannot be right
    share:             1 / the number of chunks of the chunk's segment, so that an experience counts
                       once however long its text is
    experience:        its place among the document's experiences, from 0; nan for none
    """

    duration: float
    recency: float
    share: float
    experience: float


@dataclass(frozen=True)
class Chunk:
    """A window of tokens of one document.

    `tokens` are the encoder's own ids without special tokens. `start` and `end` are character
    offsets into the document's text; the chunks of a document are in order and cover it.
    `months` is None where the chunker does not read experiences.
    """

    document: str
    index: int
    start: int
    end: int
    tokens: tuple[int, ...]
    months: Months | None = None


@dataclass(frozen=True)
class Encoded:
    """A document that was cut and encoded once, for any scorer and any index.

    document: the document
    chunks:   its chunks, in order
    vectors:  float32 [chunk, dim], the vector of each chunk
    chunker:  the chunker that made the chunks, with every default settled: `chunker.size` is the
              chunk size in tokens
    key:      the key of the vectors in the vector store
    words:    float32 [chunk, term, 2], see `encoding.term_weights`; None where no scorer reads them
    faults:   a sentence on each thing that the chunker could not read as it should, such as a date
              of a CV that no experience uses; see `Cut.faults`
    """

    document: Document
    chunks: tuple[Chunk, ...]
    vectors: np.ndarray
    chunker: Chunker
    key: str
    words: np.ndarray | None = None
    faults: tuple[str, ...] = ()

    @property
    def months(self) -> np.ndarray | None:
        """float32 [chunk, 4], the `Months` of each chunk; None where no chunk has any."""
        if self.chunks[0].months is None:
            return None
        return np.array([chunk.months for chunk in self.chunks], dtype=np.float32)


@dataclass(frozen=True)
class ChunkVectors:
    """The chunk vectors of several documents, padded to one length.

    ids:     one per document
    vectors: float tensor [doc, chunk, dim]; zeros where padded
    mask:    bool tensor [doc, chunk]; True = real, and every document has at least one real chunk
    months:  float tensor [doc, chunk, 4], the `Months` of each chunk; nan where unknown or padded.
             None where no experiences were read
    words:   float tensor [doc, chunk, term, 2]: distinct tokens of each chunk and their weights
             (`encoding.term_weights`); 0 where padded. None where no scorer reads words
    """

    ids: tuple[str, ...]
    vectors: Tensor
    mask: Tensor
    months: Tensor | None = None
    words: Tensor | None = None

    def __post_init__(self) -> None:
        if self.vectors.ndim != 3 or self.vectors.shape[:2] != self.mask.shape:
            raise ValueError(
                "ChunkVectors needs vectors [doc chunk dim] and mask [doc chunk], got "
                f"{tuple(self.vectors.shape)} and {tuple(self.mask.shape)}"
            )
        if len(self.ids) != len(self.vectors):
            raise ValueError(f"{len(self.ids)} ids for {len(self.vectors)} documents")

    @classmethod
    def pad(
        cls,
        matrices: Mapping[str, np.ndarray],
        ids: Iterable[str],
        months: Mapping[str, np.ndarray] | None = None,
        words: Mapping[str, np.ndarray] | None = None,
    ) -> ChunkVectors:
        """Stack the [chunk, dim] matrices of `ids`, in that order, and pad them with zeros.

        months: document id → [chunk, 4]; they are stacked and padded with nan if every one of `ids`
                has them, else the result has none
        words:  document id → [chunk, term, 2]; None: the result has none

        If all ids are one and the same, the rows are views of one row, so treat them as read-only.
        Raises KeyError for an id without a matrix, ValueError for a document without a chunk, and
        for months of another number of chunks.

        >>> matrices = {"cv:1": np.ones((2, 3)), "cv:2": np.ones((1, 3))}
        >>> ChunkVectors.pad(matrices, ["cv:1", "cv:2"]).mask.tolist()
        [[True, True], [True, False]]
        """
        import torch

        ids = tuple(ids)
        if len(ids) > 1 and len(set(ids)) == 1:
            return cls.pad(matrices, ids[:1], months, words)._repeated(ids)
        rows = [torch.as_tensor(matrices[i], dtype=torch.float32) for i in ids]
        for i, row in zip(ids, rows, strict=True):
            if len(row) == 0:
                raise ValueError(f"document {i} has no chunk")
        lengths = torch.tensor([len(row) for row in rows])
        stack = torch.nn.utils.rnn.pad_sequence
        vectors = stack(rows, batch_first=True)
        padded = None
        if months and all(i in months for i in ids):
            known = [torch.as_tensor(months[i], dtype=torch.float32) for i in ids]
            for i, row, own in zip(ids, rows, known, strict=True):
                if len(row) != len(own):
                    raise ValueError(f"document {i}: {len(row)} chunks, months of {len(own)}")
            padded = stack(known, batch_first=True, padding_value=float("nan"))
        terms = None if words is None else _pad_words([words[i] for i in ids])
        mask = torch.arange(vectors.shape[1]) < lengths[:, None]
        return cls(ids, vectors, mask, padded, terms)

    def to(self, device: str) -> ChunkVectors:
        """The same on a device."""
        months = None if self.months is None else self.months.to(device)
        words = None if self.words is None else self.words.to(device)
        return ChunkVectors(self.ids, self.vectors.to(device), self.mask.to(device), months, words)

    def take(self, index: Tensor) -> ChunkVectors:
        """The documents at `index` [pair] (repeats allowed), trimmed to their longest."""
        mask = self.mask[index]
        longest = int(mask.sum(1).max())
        ids = tuple(self.ids[i] for i in index.tolist())
        months = None if self.months is None else self.months[index, :longest]
        words = None if self.words is None else self.words[index, :longest]
        return ChunkVectors(ids, self.vectors[index, :longest], mask[:, :longest], months, words)

    def _repeated(self, ids: tuple[str, ...]) -> ChunkVectors:
        """Views of the one document, under ids."""
        count = len(ids)
        months = None if self.months is None else self.months.expand(count, -1, -1)
        words = None if self.words is None else self.words.expand(count, -1, -1, -1)
        vectors, mask = self.vectors.expand(count, -1, -1), self.mask.expand(count, -1)
        return ChunkVectors(ids, vectors, mask, months, words)


def _pad_words(words: Sequence[np.ndarray]) -> Tensor:
    """[chunk, term, 2] of each document → float32 [doc, chunk, term, 2]."""
    import torch

    shape = (len(words), max(len(w) for w in words), max(w.shape[1] for w in words), 2)
    found = torch.zeros(shape)
    for row, own in enumerate(words):
        found[row, : own.shape[0], : own.shape[1]] = torch.as_tensor(own)
    return found
