"""What a search shows of each document that it found: scores, chunk pairs with their texts, and the
experiences of the CV that the chunks belong to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jdcv_core.errors import names
from research.experience.parsing import parse_cv
from research.retrieval.index_folder import IndexFolder
from research.retrieval.search import Candidate
from research.retrieval.segment import Entry

SHOWN = 160
"""Characters of a chunk that are printed."""


@dataclass(frozen=True)
class ChunkPair:
    """A chunk of the query and the chunk of the document that it matches.

    cosine:          of their vectors, in [-1, 1]
    query, document: the whole texts of both chunks
    """

    cosine: float
    query: str
    document: str


@dataclass(frozen=True, repr=False)
class Match:
    """A document that a search found. `print` shows it as lines of text.

    id:          of the document
    score:       by which matches are ordered: of the reranker, in [0, 1], or else equal to maxsim
    maxsim:      MaxSim of all chunk pairs, in [-1, 1], see `research.retrieval.search.maxsim`
    pairs:       chunk pairs, the highest cosine first; of at most two chunks of the document
    experiences: titles and dates of the CV's experiences that these chunks touch
    copies:      ids of near-duplicates that were left out for this document, best first

    >>> pair = ChunkPair(0.83, query="Month-end close.", document="Closed the books each month.")
    >>> match = Match("17", 0.71, 0.55, (pair,), ("Accountant (08/2014-05/2015)",))
    >>> match
    <Match '17' score=0.7100 maxsim=0.5500>
    >>> print(match)
    17  score 0.7100
         0.830  Month-end close.  ↔  Closed the books each month.
         Accountant (08/2014-05/2015)
    """

    id: str
    score: float
    maxsim: float
    pairs: tuple[ChunkPair, ...] = ()
    experiences: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<Match {self.id!r} score={self.score:.4f} maxsim={self.maxsim:.4f}>"

    def __str__(self) -> str:
        pairs = [
            f"{p.cosine:.3f}  {shorten(p.query)}  ↔  {shorten(p.document)}" for p in self.pairs
        ]
        lines = [f"     {line}" for line in (*pairs, *self.experiences)]
        if self.copies:
            lines.append(
                f"     {len(self.copies)} more with nearly the same text: {names(self.copies)}"
            )
        return "\n".join([f"{self.id}  score {self.score:.4f}", *lines])

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, with the texts of chunks shortened for a reader."""
        pairs = [
            {"cosine": p.cosine, "query": shorten(p.query), "document": shorten(p.document)}
            for p in self.pairs
        ]
        return {
            "id": self.id,
            "score": self.score,
            "maxsim": self.maxsim,
            "pairs": pairs,
            "experiences": list(self.experiences),
            "copies": list(self.copies),
        }


def make_matches(index: IndexFolder, query: Entry, candidates: Sequence[Candidate]) -> list[Match]:
    """Candidates with the texts of their chunk pairs. query: with its text and spans."""
    cvs = index.settings.get("side", "cv") == "cv"
    found = []
    for candidate in candidates:
        document = index.entry(candidate.document)
        pairs = [
            ChunkPair(cosine, _piece(query, i), _piece(document, k))
            for i, k, cosine in candidate.pairs
        ]
        cv = document if cvs else query
        spans = [cv.spans[k if cvs else i] for i, k, _ in candidate.pairs]
        experiences = tuple(_experiences(cv.text, spans))
        numbers = candidate.id, candidate.score, candidate.maxsim
        found.append(Match(*numbers, tuple(pairs), experiences, candidate.copies))
    return found


def shorten(text: str) -> str:
    """A text on one line, of at most SHOWN characters.

    >>> shorten("two\\n words")
    'two words'
    """
    words = " ".join(text.split())
    return words if len(words) <= SHOWN else f"{words[: SHOWN - 1]}…"


def _piece(entry: Entry, chunk: int) -> str:
    start, end = entry.spans[chunk]
    return entry.text[start:end]


def _experiences(cv: str, spans: Sequence[tuple[int, int]]) -> list[str]:
    """Titles and dates of the experiences that overlap some spans of a CV."""
    return [
        f"{e.title or 'experience'} ({cv[e.dates.at : e.dates.to]})"
        for e in parse_cv(cv).experiences
        if any(e.start < end and start < e.end for start, end in spans)
    ]
