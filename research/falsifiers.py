"""Views of the chunk vectors that take something away on purpose. Ours.

Each function maps document id → [chunk, dim] to the same ids, for training and test alike; ids
start with `cv:` or `jd:`. What it does hangs on the seed and the documents alone, not on the order
of the mapping. A row that does as well with a view as without it did not use what the view took,
and its gain must be explained otherwise.
"""

from collections.abc import Mapping

import numpy as np

from jdcv_core.errors import InputError

Matrices = Mapping[str, np.ndarray]


def shuffled_chunks(matrices: Matrices, seed: int) -> dict[str, np.ndarray]:
    """The chunks of each document in random order.

    A scorer that promises not to know the order must show the same figures, but for rounding; if
    not, it is broken. One that reads the order (positions, an LSTM, the first chunk) must lose what
    the order gave it; if it loses nothing, the order of chunks is not where its gain comes from.
    """
    rng = np.random.default_rng([seed, 10])
    return {i: matrices[i][rng.permutation(len(matrices[i]))] for i in sorted(matrices)}


def shuffled_jds(matrices: Matrices, seed: int) -> dict[str, np.ndarray]:
    """Each JD has the chunks of another JD; no JD keeps its own, and each one's are used once.

    A label says nothing any more about the two vectors that stand beside it, so AUC must be at
    chance. Above chance a scorer shows what it knows of CVs alone, or that JDs are so alike that
    one stands for another; that much of its result is not matching. Where the seed's exchange gives
    a JD one from its own near-duplicates, a little is left in truth.

    Raises InputError for a single JD, which nothing can be exchanged with.
    """
    jds = [i for i in sorted(matrices) if i.startswith("jd:")]
    if len(jds) == 1:
        raise InputError("shuffled_jds", "there is one JD only", "take data with 2 JDs or more")
    ring = np.random.default_rng([seed, 11]).permutation(len(jds))  # each takes from the one before
    other = {jds[to]: jds[of] for to, of in zip(ring, np.roll(ring, 1), strict=True)}
    return {i: matrices[other.get(i, i)] for i in sorted(matrices)}


def cv_only(matrices: Matrices, seed: int) -> dict[str, np.ndarray]:
    """Every JD is one and the same chunk vector, drawn at random, as long as the mean JD chunk.

    Its direction comes from the seed, its length and the single chunk are equal for all, so nothing
    about a JD is left. (The mean of all vectors would not do: of whitened ones it is 0, and 0 has
    no cosine.) Every CV then has one score for all JDs, so within a CV the AUC is 0.5. Over all
    pairs, what is above chance is read in the CV alone: some CVs are a Good Fit more often. A
    scorer as good as this on the real vectors has learnt which CVs are liked, and matches nothing.
    """
    return _one_side(matrices, seed, hidden="jd:")


def jd_only(matrices: Matrices, seed: int) -> dict[str, np.ndarray]:
    """Every CV is one and the same chunk vector: `cv_only` with the sides exchanged.

    Every JD has one score for all CVs, so within a JD every ranking is a tie and the AUC is 0.5.
    Over all pairs, what is above chance is read in the JD alone: some JDs have more Good Fits.
    """
    return _one_side(matrices, seed, hidden="cv:")


def _one_side(matrices: Matrices, seed: int, hidden: str) -> dict[str, np.ndarray]:
    ids = [i for i in sorted(matrices) if i.startswith(hidden)]
    if not ids:
        return dict(matrices)
    chunks = np.concatenate([matrices[i] for i in ids])
    drawn = np.random.default_rng([seed, 12]).normal(size=(1, chunks.shape[1]))
    length = np.linalg.norm(chunks.astype(float), axis=1).mean()
    same = (drawn / np.linalg.norm(drawn) * length).astype(chunks.dtype)
    return {i: same if i.startswith(hidden) else matrices[i] for i in sorted(matrices)}


def shuffled_months(facts: Matrices, seed: int) -> dict[str, np.ndarray]:
    """The months of each CV's dated chunks, dealt anew among them.

    facts: float [chunk, 4] by document id, of `experience.chunking.chunk_facts`
    Each CV's weights keep their values, and so their entropy; which chunk has which says nothing.
    """
    rng = np.random.default_rng([seed, 45])
    dealt = {}
    for i in sorted(facts):
        own = facts[i].copy()
        dated = np.flatnonzero(~np.isnan(own[:, 0]))
        own[dated, :2] = own[rng.permutation(dated), :2]
        dealt[i] = own
    return dealt
