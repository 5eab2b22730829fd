"""Chunk vectors → chunk vectors whose directions count alike."""

from collections.abc import Iterable, Mapping

import numpy as np

RIDGE = 1e-3


def whiten(
    matrices: Mapping[str, np.ndarray], fit_on: Iterable[str], ridge: float = RIDGE
) -> dict[str, np.ndarray]:
    """Centre the chunk vectors and give every direction unit variance: x -> (x - mean) W.

    W = U diag(1 / sqrt(l + ridge * mean(l))) U^T, with l and U the eigenvalues and eigenvectors of
    the covariance of the chunks of `fit_on`. In a decoder's vectors a few directions, which say
    little about the content, have almost all the variance; a dot product then compares only those.

    matrices: document id → float [chunk, dim]
    fit_on:   ids of the training documents, of both sides; no other document touches mean or W
    ridge:    what the smallest eigenvalues are lifted by, as a share of the mean one; without it
              noise would be blown up where chunks are fewer than dimensions
    Returns float32 matrices under the same ids. Raises ValueError if `fit_on` is empty.

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
    matrix = (vectors / np.sqrt(values + floor)) @ vectors.T
    return {i: ((x - mean) @ matrix).astype(np.float32) for i, x in matrices.items()}
