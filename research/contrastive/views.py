"""Make two views of a chunk or document, for training without labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Tokens = Sequence[int]


def dropout_views(chunks: Sequence[Tokens]) -> list[Tokens]:
    """Repeat each chunk as rows i and i + N for `known_fits.views_of(N)` (SimCSE, Gao et al. 2021).

    The two views differ by the encoder's dropout. Without dropout they are equal, and there is
    nothing to learn.
    """
    return [*chunks, *chunks]


def two_spans(
    chunks: Sequence[Tokens], rng: np.random.Generator, least: int = 8
) -> tuple[Tokens, Tokens] | None:
    """Draw two spans of a document that share no token; return None if it is too short.

    chunks: chunks of the document, in order and without overlap
    least:  smallest number of tokens in a span

    If several chunks have `least` tokens, two of them are drawn. A single chunk is cut in two at a
    random position, at least `least` tokens from either end. The experiences of a CV are never
    shuffled: a recruiter would read the result as a different CV.
    Source: ours, after the inverse cloze task (Lee, Chang & Toutanova 2019).
    """
    long = [chunk for chunk in chunks if len(chunk) >= least]
    if len(long) > 1:
        one, other = np.sort(rng.permutation(len(long))[:2])
        return long[one], long[other]
    if not long or len(long[0]) < 2 * least:
        return None
    cut = int(rng.integers(least, len(long[0]) - least + 1))
    return long[0][:cut], long[0][cut:]
