"""Simulated words, to try search by words at a scale for which there are no texts. Ours.

A token is a common word, or one of the words of the document's occupation; both are drawn by rank r
with a probability that falls as (r + SHIFT)^-POWER. The constants are set so that the counts are
near those of 333 real CVs and 197 JDs (a test compares them):

                                                        real     simulated
    distinct words of a CV, median                      361      364
    distinct words of a JD, median                      184      176
    share of words that more than one CV in 16 has      .59      .52
    other words that a JD shares with a CV, mean        1.5      1.3
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from research.retrieval.word_counts import Counts

WORDS, SHIFT, POWER = 300_000, 110, 1.45
OWN_WORDS, OWN_SHIFT, OWN_SHARE = 100, 10, 0.2
"""Words of each occupation, and their share of the tokens."""
CV_TOKENS, JD_TOKENS = (470, 0.40), (210, 0.72)
"""Median and log-deviation of the number of tokens."""


def draw_words(occupations: np.ndarray, tokens: tuple[int, float], seed: list[int]) -> list[Counts]:
    """The words of some documents as `count_words` gives them. occupations: int [document]"""
    rng = np.random.default_rng(seed)
    lengths = (tokens[0] * np.exp(tokens[1] * rng.standard_normal(len(occupations)))).astype(int)
    document = np.repeat(np.arange(len(occupations)), lengths.clip(min=1))
    own = rng.random(len(document)) < OWN_SHARE
    draw = rng.random(len(document))
    common = _rank(draw, WORDS, SHIFT)
    special = WORDS + occupations[document] * OWN_WORDS + _rank(draw, OWN_WORDS, OWN_SHIFT)
    token = (document << 40) + np.where(own, special, common)
    token.sort()
    token, first = np.unique(token, return_index=True)
    counts = np.diff(first, append=len(document)).clip(max=255).astype(np.uint8)
    hashes = (token.astype(np.uint64) & np.uint64(2**40 - 1)) << np.uint64(24)
    ends = np.searchsorted(token >> 40, np.arange(len(occupations) + 1))
    return [(hashes[a:b], counts[a:b]) for a, b in pairwise(ends.tolist())]


def _rank(draw: np.ndarray, words: int, shift: int) -> np.ndarray:
    """Ranks below `words` for numbers drawn from [0, 1): the inverse of the distribution."""
    low, high = shift ** (1 - POWER), (words + shift) ** (1 - POWER)
    found = (low + draw * (high - low)) ** (1 / (1 - POWER)) - shift
    return found.astype(np.int64).clip(0, words - 1)
