"""The nouns of the toolkit. The rest of the code is verbs on these.

Masks are True where something is real. Ids carry their side: `cv:3f2a…`, `jd:91bc…`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

Side = Literal["cv", "jd"]
SIDES: tuple[Side, ...] = get_args(Side)

LABELS = ("No Fit", "Potential Fit", "Good Fit")
"""The three ordered classes; a label is an index into this tuple."""

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


@dataclass(frozen=True)
class Chunk:
    """A window of tokens of one document.

    `tokens` are the encoder's own ids without special tokens. `start` and `end` are character
    offsets into the document's text; the chunks of a document are in order and cover it.
    """

    document: str
    index: int
    start: int
    end: int
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class ChunkVectors:
    """The chunk vectors of several documents, padded to one length.

    ids:     one per document
    vectors: float tensor [doc, chunk, dim]; zeros where padded
    mask:    bool tensor [doc, chunk]; True = real, and every document has at least one real chunk
    facts:   float tensor [doc, chunk, fact]: numbers known of a chunk beside its vector, such as
             the months of the experience it belongs to; nan where unknown or padded. None: none
    """

    ids: tuple[str, ...]
    vectors: Tensor
    mask: Tensor
    facts: Tensor | None = None

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
        facts: Mapping[str, np.ndarray] | None = None,
    ) -> ChunkVectors:
        """Stack the [chunk, dim] matrices of `ids`, in that order, padding with zeros; and their
        facts [chunk, fact], padding with nan.

        Raises KeyError for an id without a matrix, ValueError for one without a chunk.
        """
        import torch

        ids = tuple(ids)
        rows = [torch.as_tensor(matrices[i], dtype=torch.float32) for i in ids]
        for i, row in zip(ids, rows, strict=True):
            if len(row) == 0:
                raise ValueError(f"document {i} has no chunk")
        lengths = torch.tensor([len(row) for row in rows])
        stack = torch.nn.utils.rnn.pad_sequence
        vectors = stack(rows, batch_first=True)
        padded = None
        if facts is not None:
            known = [torch.as_tensor(facts[i], dtype=torch.float32) for i in ids]
            for i, row, own in zip(ids, rows, known, strict=True):
                if len(row) != len(own):
                    raise ValueError(f"document {i}: {len(row)} chunks, facts of {len(own)}")
            padded = stack(known, batch_first=True, padding_value=float("nan"))
        return cls(ids, vectors, torch.arange(vectors.shape[1]) < lengths[:, None], padded)

    def to(self, device: str) -> ChunkVectors:
        """The same on a device."""
        facts = None if self.facts is None else self.facts.to(device)
        return ChunkVectors(self.ids, self.vectors.to(device), self.mask.to(device), facts)

    def take(self, index: Tensor) -> ChunkVectors:
        """The documents at `index` [pair] (repeats allowed), trimmed to their longest."""
        mask = self.mask[index]
        longest = int(mask.sum(1).max())
        ids = tuple(self.ids[i] for i in index.tolist())
        facts = None if self.facts is None else self.facts[index, :longest]
        return ChunkVectors(ids, self.vectors[index, :longest], mask[:, :longest], facts)
