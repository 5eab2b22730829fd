"""Which chunks of a pair carry its score: leave-one-out on any scorer.

The research on attributions, with a test of how faithful they are, is in `research.attribution`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from jdcv_core.encoding.whitening import unit_rows
from jdcv_core.progress import progress
from jdcv_core.scoring import score_encoded
from jdcv_core.types import Encoded, Side

WIDTH = 60
"""Number of characters of a chunk that are printed."""
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

    `str` of it lists the chunks by effect, the largest first.
    """

    score: float
    label: str
    cv: tuple[ChunkEffect, ...]
    jd: tuple[ChunkEffect, ...]

    def __str__(self) -> str:
        lines = [f"score {self.score:.3f} ({self.label})"]
        for side, effects in (("CV", self.cv), ("JD", self.jd)):
            other = "JD" if side == "CV" else "CV"
            lines.append(f"{side} chunks by their effect on the score")
            for e in sorted(effects, key=lambda e: (np.isnan(e.effect), -e.effect)):
                effect = "  only" if np.isnan(e.effect) else f"{e.effect:+.3f}"
                near = f"nearest {other} chunk {e.nearest} ({e.cosine:+.2f})"
                lines.append(f"  {effect}  {e.index:>3}  {near}  {_shortened(e.text)}")
        return "\n".join(lines)


def explain_pair(
    scorer: nn.Module, cv: Encoded, jd: Encoded, label: Callable[[float], str]
) -> Explanation:
    """Score a pair with each chunk left out in turn. Ours.

    cv, jd: with whitened vectors
    label:  a function from a score to its class

    It costs one call of the scorer for each chunk; the encoder is not called again. At most
    TOGETHER copies of a document are held at once.
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

    return Explanation(
        whole, label(whole), effects("cv", cv, cosines), effects("jd", jd, cosines.T)
    )


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


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…"
