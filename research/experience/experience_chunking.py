"""Chunks by experience, with the months of each chunk. Ours.

A document is cut at its segments first and at the token limit second, so that no chunk holds two
experiences. An experience that is longer than a chunk continues in the next one with its header in
front: `Senior Engineer, 2014-2018, Acme` is repeated, so that each chunk says whose duties it has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from jdcv_core.chunking import USUAL_SIZE, Cut, check_window, chunk_documents, settled_size
from jdcv_core.errors import InputError
from jdcv_core.months import as_text, month_from
from jdcv_core.readable_text import readable
from jdcv_core.scripts import ScriptCounts
from jdcv_core.types import Chunk, Document, Months
from research.experience.parsed_cv import Experience, ParsedCV
from research.experience.parsing import parse_cv
from research.experience.reference import reference_month

DURATION, RECENCY, SHARE, PLACE = range(4)
"""Columns of `Encoded.months` and `ChunkVectors.months`: the fields of `Months`."""
HEADER_SHARE = 4
"""A header is carried along if it takes at most a quarter of a chunk."""


@dataclass(frozen=True)
class ExperienceChunker:
    """Cuts CVs where an experience begins, and gives each chunk its `Months`.

    size, overlap: as of `TokenChunker`; an overlap stays within a segment
    reference:     the month that "current" means, as 2024-06; None: the newest month in the CVs
                   that are cut first (`reference_month`), which is then kept

    JDs are cut as `TokenChunker` cuts them, without months. A CV whose current job began after the
    reference is newer than the chunker: its months count to that job's start, since f needs the
    durations and recencies of the CV's own present (`ParsedCV.seen_from`); its faults say so.
    Raises InputError for a reference that is no month.

    >>> ExperienceChunker(size=256, reference="2024-06").arguments()
    {'size': 256, 'overlap': 0, 'reference': '2024-06'}
    """

    USUAL_SIZE: ClassVar[int] = USUAL_SIZE
    """Most tokens in a chunk if no size is given and the encoder can read as many."""

    size: int | None = None
    overlap: int = 0
    reference: str | None = None

    def __post_init__(self) -> None:
        if self.reference is not None:
            try:
                month_from(self.reference)
            except ValueError as fault:
                raise InputError("chunking.reference", str(fault), "write it as 2024-06") from fault

    def cut(
        self, documents: Sequence[Document], tokenizer: Any, limit: int, reader: str = ""
    ) -> Cut:
        """Cut documents; see `chunk_by_experience` and `Chunker.cut`. Each CV is parsed once.

        The report counts CVs, experiences, those whose dates cannot be right (faulty) or can be
        read in several ways (doubtful), CVs without a dated experience, CVs newer than the
        reference, strings that look like dates of experiences and were not read (unread), and CVs
        that have any; `reference` is in months since year 0.
        """
        size = min(self.USUAL_SIZE, limit) if self.size is None else self.size
        size = settled_size(size, self.overlap, limit, reader)
        parsed = {d.id: parse_cv(d.text) for d in documents if d.side == "cv"}
        if self.reference is None:
            reference = reference_month(parsed.values())
        else:
            reference = month_from(self.reference)
        parsed = {i: own.seen_from(reference) for i, own in parsed.items()}
        scripts = ScriptCounts(tokenizer)
        chunks = self.chunks(documents, parsed, tokenizer, size, self.overlap, scripts)
        settled = replace(self, size=size, reference=as_text(reference))
        report = {"reference": reference, **_counts(parsed.values())}
        report |= scripts.report({d.id for d in documents})
        faults = {i: own.faults for i, own in parsed.items() if own.faults}
        return Cut(chunks, settled, report, faults)

    @staticmethod
    def experiences(text: str) -> tuple[Experience, ...]:
        """The experiences of a CV in order of appearance, to which `Months.experience` refers."""
        return parse_cv(text).experiences

    @staticmethod
    def chunks(*arguments: Any) -> list[list[Chunk]]:
        """`chunk_by_experience`; a subclass may cut in another way."""
        return chunk_by_experience(*arguments)

    def arguments(self) -> dict[str, Any]:
        """size, overlap and reference."""
        return {"size": self.size, "overlap": self.overlap, "reference": self.reference}


def chunk_by_experience(
    documents: Sequence[Document],
    parsed: Mapping[str, ParsedCV],
    tokenizer: Any,
    size: int,
    overlap: int = 0,
    scripts: ScriptCounts | None = None,
) -> list[list[Chunk]]:
    """As `jdcv_core.chunking.chunk_documents`, with boundaries at the segments of each CV.

    parsed:    document id → what was read of the CV, for every CV
    tokenizer: as of `chunk_documents`
    size:      most tokens in a chunk, a repeated header included
    overlap:   tokens that a chunk repeats of the one before it in its segment
    scripts:   counts the tokens, if given

    The chunks of a document are in order and cover its text: each start is where the one before
    ends (overlap 0). `tokens` of the second and later chunks of an experience begin with those of
    the header, so they are more than text[start:end]. A JD, and a CV without a dated experience, is
    cut as `chunk_documents` cuts it. A segment without a letter or digit (a row of bullets) has no
    chunk; the next chunk covers it. Each chunk of a CV has its `Months`.
    Raises InputError as `chunk_documents` does.
    """
    check_window(size, overlap)
    dated = {i: own for i, own in parsed.items() if own.experiences}
    undated = [d for d in documents if d.id not in dated]
    plain = _by_id(undated, tokenizer, size, overlap, scripts)
    parts = [
        Document(f"{d.id}#{at}", d.text[segment.start : segment.end], d.origin)
        for d in documents
        if d.id in dated
        for at, segment in enumerate(dated[d.id].segments)
    ]
    filled = [part for part in parts if any(c.isalnum() for c in readable(part.text).text)]
    heads = _headers(documents, dated, tokenizer, size)
    cut = _by_id(filled, tokenizer, size, overlap, scripts)
    found = []
    for d in documents:
        chunks = plain.get(d.id) or _joined(d, dated[d.id], cut, heads, tokenizer, size, overlap)
        found.append(with_months(chunks, parsed[d.id]) if d.id in parsed else chunks)
    return found


def _by_id(
    documents: Sequence[Document],
    tokenizer: Any,
    size: int,
    overlap: int,
    scripts: ScriptCounts | None,
) -> dict[str, list[Chunk]]:
    cut = chunk_documents(documents, tokenizer, size, overlap, scripts)
    return {d.id: chunks for d, chunks in zip(documents, cut, strict=True)}


def with_months(chunks: Sequence[Chunk], parsed: ParsedCV) -> list[Chunk]:
    """The same chunks, each with the `Months` of the experience in which its middle lies."""
    if not parsed.experiences:
        return [replace(c, months=Months(np.nan, np.nan, 1.0, np.nan)) for c in chunks]
    ends = [s.end for s in parsed.segments]
    of = [int(np.searchsorted(ends, (c.start + c.end) // 2, side="right")) for c in chunks]
    found = []
    for chunk, segment in zip(chunks, of, strict=True):
        place = parsed.segments[min(segment, len(ends) - 1)].experience
        duration = recency = np.nan
        if place is not None and not parsed.experiences[place].fault:
            experience, now = parsed.experiences[place], parsed.reference
            duration = experience.months(now)
            recency = max(0, now - experience.interval(now).end)
        months = Months(
            duration, recency, 1.0 / of.count(segment), np.nan if place is None else place
        )
        found.append(replace(chunk, months=months))
    return found


def _counts(parsed: Any) -> dict[str, int]:
    every = list(parsed)
    experiences = [e for own in every for e in own.experiences]
    return {
        "cvs": len(every),
        "experiences": len(experiences),
        "faulty": sum(bool(e.fault) for e in experiences),
        "doubtful": sum(bool(e.dates.doubts) for e in experiences),
        "cvs_without_dates": sum(not own.experiences for own in every),
        "newer": sum(own.newer_than is not None for own in every),
        "unread": sum(len(own.unread) for own in every),
        "cvs_with_unread": sum(bool(own.unread) for own in every),
    }


def _headers(
    documents: Sequence[Document], parsed: Mapping[str, ParsedCV], tokenizer: Any, size: int
) -> dict[str, tuple[int, ...]]:
    """Segment id → the tokens of its header, where it is an experience and the header is short."""
    texts: dict[str, Document] = {}
    for d in documents:
        if d.id in parsed:
            for at, segment in enumerate(parsed[d.id].segments):
                if segment.experience is not None:
                    one = parsed[d.id].experiences[segment.experience]
                    name, text = f"{d.id}#{at}", d.text[one.start : one.header_end].strip()
                    if text:
                        texts[name] = Document(name, text + "\n", d.origin)
    if not texts:
        return {}
    cut = chunk_documents(list(texts.values()), tokenizer, size)
    found = {i: c[0].tokens for i, c in zip(texts, cut, strict=True) if len(c) == 1}
    return {i: tokens for i, tokens in found.items() if len(tokens) * HEADER_SHARE <= size}


def _joined(
    document: Document,
    parsed: ParsedCV,
    cut: Mapping[str, Sequence[Chunk]],
    heads: Mapping[str, tuple[int, ...]],
    tokenizer: Any,
    size: int,
    overlap: int,
) -> list[Chunk]:
    """The chunks of a document's segments, in order, at its own offsets; they cover its text."""
    found: list[Chunk] = []
    for at, segment in enumerate(parsed.segments):
        name = f"{document.id}#{at}"
        own = list(cut.get(name, ()))
        head = heads.get(name, ())
        if len(own) > 1 and head:  # shorter windows, so that the header fits in front
            text = document.text[segment.start : segment.end]
            room = size - len(head)
            shorter = [Document(name, text, document.origin)]
            (own,) = chunk_documents(shorter, tokenizer, room, min(overlap, room - 1))
        for place, chunk in enumerate(own):
            start = segment.start + chunk.start
            if not place and found:
                start = found[-1].end  # white space between two segments
            tokens = (*head, *chunk.tokens) if place and head else chunk.tokens
            end = segment.start + chunk.end
            found.append(Chunk(document.id, len(found), start, end, tokens))
    found[0] = Chunk(document.id, 0, 0, found[0].end, found[0].tokens)
    last = found[-1]
    found[-1] = Chunk(document.id, last.index, last.start, len(document.text), last.tokens)
    return found
