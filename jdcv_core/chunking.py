"""Document → chunks: windows of tokens that cover the text, in order, and lose nothing.

A token owns the characters from its own start to the start of the next token; the first token
also owns what precedes it and the last what follows it. So the chunks of a document cover its text
whatever the tokenizer drops (WordPiece drops white space), and with no overlap they tile it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from jdcv_core.errors import InputError
from jdcv_core.readable_text import readable
from jdcv_core.scripts import ScriptCounts
from jdcv_core.types import Chunk, Document

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOGETHER = 256
"""Documents tokenized in one call: enough for all cores, small enough for memory."""
USUAL_SIZE = 1024
"""The baseline's chunk size in tokens."""


@dataclass(frozen=True)
class Cut:
    """What a chunker made of documents.

    chunks:  the chunks of each document, in the order given
    chunker: the chunker with every default settled: it cuts any document as it cut these
    report:  plain values for a record: `scripts` and `unfit_share` of `ScriptCounts`, and what else
             the chunker found, such as how many experiences
    faults:  document id → a sentence on each thing that was not read as it should be; documents
             without one are left out
    """

    chunks: list[list[Chunk]]
    chunker: Chunker
    report: dict[str, Any] = field(default_factory=dict)
    faults: dict[str, tuple[str, ...]] = field(default_factory=dict)


@runtime_checkable
class Chunker(Protocol):
    """What every chunker is: a frozen value that models, indexes and records carry.

    size:    most tokens in a chunk; None until it is settled
    overlap: tokens that a chunk repeats of the one before
    """

    @property
    def size(self) -> int | None: ...
    @property
    def overlap(self) -> int: ...

    def cut(
        self, documents: Sequence[Document], tokenizer: Any, limit: int, reader: str = ""
    ) -> Cut:
        """Cut documents. limit: most tokens that the encoder named `reader` can read."""

    def arguments(self) -> dict[str, Any]:
        """Its keyword arguments as JSON's own types."""


@dataclass(frozen=True)
class TokenChunker:
    """Windows of at most `size` tokens; see `chunk_documents`.

    size:    None: as many tokens as the encoder can read, at most USUAL_SIZE
    overlap: tokens that a chunk repeats of the one before, 0 <= overlap < size

    >>> TokenChunker(size=64, overlap=8).arguments()
    {'size': 64, 'overlap': 8}
    """

    size: int | None = None
    overlap: int = 0

    def cut(
        self, documents: Sequence[Document], tokenizer: Any, limit: int, reader: str = ""
    ) -> Cut:
        """Cut documents; see `Chunker.cut`. Raises InputError as `chunk_documents` does."""
        size = settled_size(self.size, self.overlap, limit, reader)
        scripts = ScriptCounts(tokenizer)
        chunks = chunk_documents(documents, tokenizer, size, self.overlap, scripts)
        return Cut(chunks, replace(self, size=size), scripts.report({d.id for d in documents}))

    def arguments(self) -> dict[str, Any]:
        """size and overlap."""
        return {"size": self.size, "overlap": self.overlap}


def settled_size(size: int | None, overlap: int, limit: int, reader: str = "") -> int:
    """The chunk size in tokens: `size`, or as many as the encoder can read, at most USUAL_SIZE.

    Raises InputError as `check_window` does.

    >>> settled_size(None, 0, limit=254)
    254
    """
    size = min(USUAL_SIZE, limit) if size is None else size
    check_window(size, overlap, limit, reader)
    return size


def plain_tokenizer(tokenizer: Any) -> Tokenizer:
    """A copy of `tokenizer` that gives every token of a text, and nothing else.

    Truncation and padding are switched off (all-MiniLM's file asks for both, at 128 tokens). The
    post-processor goes too: it adds special tokens and trims white space out of the offsets.

    tokenizer: a `tokenizers.Tokenizer`, or a fast tokenizer of transformers.
    Returns `tokenizer` itself where it is already plain. Raises InputError for a slow tokenizer,
    which knows no character offsets.
    """
    from tokenizers import Tokenizer

    inner = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if not isinstance(inner, Tokenizer):
        raise InputError(
            f"tokenizer {type(tokenizer).__name__}",
            "it gives no character offsets",
            "use a model that ships a tokenizer.json",
        )
    if inner.truncation is None and inner.padding is None and inner.post_processor is None:
        return inner
    settings = json.loads(inner.to_str())
    settings.update(truncation=None, padding=None, post_processor=None)
    return Tokenizer.from_str(json.dumps(settings))


def check_window(size: int, overlap: int, limit: int | None = None, reader: str = "") -> None:
    """Refuse a chunk size and overlap (tokens) that make no sense, or that `reader` cannot read.

    Raises InputError unless 0 <= overlap < size <= limit (`limit=None`: no limit).
    """
    if size < 1:
        raise InputError(f"chunk size {size}", "a chunk has at least one token", "give 1 or more")
    if not 0 <= overlap < size:
        raise InputError(
            f"chunk overlap {overlap}",
            f"it must be at least 0 and less than the chunk size, {size}",
            f"give 0 to {size - 1}",
        )
    if limit is not None and size > limit:
        raise InputError(
            f"chunk size {size}",
            f"the encoder {reader} reads at most {limit} tokens at once and would cut the rest",
            f"give {limit} or less",
        )


def chunk_document(document: Document, tokenizer: Any, size: int, overlap: int = 0) -> list[Chunk]:
    """The chunks of one document; see `chunk_documents`."""
    return chunk_documents([document], tokenizer, size, overlap)[0]


def chunk_documents(
    documents: Sequence[Document],
    tokenizer: Any,
    size: int,
    overlap: int = 0,
    scripts: ScriptCounts | None = None,
) -> list[list[Chunk]]:
    """Cut each document into chunks of at most `size` tokens.

    tokenizer: a `tokenizers.Tokenizer` or a fast tokenizer of transformers; only its own tokens
               are used, without special tokens, truncation or padding
    size:      most tokens in a chunk, at least 1
    overlap:   tokens that a chunk repeats of the one before, 0 <= overlap < size
    scripts:   counts the tokens, if given

    Returns one list per document, in the order given. In each list the chunks are in order, the
    first starts at 0, the last ends at len(text), and each starts no later than the one before
    ends (exactly there for overlap 0). With overlap 0 the chunks' tokens, one after the other, are
    the document's tokens. The tokens are those of the repaired text (`readable`), the offsets
    those of the text itself. Where it needs no repair and the tokenizer works on bytes,
    decode(tokens) == text[start:end].

    Several tokens can make up one character (an emoji). A boundary that would fall inside one
    moves back, so a chunk may be a few tokens shorter, and an overlap a few tokens longer.

    Raises InputError for a size or overlap out of range, for a document without a token, and for
    characters that take more than `size` tokens and cannot be cut. Ours.
    """
    check_window(size, overlap)
    tokenizer = plain_tokenizer(tokenizer)
    result: list[list[Chunk]] = []
    for at in range(0, len(documents), TOGETHER):
        group = documents[at : at + TOGETHER]
        texts = [readable(d.text) for d in group]
        encodings = tokenizer.encode_batch([t.text for t in texts], add_special_tokens=False)
        for document, text, encoding in zip(group, texts, encodings, strict=True):
            if scripts is not None:
                scripts.add(document.id, text.text, encoding.ids, encoding.offsets)
            spans = text.spans(encoding.offsets)
            result.append(_cut(document, encoding.ids, spans, size, overlap))
    return result


def _cut(
    document: Document, ids: list[int], spans: np.ndarray, size: int, overlap: int
) -> list[Chunk]:
    """spans: int [token, 2], the characters of the document's text that each token stands for."""
    where = document.origin or document.id
    if not ids:
        raise InputError(where, "the tokenizer finds no token in the text", "remove the document")
    starts = np.maximum.accumulate(spans[:, 0])
    ends = np.maximum.accumulate(spans[:, 1])
    # A boundary is clean where the tokens before it end no later than the next one starts.
    clean = np.ones(len(ids) + 1, dtype=bool)
    clean[1:-1] = starts[1:] >= ends[:-1]
    edges = np.append(starts, len(document.text))
    edges[0] = 0
    chunks: list[Chunk] = []
    for first, last in _windows(clean, size, overlap):
        start, end = int(edges[first]), int(edges[last])
        if last - first > size:
            raise InputError(
                where,
                f"characters {start} to {end} are {last - first} tokens that cannot be cut apart",
                f"give a chunk size of {last - first} or more",
            )
        chunks.append(Chunk(document.id, len(chunks), start, end, tuple(ids[first:last])))
    return chunks


def _windows(clean: np.ndarray, size: int, overlap: int) -> Iterator[tuple[int, int]]:
    """First and last+1 token of each chunk; longer than `size` only where nothing can be cut.

    clean: [token + 1], whether a boundary may stand before this token; both ends are clean.
    """
    count = len(clean) - 1
    index = np.arange(count + 1)
    back = np.maximum.accumulate(np.where(clean, index, 0))  # the clean boundary at or before
    ahead = np.minimum.accumulate(np.where(clean, index, count)[::-1])[::-1]  # at or after
    first = 0
    while True:
        last = int(max(back[min(first + size, count)], ahead[first + 1]))
        yield first, last
        if last == count:
            return
        first = int(max(back[max(last - overlap, 0)], ahead[first + 1]))
        # Rather less overlap than a chunk that lies inside the one before.
        while first < last and back[min(first + size, count)] <= last:
            first = int(ahead[first + 1])
