"""Transform chunk vectors so that every direction has the same variance, or to unit length."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

RIDGE = 1e-3


@dataclass(frozen=True)
class Whitening:
    """Centre chunk vectors and give every direction unit variance: x -> (x - mean) matrix.

    mean:   float64 [dim]
    matrix: float64 [dim, dim], symmetric
    """

    mean: np.ndarray
    matrix: np.ndarray

    @classmethod
    def fit(
        cls, matrices: Mapping[str, np.ndarray], fit_on: Iterable[str], ridge: float = RIDGE
    ) -> Whitening:
        """Compute W = U diag(1 / sqrt(l + ridge * mean(l))) U^T, where l and U are the eigenvalues
        and eigenvectors of the covariance of the chunks of `fit_on`.

        A few directions of a decoder's vectors have almost all the variance and say little about
        the content; without whitening, a dot product compares only these.

        matrices: document id → float [chunk, dim]
        fit_on:   ids of the training documents, of both sides; other documents have no effect
        ridge:    a share of the mean eigenvalue that is added to every eigenvalue; without it,
                  noise would be amplified if there are fewer chunks than dimensions
        Raises ValueError if `fit_on` is empty.

        Source: Su et al. 2021, "Whitening sentence representations"; the ridge is ours.
        """
        rows = [matrices[i] for i in fit_on]
        if not rows:
            raise ValueError("there is no document to fit the whitening on")
        chunks = np.concatenate(rows).astype(np.float64)
        mean = chunks.mean(0)
        covariance = (chunks - mean).T @ (chunks - mean) / len(chunks)
        values, vectors = np.linalg.eigh(covariance)
        values = values.clip(min=0)
        floor = ridge * values.mean() + np.finfo(float).tiny
        return cls(mean, (vectors / np.sqrt(values + floor)) @ vectors.T)

    def __call__(self, matrices: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Whiten the matrices: float32 [chunk, dim] under the same ids."""
        return {i: ((x - self.mean) @ self.matrix).astype(np.float32) for i, x in matrices.items()}


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Divide rows [row, dim] by their lengths (float32); their inner products are cosines.

    >>> unit_rows(np.array([[3.0, 4.0]])).round(2).tolist()
    [[0.6000000238418579, 0.800000011920929]]
    """
    vectors = np.asarray(vectors, dtype=np.float32)
    return vectors / np.sqrt(np.einsum("rd,rd->r", vectors, vectors))[:, None]
