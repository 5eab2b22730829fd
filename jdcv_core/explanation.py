"""Which chunks of a pair carry its score: leave-one-out on any scorer.

A scorer with `evidence` also says which requirement is met by which line, see
`jdcv_core.requirements`. The research on attributions, with a test of how faithful they are, is in
`research.attribution`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from torch import nn

from jdcv_core.encoding.whitening import unit_rows
from jdcv_core.evaluation.formats import shortened
from jdcv_core.progress import progress
from jdcv_core.requirements import STATES, Answer, Requirement, requirements_of
from jdcv_core.scoring import score_encoded
from jdcv_core.types import Encoded, Side

WIDTH = 60
"""Number of characters of a chunk that are printed."""
LARGEST = 5
"""Number of effects that are printed of each side below requirements."""
ANSWERS_SHOWN = 3
"""Number of CV lines that are printed for a requirement."""
FEW_LINES, UNLIKE = 5, 0.5
"""A median cosine is judged with as many lines on each side, and is too high from this value on."""
TOGETHER = 64
"""Number of chunks that are left out in one call, each with its own copy of the document."""


@dataclass(frozen=True)
class ChunkEffect:
    """The effect of a chunk on the score of its pair.

    side, index: which chunk it is
    start, end:  its characters in the document's text; `text` is those characters
    effect:      score of the pair minus the score without this chunk, in [-1, 1]; nan for the only
                 chunk of a document
    nearest:     index of the most similar chunk on the other side; `cosine` is their similarity
    """

    side: Side
    index: int
    start: int
    end: int
    text: str
    effect: float
    nearest: int
    cosine: float


@dataclass(frozen=True)
class Explanation:
    """The score of a pair and the effect of each chunk, in the order of the texts.

    requirements: the JD chunks in their order, if the scorer has `evidence`; else ()
    bias, level:  logit = sum of the parts of the requirements + bias - level; 0 without them
    notes:        what makes the requirements doubtful: dates of the CV that were not read, and
                  texts unlike those of the training

    `str` of it lists the chunks by effect, the largest first. With requirements it lists these
    first, by importance: matched, partly matched, missing. Then it lists the largest effects only.
    """

    score: float
    label: str
    cv: tuple[ChunkEffect, ...]
    jd: tuple[ChunkEffect, ...]
    requirements: tuple[Requirement, ...] = ()
    bias: float = 0.0
    level: float = 0.0
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"score {self.score:.3f} ({self.label})", *self._requirement_lines()]
        for side, effects in (("CV", self.cv), ("JD", self.jd)):
            lines += _effect_lines(side, effects, LARGEST if self.requirements else len(effects))
        return "\n".join(lines)

    def _requirement_lines(self) -> list[str]:
        """The lines on the requirements; [] without any."""
        if not self.requirements:
            return []
        parts = sum(r.part for r in self.requirements)
        sums = f"requirements {parts:+.2f}, bias {self.bias:+.2f}, level {0 - self.level:+.2f}"
        lines = [f"logit {parts + self.bias - self.level:+.2f} = {sums}"]
        for state in STATES:
            own = [r for r in self.requirements if r.listed and r.state == state]
            lines += [f"{state}: {len(own)} of the JD's lines"] if own else []
            for r in sorted(own, key=lambda r: -r.importance):
                numbers = f"importance {r.importance:.2f}  covered {r.covered:.2f}"
                lines.append(f'  {numbers}  "{shortened(r.text, WIDTH)}"')
                if state != STATES[-1]:
                    lines += _answer_lines(r.answers)
        left = sum(not r.listed for r in self.requirements)
        lines.append(f"not listed: {left} of the JD's lines, of hardly any importance")
        return [*lines, *(f"note: {note}" for note in self.notes)]


def _answer_lines(answers: Sequence[Answer]) -> list[str]:
    """The first ANSWERS_SHOWN answers, and how many more there are."""
    lines = []
    for answer in answers[:ANSWERS_SHOWN]:
        where = answer.experience or "no dated experience"
        lines.append(f'      ← "{shortened(answer.text, WIDTH)}" ({where})')
    more = len(answers) - ANSWERS_SHOWN
    return [*lines, f"      ← and {more} more"] if more > 0 else lines


def _effect_lines(side: str, effects: Sequence[ChunkEffect], most: int) -> list[str]:
    """Chunks by their effect; only those with the `most` largest, up or down."""
    other = "JD" if side == "CV" else "CV"
    said = ""
    if len(effects) > most:
        said = f", the {most} largest of {len(effects)}"
        effects = sorted(effects, key=lambda e: -abs(e.effect))[:most]
    lines = [f"{side} chunks by their effect on the score{said}"]
    for e in sorted(effects, key=lambda e: (np.isnan(e.effect), -e.effect)):
        effect = "  only" if np.isnan(e.effect) else f"{e.effect:+.3f}"
        near = f"nearest {other} chunk {e.nearest} ({e.cosine:+.2f})"
        lines.append(f"  {effect}  {e.index:>3}  {near}  {shortened(e.text, WIDTH)}")
    return lines


def explain_pair(
    scorer: nn.Module, cv: Encoded, jd: Encoded, label: Callable[[float], str]
) -> Explanation:
    """Score a pair with each chunk left out in turn. Ours.

    cv, jd: with whitened vectors
    label:  a function from a score to its class

    It costs one call of the scorer for each chunk; the encoder is not called again. At most
    TOGETHER copies of a document are held at once. The requirements cost one more call, if the
    scorer has `evidence`.
    """
    (whole,) = score_encoded(scorer, [("cv", "jd")], {"cv": cv, "jd": jd}).tolist()
    without = {"cv": _without_each(scorer, cv, jd, "cv"), "jd": _without_each(scorer, cv, jd, "jd")}
    cosines = unit_rows(cv.vectors) @ unit_rows(jd.vectors).T  # [cv chunk, jd chunk]

    def effects(side: Side, own: Encoded, similar: np.ndarray) -> tuple[ChunkEffect, ...]:
        found = []
        for at, chunk in enumerate(own.chunks):
            nearest = int(similar[at].argmax())
            text = own.document.text[chunk.start : chunk.end]
            effect = whole - without[side][at] if len(own.chunks) > 1 else float("nan")
            best = float(similar[at, nearest])
            found.append(ChunkEffect(side, at, chunk.start, chunk.end, text, effect, nearest, best))
        return tuple(found)

    found = effects("cv", cv, cosines), effects("jd", jd, cosines.T)
    if not callable(getattr(scorer, "evidence", None)):
        return Explanation(whole, label(whole), *found)
    each, bias, level = requirements_of(cast(Any, scorer), cv, jd)
    notes = (*cv.faults, *_unlike_training(cosines))
    return Explanation(whole, label(whole), *found, each, bias, level, notes)


def _unlike_training(cosines: np.ndarray) -> list[str]:
    """A note if nearly all lines of a pair are similar to each other.

    Whitened vectors of training documents have mean 0, so most lines of a CV have a cosine near 0
    to most lines of a JD. All vectors of other texts are far from that mean in the same direction.

    cosines: [cv chunk, jd chunk]
    """
    usual = float(np.median(cosines))
    if min(cosines.shape) < FEW_LINES or usual < UNLIKE:
        return []
    return [
        f"the median cosine of a CV line and a JD line is {usual:.2f}, which is about 0 for texts "
        "like those of the training: these requirements say little"
    ]


def _without_each(scorer: nn.Module, cv: Encoded, jd: Encoded, side: Side) -> list[float]:
    """Score the pair without each chunk of a side, in order; [] for a single chunk."""
    own = cv if side == "cv" else jd
    scores: list[float] = []
    count = len(own.chunks) if len(own.chunks) > 1 else 0
    with progress(f"Leaving out {side.upper()} chunks", count, least=2 * TOGETHER) as advance:
        for start in range(0, count, TOGETHER):
            places = range(start, min(start + TOGETHER, count))
            known = {"cv": cv, "jd": jd} | {str(at): _without(own, at) for at in places}
            pairs = [(str(at), "jd") if side == "cv" else ("cv", str(at)) for at in places]
            scores += score_encoded(scorer, pairs, known).tolist()
            advance(len(places))
    return scores


def _without(own: Encoded, at: int) -> Encoded:
    chunks = (*own.chunks[:at], *own.chunks[at + 1 :])
    words = None if own.words is None else np.delete(own.words, at, axis=0)
    return replace(own, chunks=chunks, vectors=np.delete(own.vectors, at, axis=0), words=words)
