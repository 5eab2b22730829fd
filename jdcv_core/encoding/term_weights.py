"""The words of chunks next to their vectors: TF-IDF over the encoder's own tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Tokens = Sequence[Sequence[int]]
"""The token ids of each chunk of a document."""


@dataclass(frozen=True)
class TermWeights:
    """Weights of tokens in chunks; the weights of a chunk have length 1.

        weight(t) = (1 + ln count of t in the chunk) · idf(t), then divided by their length
        idf(t)    = 1 + ln((1 + N) / (1 + number of chunks with t))

    It is scikit-learn's TF-IDF (sublinear, smooth), with a chunk as the document and the encoder's
    tokens as the words, so that a scorer gets words without seeing a text, in any language.

    idf:    float64 [token], of the token ids seen in the training documents
    unseen: idf of every other token: 1 + ln(1 + N)

    >>> terms = TermWeights.fit({"jd:1": [[5, 7], [5]]}, ["jd:1"])
    >>> terms({"cv:1": [[7, 7, 9]]})["cv:1"].astype(float).round(2).tolist()  # (token, weight)
    [[[7.0, 0.75], [9.0, 0.66]]]
    """

    idf: np.ndarray
    unseen: float

    @classmethod
    def fit(cls, tokens: Mapping[str, Tokens], fit_on: Iterable[str]) -> TermWeights:
        """Count the chunks of the documents `fit_on`; other documents have no effect.

        tokens: by document id. Raises ValueError if `fit_on` has no chunk.
        """
        chunks = [np.unique(chunk) for i in fit_on for chunk in tokens[i]]
        if not chunks:
            raise ValueError("there is no chunk to count words in")
        count = np.bincount(np.concatenate(chunks))
        return cls(1 + np.log((1 + len(chunks)) / (1 + count)), float(1 + np.log(1 + len(chunks))))

    def __call__(self, tokens: Mapping[str, Tokens]) -> dict[str, np.ndarray]:
        """float32 [chunk, term, 2] by document id: token id and weight of each distinct token of a
        chunk; both are 0 where a chunk has fewer than the document's longest."""
        return {i: self._of(chunks) for i, chunks in tokens.items()}

    def _of(self, chunks: Tokens) -> np.ndarray:
        found = [np.unique(chunk, return_counts=True) for chunk in chunks]
        words = np.zeros((len(chunks), max(len(t) for t, _ in found), 2), dtype=np.float32)
        for row, (token, count) in enumerate(found):
            known = token < len(self.idf)
            idf = np.where(known, self.idf[np.where(known, token, 0)], self.unseen)
            weight = (1 + np.log(count)) * idf
            words[row, : len(token), 0] = token
            words[row, : len(token), 1] = weight / np.linalg.norm(weight)
        return words
