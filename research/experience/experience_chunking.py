"""Chunks by experience, and what each chunk's months are. Ours.

A document is cut at its segments first and at the token limit second, so that no chunk holds two
experiences. An experience that is longer than a chunk goes on in the next with its header in front:
`Senior Engineer, 2014-2018, Acme` again, so that each chunk says whose duties these are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jdcv_core.chunking import check_window, chunk_documents
from jdcv_core.types import Chunk, Document
from research.experience.parsing import ParsedCV, parse_cv, reference_month

DURATION, RECENCY, SHARE, PLACE = range(4)
"""Columns of the facts of a chunk (`chunk_facts`)."""
HEADER_SHARE = 4
"""A header is carried along if it takes at most a quarter of a chunk."""


def chunk_by_experience(
    documents: Sequence[Document], tokenizer: Any, size: int, overlap: int = 0
) -> list[list[Chunk]]:
    """As `jdcv_core.chunking.chunk_documents`, with boundaries at the segments of each CV.

    tokenizer: as there; size: most tokens in a chunk, the repeated header included
    overlap:   tokens that a chunk repeats of the one before in its segment

    The chunks of a document are in order and cover its text: each start is where the one before
    ends (overlap 0). `tokens` of the second and later chunks of an experience begin with the
    header's, so they are more than text[start:end]. A JD, and a CV without a dated experience, is
    cut as `chunk_documents` cuts it. A segment without a letter or digit (a row of bullets) has no
    chunk of its own; the next one covers it. Raises InputError as that does.
    """
    check_window(size, overlap)
    plain = [d for d in documents if not _dated(d)]
    known = _by_id(plain, tokenizer, size, overlap)
    parsed = {d.id: parse_cv(d.text) for d in documents if d.id not in known}
    parts = [
        Document(f"{d.id}#{at}", d.text[segment.start : segment.end], d.origin)
        for d in documents
        if d.id in parsed
        for at, segment in enumerate(parsed[d.id].segments)
    ]
    filled = [part for part in parts if any(c.isalnum() for c in part.text)]
    heads = _headers(documents, parsed, tokenizer, size)
    cut = _by_id(filled, tokenizer, size, overlap)
    return [
        known[d.id]
        if d.id in known
        else _joined(d, parsed[d.id], cut, heads, tokenizer, size, overlap)
        for d in documents
    ]


def chunk_facts(
    documents: Sequence[Document],
    chunks: Mapping[str, Sequence[Chunk]],
    reference: int | None = None,
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What the months of each chunk are: float32 [chunk, 4] by document id, and a report.

    chunks:    of each document, made by `chunk_by_experience`
    reference: the month that "current" means; None: the newest in the corpus

    Columns: DURATION and RECENCY in months (recency: from the end of the experience to the
    reference, 0 for a current one), NaN for a chunk of no dated experience, or of one whose dates
    cannot be right; and SHARE, 1 / the number of chunks of its segment, so that an experience
    counts once however long its text is; PLACE, the experience's among `ParsedCV.experiences`, NaN
    for none.
    """
    cvs = [d for d in documents if d.side == "cv"]
    if reference is None:
        reference = reference_month(d.text for d in cvs)
    facts: dict[str, np.ndarray] = {}
    report: dict[str, Any] = {"reference": reference, "cvs": len(cvs)}
    counts = {"experiences": 0, "faulty": 0, "doubtful": 0, "cvs_without_dates": 0}
    for d in documents:
        own = np.full((len(chunks[d.id]), 4), np.nan, dtype=np.float32)
        own[:, SHARE] = 1.0
        if d.side == "cv":
            parsed = parse_cv(d.text, reference)
            _fill(own, chunks[d.id], parsed, reference)
            counts["experiences"] += len(parsed.experiences)
            counts["faulty"] += sum(bool(e.fault) for e in parsed.experiences)
            counts["doubtful"] += sum(bool(e.dates.doubts) for e in parsed.experiences)
            counts["cvs_without_dates"] += not parsed.experiences
        facts[d.id] = own
    return facts, report | counts


def _by_id(
    documents: Sequence[Document], tokenizer: Any, size: int, overlap: int
) -> dict[str, list[Chunk]]:
    cut = chunk_documents(documents, tokenizer, size, overlap)
    return {d.id: chunks for d, chunks in zip(documents, cut, strict=True)}


def _dated(document: Document) -> bool:
    return document.side == "cv" and bool(parse_cv(document.text).experiences)


def _fill(own: np.ndarray, chunks: Sequence[Chunk], parsed: ParsedCV, reference: int) -> None:
    if not parsed.experiences:
        return
    ends = [s.end for s in parsed.segments]
    of = [int(np.searchsorted(ends, (c.start + c.end) // 2, side="right")) for c in chunks]
    for at, segment in enumerate(of):
        own[at, SHARE] = 1.0 / of.count(segment)
        place = parsed.segments[min(segment, len(ends) - 1)].experience
        if place is None:
            continue
        own[at, PLACE] = place
        if parsed.experiences[place].fault:
            continue
        interval = parsed.experiences[place].interval(reference)
        own[at, DURATION] = interval.months
        own[at, RECENCY] = max(0, reference - interval.end)


def _headers(
    documents: Sequence[Document], parsed: Mapping[str, ParsedCV], tokenizer: Any, size: int
) -> dict[str, tuple[int, ...]]:
    """Segment id → the tokens of its header, where it is an experience and the header is short."""
    texts = {}
    for d in documents:
        if d.id in parsed:
            for at, segment in enumerate(parsed[d.id].segments):
                if segment.experience is not None:
                    one = parsed[d.id].experiences[segment.experience]
                    if d.text[one.start : one.header_end].strip():
                        texts[f"{d.id}#{at}"] = d.text[one.start : one.header_end].strip() + "\n"
    if not texts:
        return {}
    cut = chunk_documents([Document(i, t) for i, t in texts.items()], tokenizer, size)
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
            shorter = [Document(name, text)]
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
