"""Random chunk vectors and random weights for the tests of scorers."""

from collections.abc import Sequence

import numpy as np
import torch
from hypothesis import strategies as st

from jdcv_core.types import ChunkVectors

DIM = 8
SEEDS = st.integers(0, 2**32 - 1)
LENGTHS = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=4)
"""Strategy for the numbers of chunks of (JD, CV) of several pairs."""


def random_weights(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Draw every parameter of a module at random, so that none is 0 or the identity."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    return module.eval()


def documents(lengths: Sequence[int], seed: int, dim: int = DIM) -> list[np.ndarray]:
    """Draw a [chunk, dim] matrix for each length."""
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(length, dim)) for length in lengths]


def two_sides(
    lengths: Sequence[tuple[int, int]], seed: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Draw the JDs and the CVs of pairs with the given numbers of chunks."""
    return documents([n for n, _ in lengths], seed), documents([n for _, n in lengths], seed + 1)


def padded(
    matrices: Sequence[np.ndarray],
    dtype: torch.dtype = torch.float32,
    more: int = 0,
    noise: int | None = None,
) -> ChunkVectors:
    """Pad documents to the longest plus `more`, with zeros or, given a seed, with noise."""
    vectors = torch.zeros(len(matrices), max(map(len, matrices)) + more, matrices[0].shape[1])
    mask = torch.zeros(vectors.shape[:2], dtype=torch.bool)
    if noise is not None:
        vectors += 30 * torch.randn(vectors.shape, generator=torch.Generator().manual_seed(noise))
    vectors = vectors.to(dtype)
    for row, matrix in enumerate(matrices):
        vectors[row, : len(matrix)] = torch.as_tensor(matrix, dtype=dtype)
        mask[row, : len(matrix)] = True
    return ChunkVectors(tuple(f"cv:{row}" for row in range(len(matrices))), vectors, mask)


def scattered(matrices: Sequence[np.ndarray], slots: int, seed: int) -> ChunkVectors:
    """Place the chunks of each document, in order, in random slots; the result is float64."""
    rng = np.random.default_rng(seed)
    vectors = torch.zeros(len(matrices), slots, matrices[0].shape[1], dtype=torch.float64)
    mask = torch.zeros(vectors.shape[:2], dtype=torch.bool)
    for row, matrix in enumerate(matrices):
        places = np.sort(rng.choice(slots, size=len(matrix), replace=False))
        vectors[row, places] = torch.as_tensor(matrix)
        mask[row, places] = True
    return ChunkVectors(tuple(f"cv:{row}" for row in range(len(matrices))), vectors, mask)


def weights_of(module: torch.nn.Module) -> dict[str, list]:
    """Convert parameters to nested lists, the input of the slow references."""
    return {name: value.tolist() for name, value in module.state_dict().items()}
