"""Chunks by line: each requirement of a JD and each line of a CV is a chunk. Ours.

A scorer that compares requirement by requirement (`research.compare_aggregate`) needs one vector
for each of them, and not one for a window in which several stand together. A line that is longer
than a chunk, such as a CV in one paragraph, is cut at the ends of its sentences. The lines of a CV
know the experience that they belong to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from jdcv_core.chunking import chunk_documents
from jdcv_core.readable_text import readable
from jdcv_core.scripts import ScriptCounts
from jdcv_core.types import Chunk, Document
from research.experience.experience_chunking import ExperienceChunker, with_months
from research.experience.parsed_cv import ParsedCV

_SENTENCE_END = re.compile(
    r"(?<=[.!?;])\s+|(?<=[。！？；])"
    r"|(?<=[a-z)][.!?;])(?=[A-Z])"  # "deadlines.Led a team", where the space was lost
    r"|(?=[•·▪●])"
)
_LINE_END = re.compile(r"[\r\n\u2028\u2029]+")


@dataclass(frozen=True)
class RequirementChunker(ExperienceChunker):
    """Cuts JDs and CVs at their lines, and gives each chunk of a CV its `Months`.

    size:      most tokens in a chunk; None: 64, or as many as the encoder can read
    overlap:   tokens that a chunk repeats of the one before it in the same line
    reference: the month that "current" means; see `ExperienceChunker`

    Raises InputError for a reference that is no month.

    >>> RequirementChunker().arguments()
    {'size': None, 'overlap': 0, 'reference': None}
    """

    USUAL_SIZE: ClassVar[int] = 64

    @staticmethod
    def chunks(*arguments: Any) -> list[list[Chunk]]:
        """`chunk_by_line`."""
        return chunk_by_line(*arguments)


def chunk_by_line(
    documents: Sequence[Document],
    parsed: Mapping[str, ParsedCV],
    tokenizer: Any,
    size: int,
    overlap: int = 0,
    scripts: ScriptCounts | None = None,
) -> list[list[Chunk]]:
    """As `jdcv_core.chunking.chunk_documents`, with a boundary after each line.

    parsed:    document id → what was read of the CV, for every CV
    tokenizer: as of `chunk_documents`
    size:      most tokens in a chunk; a line with more is cut at the ends of its sentences first
    overlap:   tokens that a chunk repeats of the one before it in its line
    scripts:   counts the tokens, if given

    The chunks of a document are in order and cover its text: with overlap 0 each starts where the
    one before ends. A line without a letter or digit has no chunk; the next chunk covers
    it. No chunk of a CV holds text of two experiences. Each chunk of a CV has its `Months`.
    Raises InputError as `chunk_documents` does, also for a document without a letter or digit.
    """
    spans = {d.id: list(line_spans(d.text, _boundaries(parsed.get(d.id)))) for d in documents}
    lines = _cut(documents, spans, tokenizer, size, overlap, scripts)
    found = []
    for d in documents:
        whole = [chunk for at in range(len(spans[d.id])) for chunk in lines[d.id, at]]
        if not whole:
            whole = chunk_documents([d], tokenizer, size, overlap)[0]
        chunks = _covering(whole, len(d.text))
        found.append(with_months(chunks, parsed[d.id]) if d.id in parsed else chunks)
    return found


def line_spans(text: str, boundaries: Sequence[int] = ()) -> Iterator[tuple[int, int]]:
    """Start and end of each line that has a letter or digit; a line also ends at each boundary.

    >>> list(line_spans("Cook\\n\\n- \\nTwo years", boundaries=[14]))
    [(0, 4), (9, 14), (14, 18)]
    """
    cuts = {0, len(text), *(b for b in boundaries if 0 < b < len(text))}
    edges = sorted(cuts | {e for m in _LINE_END.finditer(text) for e in m.span()})
    for start, end in zip(edges, edges[1:], strict=False):
        if _says_something(text[start:end]):
            yield start, end


def _says_something(text: str) -> bool:
    return any(c.isalnum() for c in readable(text).text)


def _boundaries(parsed: ParsedCV | None) -> list[int]:
    return [] if parsed is None else [segment.start for segment in parsed.segments]


def _cut(
    documents: Sequence[Document],
    spans: Mapping[str, Sequence[tuple[int, int]]],
    tokenizer: Any,
    size: int,
    overlap: int,
    scripts: ScriptCounts | None,
) -> dict[tuple[str, int], list[Chunk]]:
    """(document id, line) → the chunks of the line, at offsets of the document. Equal lines are
    tokenized once; a line with more than `size` tokens is tokenized again, by its sentences."""
    texts: dict[str, Document] = {}
    for d in documents:
        for start, end in spans[d.id]:
            texts.setdefault(d.text[start:end], Document(d.id, d.text[start:end], d.origin))
    cut = chunk_documents(list(texts.values()), tokenizer, size, overlap, scripts)
    whole = dict(zip(texts, cut, strict=True))
    for text, chunks in whole.items():
        if len(chunks) > 1:
            whole[text] = _by_sentence(texts[text], tokenizer, size, overlap)
    return {
        (d.id, at): [
            replace(chunk, document=d.id, start=start + chunk.start, end=start + chunk.end)
            for chunk in whole[d.text[start:end]]
        ]
        for d in documents
        for at, (start, end) in enumerate(spans[d.id])
    }


def _by_sentence(line: Document, tokenizer: Any, size: int, overlap: int) -> list[Chunk]:
    """The chunks of a long line: each sentence and each bullet begins one.

    A window without a letter or digit, as in a row of spaces, has no chunk.
    """
    edges = [0, *(m.end() for m in _SENTENCE_END.finditer(line.text)), len(line.text)]
    pieces = [
        (a, b) for a, b in zip(edges, edges[1:], strict=False) if _says_something(line.text[a:b])
    ]
    sentences = [Document(line.id, line.text[a:b], line.origin) for a, b in pieces]
    cut = chunk_documents(sentences, tokenizer, size, overlap)
    return [
        replace(chunk, start=a + chunk.start, end=a + chunk.end)
        for (a, _), chunks in zip(pieces, cut, strict=True)
        for chunk in chunks
        if _says_something(line.text[a + chunk.start : a + chunk.end])
    ]


def _covering(chunks: Sequence[Chunk], length: int) -> list[Chunk]:
    """The chunks, numbered, each reaching back to the end of the one before, the last to the end
    of the text; overlaps stay."""
    found: list[Chunk] = []
    for chunk in chunks:
        end = found[-1].end if found else 0
        last = len(found) + 1 == len(chunks)
        found.append(
            replace(
                chunk,
                index=len(found),
                start=min(chunk.start, end),
                end=length if last else chunk.end,
            )
        )
    return found
