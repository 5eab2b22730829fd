"""Documents → the chunk vectors of each, every unique chunk encoded once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np

from jdcv_core.chunking import check_window, chunk_documents
from jdcv_core.encoding.encoder import Encoder
from jdcv_core.encoding.precision import settle_precision
from jdcv_core.encoding.vector_store import VectorStore, vector_key
from jdcv_core.progress import progress
from jdcv_core.types import Chunk, Document

USUAL_SIZE = 1024
"""The baseline's chunk size in tokens, where the encoder can read as much."""

Chunker = Callable[..., list[list[Chunk]]]
"""(documents, tokenizer, size, overlap) → the chunks of each; `chunk_documents` is one."""

GROUP = 64
"""Documents between two commits: what a kill can cost at most."""


@dataclass
class EncodeReport:
    """What one call of `encode_documents` did.

    documents = found_in_store + documents_encoded. chunks_encoded counts unique chunks and tokens
    those in them; encoder_calls counts batches. chunk_counts holds for each side the number of
    chunks of each of its documents, in the order given.
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

    def facts(self) -> dict[str, Any]:
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
        return {**asdict(self), "chunk_counts": chunks}


def encode_documents(
    documents: Iterable[Document],
    encoder: Encoder,
    store: VectorStore,
    size: int | None = None,
    overlap: int = 0,
    chunker: Chunker = chunk_documents,
) -> tuple[dict[str, np.ndarray], EncodeReport]:
    """The chunk vectors of each document, out of the store or else out of the encoder.

    documents: each id once
    size:      most tokens in a chunk; None: 1,024, or as many as the encoder can read
    overlap:   tokens that a chunk repeats of the one before
    chunker:   how documents are cut. What it may change of a document's chunks must show in their
               tokens: with another one than `chunk_documents` the key holds those, not the text

    Returns matrices float32 [chunk, dim] by document id, in the order given, and a report. When
    everything is found the encoder is not even loaded. Documents are encoded in groups, and each
    group is stored before the next begins, so a kill costs one group. Chunks with the same tokens
    are encoded once per call, whichever documents they are in.

    Raises InputError for a size that the encoder cannot read, and for a document without tokens.
    """
    started = time.perf_counter()
    documents = list(documents)
    size = min(USUAL_SIZE, encoder.max_tokens) if size is None else size
    check_window(size, overlap, encoder.max_tokens, encoder.name)
    settle_precision(encoder, store)
    calls, encoded = encoder.calls, encoder.chunks_encoded
    report = EncodeReport(encoder.name, encoder.precision, size, overlap, len(documents))

    tokenizer, weights = encoder.tokenizer_fingerprint, encoder.fingerprint
    cut_before: dict[str, list[Chunk]] = {}
    if chunker is chunk_documents:
        keys = {d.id: vector_key(d.text, tokenizer, size, overlap, weights) for d in documents}
    else:
        cut_before = {
            d.id: chunks
            for d, chunks in zip(
                documents, chunker(documents, encoder.tokenizer, size, overlap), strict=True
            )
        }
        keys = {
            i: vector_key(repr([c.tokens for c in own]), tokenizer, size, overlap, weights)
            for i, own in cut_before.items()
        }
    if len(keys) != len(documents):
        raise ValueError("a document id comes twice")
    stored = store.get_many(keys.values())
    missing = [d for d in documents if keys[d.id] not in stored]
    if missing:
        seen: dict[bytes, np.ndarray] = {}
        characters = sum(len(d.text) for d in missing)
        with progress(f"Encoding {len(missing)} documents", characters) as advance:
            for at in range(0, len(missing), GROUP):
                group = missing[at : at + GROUP]
                cut = [cut_before[d.id] for d in group if d.id in cut_before]
                cut = cut or chunk_documents(group, encoder.tokenizer, size, overlap)
                report.tokens += _encode_new(cut, encoder, seen, advance)
                fresh = {
                    keys[d.id]: np.stack([seen[_content(c)] for c in chunks])
                    for d, chunks in zip(group, cut, strict=True)
                }
                store.put_many(fresh)
                stored.update(fresh)

    report.found_in_store = len(documents) - len(missing)
    report.documents_encoded = len(missing)
    report.encoder_calls = encoder.calls - calls
    report.chunks_encoded = encoder.chunks_encoded - encoded
    for d in documents:
        report.chunk_counts.setdefault(d.side, []).append(len(stored[keys[d.id]]))
    report.seconds = time.perf_counter() - started
    return {d.id: stored[keys[d.id]] for d in documents}, report


def _encode_new(
    cut: list[list[Chunk]], encoder: Encoder, seen: dict[bytes, np.ndarray], advance: Any
) -> int:
    """Encode the chunks whose content is not in `seen`, into it. Returns their tokens."""
    new: dict[bytes, Chunk] = {}
    characters: dict[bytes, int] = {}  # for the bar: what a chunk and its likes add to the text
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
