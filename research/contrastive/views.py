"""Two views of one thing, for documents without a label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Tokens = Sequence[int]


def dropout_views(chunks: Sequence[Tokens]) -> list[Tokens]:
    """Each chunk twice, as rows i and i + N for `graph.views_of(N)`: the encoder's dropout makes
    the difference (SimCSE, Gao et al. 2021). Of an encoder without dropout they are equal, and
    there is nothing to learn."""
    return [*chunks, *chunks]


def two_spans(
    chunks: Sequence[Tokens], rng: np.random.Generator, least: int = 8
) -> tuple[Tokens, Tokens] | None:
    """Two spans of one document that share no token; None where it is too short.

    chunks: of the document, in order and without overlap
    least:  tokens of a span

    With several chunks of `least` tokens two of them are drawn; a single one is cut in two at a
    place drawn between `least` tokens from either end. The order of a CV's experiences is kept: to
    shuffle them would call two CVs the same that a recruiter reads differently.
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
