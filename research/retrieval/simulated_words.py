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

from functools import lru_cache
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
    rank = np.where(own, 0, _ranks(rng, WORDS, SHIFT, len(document)))
    rank[own] = _ranks(rng, OWN_WORDS, OWN_SHIFT, int(own.sum()))
    word = rank + np.where(own, WORDS + occupations[document] * OWN_WORDS, 0)
    hashes = word.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)  # odd, so they stay distinct
    order = np.lexsort((hashes, document))
    hashes, document = hashes[order], document[order]
    new = (hashes[1:] != hashes[:-1]) | (document[1:] != document[:-1])
    first = np.concatenate([[0], np.flatnonzero(new) + 1])
    counts = np.diff(first, append=len(hashes)).clip(max=255).astype(np.uint8)
    ends = np.searchsorted(document[first], np.arange(len(occupations) + 1))
    hashes = hashes[first]
    return [(hashes[a:b], counts[a:b]) for a, b in pairwise(ends.tolist())]


def _ranks(rng: np.random.Generator, words: int, shift: int, count: int) -> np.ndarray:
    return np.searchsorted(_cumulative(words, shift), rng.random(count))


@lru_cache(maxsize=2)
def _cumulative(words: int, shift: int) -> np.ndarray:
    share = (np.arange(words) + shift) ** -POWER
    return np.cumsum(share / share.sum())[:-1]
