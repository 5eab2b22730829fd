"""How texts become entries of an index: they are cut into chunks and encoded, and a trained model
whitens the vectors."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from jdcv_core import registry
from jdcv_core.chunking import Chunker, TokenChunker, settled_size
from jdcv_core.data.rows import text_fault
from jdcv_core.errors import InputError
from jdcv_core.progress import progress
from jdcv_core.types import Chunk, Document, Encoded, Months, Side
from research.retrieval.reranking import Reranker, scorer_reranker
from research.retrieval.segment import Entry

if TYPE_CHECKING:
    from jdcv_core.encoding.encoder import Encoder
    from jdcv_core.matcher import Matcher
    from jdcv_core.requirements import Requirement


CHUNK_SIZE = 64
"""Most tokens in a chunk, without a trained model. MaxSim finds more by chunks of 64 tokens than by
the 254 that all-MiniLM-L6-v2 can read (docs/results/retrieval.md)."""


@dataclass(frozen=True)
class TextReader:
    """Reads documents and queries for one index.

    encoder: of the matcher, or all-MiniLM-L6-v2 of the extra `offline`
    chunker: with every default settled
    matcher: the trained model; None: chunk vectors are those of the encoder, and there is no
             reranker
    """

    encoder: Encoder
    chunker: Chunker
    matcher: Matcher | None = None

    @classmethod
    def load(
        cls,
        model: Matcher | str | Path | None,
        *,
        size: int | None = None,
        chunker: Mapping[str, Any] | None = None,
        device: str = "auto",
    ) -> TextReader:
        """Load a model.

        model:   a Matcher, the folder of a saved one, or None for all-MiniLM-L6-v2
        size:    most tokens in a chunk; None: that of the model, else CHUNK_SIZE
        chunker: without a model, the chunker of an existing index, as `settings` gives it
        device:  of the encoder, see `Encoder`

        Raises InputError for a size other than the model's, and as `Matcher.from_pretrained` does.
        """
        with progress("Loading libraries", None):
            from jdcv_core.encoding.loaders import sentence_transformer
            from jdcv_core.encoding.precision import settle_precision
            from jdcv_core.matcher import Matcher
        if model is None:
            encoder = sentence_transformer(device=device, precision="fp32")
            if chunker is not None:
                return cls(encoder, registry.make("chunkers", chunker, "the index"))
            size = CHUNK_SIZE if size is None else size
            return cls(
                encoder, TokenChunker(settled_size(size, 0, encoder.max_tokens, encoder.name))
            )
        loaded = model if isinstance(model, Matcher) else Matcher.from_pretrained(model, device)
        if size not in (None, loaded.chunker.size):
            what = f"the model reads chunks of {loaded.chunker.size} tokens"
            raise InputError(f"chunk size {size}", what, "leave the chunk size out")
        settle_precision(loaded.encoder)
        return cls(loaded.encoder, loaded.chunker, loaded)

    def settings(self) -> dict[str, Any]:
        """The settings that an index must share with its reader: fingerprints of encoder, tokenizer
        and whitening, the chunker, and the metric."""
        from jdcv_core.encoding.model_files import fingerprint
        from jdcv_core.matcher import chunker_spec

        whitening = ""
        if self.matcher is not None:
            white = self.matcher.whitening
            whitening = fingerprint(white.mean.tolist(), white.matrix.tolist())
        return {
            "encoder": self.encoder.fingerprint,
            "tokenizer": self.encoder.tokenizer_fingerprint,
            "whitening": whitening,
            "chunker": chunker_spec(self.chunker),
            "metric": "cosine",
        }

    def entries(
        self, texts: Mapping[str, str], side: Side, cache_dir: str | Path | None = None
    ) -> list[Entry]:
        """Each text as an entry; it is cut and encoded once.

        texts:     id → text
        cache_dir: the folder of the vector store `vectors.sqlite`; None: vectors are not kept

        Raises InputError for a text that is empty or no text.
        """
        from jdcv_core.encoding.encode import encode_documents
        from jdcv_core.encoding.vector_store import VectorStore

        check_texts(texts)
        path = ":memory:" if cache_dir is None else store_path(cache_dir)
        with VectorStore(path) as store:
            if self.matcher is not None:
                kept = None if cache_dir is None else store
                encoded = self.matcher.encode(
                    list(texts.values()), side=side, store=kept, places=list(texts)
                )
            else:
                documents = [Document(f"{side}:{name}", text, name) for name, text in texts.items()]
                found, _ = encode_documents(documents, self.encoder, store, self.chunker)
                encoded = list(found.values())
        return [Entry.of(name, own) for name, own in zip(texts, encoded, strict=True)]

    def unfit_share(self, texts: Iterable[str]) -> float:
        """The share of the letters of some texts whose script the encoder does not know, in [0, 1];
        see `jdcv_core.scripts`."""
        documents = [Document(f"cv:{at}", text, "") for at, text in enumerate(texts)]
        cut = TokenChunker(self.encoder.max_tokens).cut(
            documents, self.encoder.tokenizer, self.encoder.max_tokens
        )
        share: float = cut.report["unfit_share"]
        return share

    def reranker(self, side: Side) -> Reranker:
        """The trained scorer on the vectors of the index. side: of the documents.

        Raises InputError without a trained model.
        """
        if self.matcher is None:
            what = "the index was made without a trained model"
            raise InputError("reranking", what, "make the index with a trained model")
        if self.matcher.terms is None:
            return scorer_reranker(self.matcher.scorer, side)
        return scorer_reranker(self.matcher.scorer, side, self._words)

    def requirements(self, query: Entry, document: Entry, side: Side) -> tuple[Requirement, ...]:
        """What the trained scorer finds for each JD chunk, in order; () for a scorer without
        `evidence`. query, document: with texts, spans and vectors; side: of the document"""
        scorer = None if self.matcher is None else self.matcher.scorer
        if not hasattr(scorer, "evidence"):
            return ()
        from jdcv_core.requirements import requirements_of

        asked: Side = "jd" if side == "cv" else "cv"
        pair = {side: self._encoded(document, side), asked: self._encoded(query, asked)}
        return requirements_of(cast(Any, scorer), pair["cv"], pair["jd"]).each

    def _encoded(self, entry: Entry, side: Side) -> Encoded:
        """An entry as it was encoded, but for the tokens of its chunks."""
        assert self.matcher is not None
        months = [None if entry.months is None else Months(*own) for own in _rows(entry)]
        chunks = tuple(
            Chunk(entry.id, at, start, end, (), own)
            for at, ((start, end), own) in enumerate(zip(entry.spans, months, strict=True))
        )
        words = None if self.matcher.terms is None else self._words([entry], side)[0]
        document = Document(f"{side}:{entry.id}", entry.text, entry.id)
        return Encoded(document, chunks, entry.vectors, self.chunker, entry.key, words)

    def _words(self, entries: Sequence[Entry], side: Side) -> list[np.ndarray]:
        """The words of the chunks of each entry, which are cut again: an index keeps no tokens."""
        assert self.matcher is not None
        assert self.matcher.terms is not None
        documents = [Document(f"{side}:{at}", e.text, e.id) for at, e in enumerate(entries)]
        cut = self.chunker.cut(documents, self.encoder.tokenizer, self.encoder.max_tokens)
        tokens = {
            d.id: [chunk.tokens for chunk in own]
            for d, own in zip(documents, cut.chunks, strict=True)
        }
        return list(self.matcher.terms(tokens).values())


def _rows(entry: Entry) -> list[list[float]]:
    """The months of each chunk; nothing for a chunk of a document without months."""
    return [[]] * len(entry.spans) if entry.months is None else entry.months.tolist()


def check_texts(texts: Mapping[str, str]) -> None:
    """Raises InputError for a text that is empty or no text. texts: id → text"""
    for name, text in texts.items():
        if fault := text_fault("the text", text, sys.maxsize):
            raise InputError(f"document {name!r}", fault[1], fault[2])


def store_path(cache_dir: str | Path) -> Path:
    """The vector store in a cache folder; `~` stands for the home folder."""
    return Path(cache_dir).expanduser() / "vectors.sqlite"
