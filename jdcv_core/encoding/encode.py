"""Encode documents: each document is cut once, and each unique chunk is encoded once."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np

from jdcv_core.chunking import Chunker, TokenChunker
from jdcv_core.encoding.encoder import Encoder
from jdcv_core.encoding.long_documents import long_documents
from jdcv_core.encoding.precision import settle_precision
from jdcv_core.encoding.vector_store import VectorStore, vector_key
from jdcv_core.progress import console, progress
from jdcv_core.scripts import unfit_scripts
from jdcv_core.types import Chunk, Document, Encoded

GROUP = 64
"""Documents per commit to the store. A killed process loses at most this many."""


@dataclass
class EncodeReport:
    """What one call of `encode_documents` did.

    documents = found_in_store + documents_encoded. chunks_encoded counts unique chunks, tokens
    counts the tokens in them, and encoder_calls counts batches. chunk_counts maps a side to the
    number of chunks of each of its documents, in the order given. scripts and unfit_share say how
    well the tokenizer knows the texts (`ScriptCounts`); experiences is the rest of the chunker's
    report.
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
    scripts: dict[str, Any] = field(default_factory=dict)
    unfit_share: float = 0.0
    experiences: dict[str, Any] = field(default_factory=dict)
    long: list[str] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """Return the report as plain numbers and strings for a record, chunk counts summarised."""
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
        left_out = ("experiences", *(() if self.long else ("long",)))
        plain = {key: value for key, value in asdict(self).items() if key not in left_out}
        return {**plain, "chunk_counts": chunks}


def encode_documents(
    documents: Iterable[Document],
    encoder: Encoder,
    store: VectorStore,
    chunker: Chunker | None = None,
) -> tuple[dict[str, Encoded], EncodeReport]:
    """Cut documents into chunks and get the chunk vectors from the store or from the encoder.

    documents: documents with unique ids
    chunker:   how to cut; None means `TokenChunker()`, windows of as many tokens as the encoder
               can read, at most 1,024

    Returns a dict from document id to `Encoded`, in the order given, and a report. The store's key
    of a document is computed from the tokens of its chunks, so two chunkers that give the same
    chunks share the vectors. If the store has every document, the encoder is not loaded. Documents
    are encoded in groups, and each group is stored before the next one starts, so a killed process
    loses one group. Within a call, equal chunks are encoded once, even in different documents.

    A line on the terminal names each script that the encoder does not know.
    Raises InputError for a chunk size that the encoder cannot read and for a document without
    tokens, and ValueError for a document id that appears twice.
    """
    started = time.perf_counter()
    documents = list(documents)
    if len({d.id for d in documents}) != len(documents):
        raise ValueError("a document id appears twice")
    chunker = TokenChunker() if chunker is None else chunker
    cut = chunker.cut(documents, encoder.tokenizer, encoder.max_tokens, encoder.name)
    for line in unfit_scripts(cut.report, encoder.name, len(documents)):
        console.print(line, style="yellow", soft_wrap=True, markup=False, highlight=False)
    settle_precision(encoder, store)
    chunks = {d.id: tuple(own) for d, own in zip(documents, cut.chunks, strict=True)}
    long = long_documents(documents, chunks)
    for sentence in long:
        console.print(sentence, soft_wrap=True, highlight=False, markup=False)
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
        scripts=cut.report.get("scripts", {}),
        unfit_share=cut.report.get("unfit_share", 0.0),
        experiences={k: v for k, v in cut.report.items() if k not in ("scripts", "unfit_share")},
        long=long,
    )
    for d in documents:
        report.chunk_counts.setdefault(d.side, []).append(len(chunks[d.id]))
    report.seconds = time.perf_counter() - started
    found = {}
    for d in documents:
        key, faults = keys[d.id], cut.faults.get(d.id, ())
        found[d.id] = Encoded(d, chunks[d.id], stored[key], cut.chunker, key, faults=faults)
    return found, report


def vectors_of(encoded: Mapping[str, Encoded]) -> dict[str, np.ndarray]:
    """Map each document id to its chunk vectors, float32 [chunk, dim]."""
    return {i: own.vectors for i, own in encoded.items()}


def tokens_of(encoded: Mapping[str, Encoded]) -> dict[str, list[tuple[int, ...]]]:
    """Document id → the token ids of each of its chunks."""
    return {i: [chunk.tokens for chunk in own.chunks] for i, own in encoded.items()}


def months_of(encoded: Mapping[str, Encoded]) -> dict[str, np.ndarray]:
    """Map document ids to the months of their chunks, float32 [chunk, 4], where there are any."""
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
    """Encode documents into the store and `stored`, by groups. Returns the number of tokens."""
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
    """Encode the chunks whose content is not in `seen` and add them. Returns how many tokens."""
    new: dict[bytes, Chunk] = {}
    characters: dict[
        bytes, int
    ] = {}  # for the progress bar: characters of text that each distinct chunk covers
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
