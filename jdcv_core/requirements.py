"""Which requirement of a JD is met, and by which line of the CV, as the scorer itself adds it up.

Leave-one-out (`jdcv_core.explanation`) asks what the score would be without a chunk, and works for
every scorer. A scorer that has `evidence` says more: its logit is a sum over JD chunks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from jdcv_core.evaluation.formats import shortened
from jdcv_core.types import ChunkVectors, Encoded, Months

MATCHED, PARTLY = 2 / 3, 1 / 3
"""Least covered share of a requirement that is matched, and of one that is partly matched."""
ANSWERS = 0.5
"""Least share of a line of another experience that is listed as one more answer."""
NEGLIGIBLE = 0.05
"""A JD chunk with less than this share of the largest importance is no requirement."""
TITLE = 40
"""Number of characters of an experience's title that are shown."""
STATES = ("matched", "partly", "missing")


class Evidence(NamedTuple):
    """The parts of a pair's logit = gain · sum_i importance_i · covered_i + bias - level.

    importance: [pair i], the weight of each JD chunk; each row sums to 1
    covered:    [pair i], how far the CV covers each JD chunk
    chunk:      int [pair i], the CV chunk that is most similar to each JD chunk
    level:      [pair], what a missing level takes off the logit
    share:      [pair i k], how far each CV chunk alone answers each JD chunk
    gain, bias: numbers
    """

    importance: Tensor
    covered: Tensor
    chunk: Tensor
    level: Tensor
    share: Tensor
    gain: Tensor
    bias: Tensor


class WithEvidence(Protocol):
    """A scorer whose logit is a sum over JD chunks."""

    def evidence(self, jd: ChunkVectors, cv: ChunkVectors) -> Evidence: ...


class Titled(Protocol):
    """An experience of a CV: its title line, and its dates as they are written.

    A chunker whose chunks have `Months` may have `experiences(text)`, which returns them in order
    of appearance.
    """

    @property
    def title(self) -> str: ...
    @property
    def written(self) -> str: ...


@dataclass(frozen=True)
class Answer:
    """A CV chunk that answers a requirement.

    index:         of the chunk; its text is the characters [start, end) of the CV
    share:         how far it answers the requirement by itself
    title, dates:  of its experience, as the CV writes them; "" for none
    months, ended: how long the experience lasted, and how many months before the model's reference
                   month it ended; None for no dated experience
    """

    index: int
    start: int
    end: int
    text: str
    share: float
    title: str = ""
    dates: str = ""
    months: int | None = None
    ended: int | None = None

    @property
    def experience(self) -> str:
        """Its experience in words, the title with at most TITLE characters; "" for none.

        >>> Answer(0, 0, 4, "Cook", 0.9, "Chef", "2019-2022", 39, 24).experience
        'Chef, 2019-2022, 39 months, ended 24 months ago'
        """
        said = [word for word in (shortened(self.title, TITLE), self.dates) if word]
        said += [] if self.months is None else [f"{self.months} months"]
        said += [f"ended {self.ended} months ago"] if self.ended else []
        return ", ".join(said)


@dataclass(frozen=True)
class Requirement:
    """A JD chunk, and what the scorer finds for it.

    index:      of the chunk; its text is the characters [start, end) of the JD
    importance: its weight among the JD chunks, which add up to 1
    covered:    how far the CV covers it
    part:       what it adds to the logit: gain · importance · covered
    listed:     whether its importance is not negligible
    answers:    the CV chunk that is most similar to it; then, of each other experience, the chunk
                that answers it best, if it answers at least half
    """

    index: int
    start: int
    end: int
    text: str
    importance: float
    covered: float
    part: float
    listed: bool
    answers: tuple[Answer, ...]

    @property
    def state(self) -> str:
        """One of STATES."""
        return STATES[0 if self.covered >= MATCHED else 1 if self.covered >= PARTLY else 2]


class Requirements(NamedTuple):
    """A pair's logit = sum of the parts of `each` + bias - level.

    each: in the order of the JD
    """

    each: tuple[Requirement, ...]
    bias: float
    level: float


class Numbers(NamedTuple):
    """Evidence of one pair as plain values, in the order of the JD chunks.

    answers: for each JD chunk, (CV chunk, its share) as in `Requirement.answers`
    """

    importance: list[float]
    covered: list[float]
    answers: list[list[tuple[int, float]]]
    gain: float
    bias: float
    level: float


def requirements_of(scorer: WithEvidence, cv: Encoded, jd: Encoded) -> Requirements:
    """What `scorer.evidence` says about a pair, with the texts of both sides.

    cv, jd: with whitened vectors
    """
    return with_texts(numbers_of(scorer, _alone(jd, scorer), _alone(cv, scorer)), cv, jd)


@torch.inference_mode()
def numbers_of(scorer: WithEvidence, jd: ChunkVectors, cv: ChunkVectors) -> Numbers:
    """What `scorer.evidence` says about a pair. jd, cv: of one document each, without padding."""
    found = scorer.evidence(jd, cv)
    places = [math.nan] * cv.vectors.shape[1]
    if cv.months is not None:
        places = cv.months[0, :, Months._fields.index("experience")].tolist()
    share = found.share[0].double().cpu().numpy()
    answers = [
        [(k, float(own[k])) for k in _answering(own, nearest, places)]
        for own, nearest in zip(share, found.chunk[0].tolist(), strict=True)
    ]
    importance, covered = (x[0].double().tolist() for x in (found.importance, found.covered))
    numbers = found.gain.item(), found.bias.item(), found.level.item()
    return Numbers(importance, covered, answers, *numbers)


def with_texts(numbers: Numbers, cv: Encoded, jd: Encoded) -> Requirements:
    """The same with the texts of both sides; vectors are not read."""
    titles, least = titles_of(cv), NEGLIGIBLE * max(numbers.importance)
    each = []
    for chunk, importance, covered, found in zip(
        jd.chunks, numbers.importance, numbers.covered, numbers.answers, strict=True
    ):
        answers = tuple(_answer(cv, k, share, titles) for k, share in found)
        text = jd.document.text[chunk.start : chunk.end]
        part, listed = numbers.gain * importance * covered, importance >= least
        place = (chunk.index, chunk.start, chunk.end, text)
        each.append(Requirement(*place, importance, covered, part, listed, answers))
    return Requirements(tuple(each), numbers.bias, numbers.level)


def titles_of(cv: Encoded) -> list[tuple[str, str]]:
    """(title, dates as written) of each experience; [] if the chunker does not read experiences."""
    read = getattr(cv.chunker, "experiences", None)
    found: list[Titled] = read(cv.document.text) if callable(read) else []
    return [(" ".join(e.title.split()), " ".join(e.written.split())) for e in found]


def _answering(share: np.ndarray, nearest: int, places: list[float]) -> list[int]:
    """The nearest chunk; then the best chunk of each other experience, in the CV's order.

    places: the place of each chunk's experience, nan for none
    """
    of = [-1 if math.isnan(place) else int(place) for place in places]
    best: dict[int, int] = {}
    for k in np.argsort(-share, kind="stable").tolist():
        if share[k] >= ANSWERS and of[k] != of[nearest]:
            best.setdefault(of[k], k)
    return [nearest, *sorted(best.values())]


def _answer(cv: Encoded, at: int, share: float, titles: list[tuple[str, str]]) -> Answer:
    chunk, about = cv.chunks[at], dict[str, Any]()
    months = chunk.months
    if months is not None and not math.isnan(months.experience):
        about["title"], about["dates"] = titles[int(months.experience)] if titles else ("", "")
    if months is not None and not math.isnan(months.duration):
        about["months"], about["ended"] = int(months.duration), int(months.recency)
    text = cv.document.text[chunk.start : chunk.end]
    return Answer(at, chunk.start, chunk.end, text, share, **about)


def _alone(own: Encoded, scorer: Any) -> ChunkVectors:
    """The chunk vectors of one document, on the scorer's device."""
    name = own.document.id
    months = None if own.months is None else {name: own.months}
    words = None if own.words is None else {name: own.words}
    device = str(next((p.device for p in scorer.parameters()), "cpu"))
    return ChunkVectors.pad({name: own.vectors}, [name], months, words).to(device)
