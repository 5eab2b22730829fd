"""Documents → `Encoded`: each document is cut once, and each unique chunk is encoded once."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np

from jdcv_core.chunking import Chunker, TokenChunker
from jdcv_core.encoding.encoder import Encoder
from jdcv_core.encoding.precision import settle_precision
from jdcv_core.encoding.vector_store import VectorStore, vector_key
from jdcv_core.progress import progress
from jdcv_core.types import Chunk, Document, Encoded

GROUP = 64
"""Documents between two commits: the most that a kill can cost."""


@dataclass
class EncodeReport:
    """What one call of `encode_documents` did.

    documents = found_in_store + documents_encoded. chunks_encoded counts unique chunks and tokens
    those in them; encoder_calls counts batches. chunk_counts holds for each side the number of
    chunks of each of its documents, in the order given. experiences is the report of the chunker.
    """

    encoder: str
    precision: str
    size: int
    overlap: int
    documents: int = 0
    found_in_store: int = 0
    documents_encoded: int = 0
    chunks_encoded: int = 0
    encoder_calls: int = 0
    tokens: int = 0
    seconds: float = 0.0
    chunk_counts: dict[str, list[int]] = field(default_factory=dict)
    experiences: dict[str, Any] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """The same as plain numbers and texts, for a record; chunk counts as a summary."""
        chunks = {
            side: {
                "min": int(min(counts)),
                "median": float(np.median(counts)),
                "mean": float(np.mean(counts)),
                "max": int(max(counts)),
                "of_one_chunk": sum(n == 1 for n in counts),
            }
            for side, counts in self.chunk_counts.items()
        }
        plain = {key: value for key, value in asdict(self).items() if key != "experiences"}
        return {**plain, "chunk_counts": chunks}


def encode_documents(
    documents: Iterable[Document],
    encoder: Encoder,
    store: VectorStore,
    chunker: Chunker | None = None,
) -> tuple[dict[str, Encoded], EncodeReport]:
    """Cut documents and take their chunk vectors out of the store, or else out of the encoder.

    documents: each id once
    chunker:   None: `TokenChunker()`, windows of as many tokens as the encoder can read, at most
               1,024

    Returns an `Encoded` by document id, in the order given, and a report. The key of a document in
    the store is that of its chunks' tokens, so two chunkers that give the same chunks share them.
    If every document is found the encoder is not even loaded. Documents are encoded in groups, and
    each group is stored before the next begins, so a kill costs one group. Chunks with the same
    tokens are encoded once in a call, whichever documents they are in.

    Raises InputError for a chunk size that the encoder cannot read, and for a document without
    tokens; ValueError for a document id that comes twice.
    """
    started = time.perf_counter()
    documents = list(documents)
    if len({d.id for d in documents}) != len(documents):
        raise ValueError("a document id comes twice")
    chunker = TokenChunker() if chunker is None else chunker
    cut = chunker.cut(documents, encoder.tokenizer, encoder.max_tokens, encoder.name)
    settle_precision(encoder, store)
    chunks = {d.id: tuple(own) for d, own in zip(documents, cut.chunks, strict=True)}
    tokenizer, weights = encoder.tokenizer_fingerprint, encoder.fingerprint
    keys = {
        i: vector_key([chunk.tokens for chunk in own], tokenizer, weights)
        for i, own in chunks.items()
    }
    stored = store.get_many(keys.values())
    missing = [d for d in documents if keys[d.id] not in stored]
    calls, encoded = encoder.calls, encoder.chunks_encoded
    tokens = _encode_missing(missing, chunks, keys, encoder, store, stored) if missing else 0
    size = cut.chunker.size
    assert size is not None
    report = EncodeReport(
        encoder.name,
        encoder.precision,
        size,
        cut.chunker.overlap,
        documents=len(documents),
        found_in_store=len(documents) - len(missing),
        documents_encoded=len(missing),
        chunks_encoded=encoder.chunks_encoded - encoded,
        encoder_calls=encoder.calls - calls,
        tokens=tokens,
        experiences=cut.report,
    )
    for d in documents:
        report.chunk_counts.setdefault(d.side, []).append(len(chunks[d.id]))
    report.seconds = time.perf_counter() - started
    found = {
        i: Encoded(d, chunks[i], stored[keys[i]], cut.chunker, keys[i], cut.faults.get(i, ()))
        for i, d in ((d.id, d) for d in documents)
    }
    return found, report


def vectors_of(encoded: Mapping[str, Encoded]) -> dict[str, np.ndarray]:
    """Document id → its chunk vectors, float32 [chunk, dim]."""
    return {i: own.vectors for i, own in encoded.items()}


def months_of(encoded: Mapping[str, Encoded]) -> dict[str, np.ndarray]:
    """Document id → the months of its chunks, float32 [chunk, 4], for documents that have any."""
    found = {i: own.months for i, own in encoded.items()}
    return {i: months for i, months in found.items() if months is not None}


def _encode_missing(
    documents: Sequence[Document],
    chunks: Mapping[str, Sequence[Chunk]],
    keys: Mapping[str, str],
    encoder: Encoder,
    store: VectorStore,
    stored: dict[str, np.ndarray],
) -> int:
    """Encode documents into the store and into `stored`, group by group. Returns their tokens."""
    seen: dict[bytes, np.ndarray] = {}
    tokens = 0
    characters = sum(len(d.text) for d in documents)
    with progress(f"Encoding {len(documents)} documents", characters) as advance:
        for at in range(0, len(documents), GROUP):
            group = documents[at : at + GROUP]
            tokens += _encode_new([chunks[d.id] for d in group], encoder, seen, advance)
            fresh = {keys[d.id]: np.stack([seen[_content(c)] for c in chunks[d.id]]) for d in group}
            store.put_many(fresh)
            stored.update(fresh)
    return tokens


def _encode_new(
    cut: Sequence[Sequence[Chunk]], encoder: Encoder, seen: dict[bytes, np.ndarray], advance: Any
) -> int:
    """Encode the chunks whose content is not in `seen`, into it. Returns their tokens."""
    new: dict[bytes, Chunk] = {}
    characters: dict[
        bytes, int
    ] = {}  # for the bar: characters of the text that equal chunks stand for
    for chunks in cut:
        end = 0
        for chunk in chunks:
            content = _content(chunk)
            characters[content] = characters.get(content, 0) + chunk.end - end
            end = chunk.end
            if content not in seen:
                new.setdefault(content, chunk)
    advance(sum(count for content, count in characters.items() if content in seen))
    todo, share = [c.tokens for c in new.values()], [characters[content] for content in new]
    started, tokens = time.perf_counter(), 0

    def batch_done(batch: list[int]) -> None:
        nonlocal tokens
        tokens += sum(len(todo[i]) for i in batch)
        speed = tokens / (time.perf_counter() - started)
        advance(sum(share[i] for i in batch), f"{speed:,.0f} tokens/s")

    seen.update(zip(new, encoder.encode_chunks(todo, batch_done), strict=True))
    return sum(len(chunk) for chunk in todo)


def _content(chunk: Chunk) -> bytes:
    return sha256(np.asarray(chunk.tokens, dtype=np.int64).tobytes()).digest()
