"""Negatives that are worth their place in a batch: near the top of a ranking, and not at it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jdcv_core.floors import bm25_weights
from jdcv_core.types import Document
from research.contrastive.known_fits import PairGraph


def bm25_scores(jds: Sequence[Document], cvs: Sequence[Document]) -> np.ndarray:
    """BM25 of each CV for each JD as the query, [jd cv]; statistics of these CVs.

    Source: Robertson et al. 1994; see `jdcv_core.floors.bm25`.
    """
    texts = [cv.text for cv in cvs]
    words, weights = bm25_weights(texts, [jd.text for jd in jds], texts)
    return np.asarray((words @ weights.T).todense(), dtype=float)


def runner_ups(
    scores: np.ndarray,
    jds: Sequence[str],
    cvs: Sequence[str],
    graph: PairGraph,
    first: int,
    last: int,
    count: int,
    random_seed: int,
) -> list[list[str]]:
    """For each JD `count` CVs out of the ranks first to last - 1 of its ranking (0 is the best).

    scores: [jd cv], higher = better fit: BM25's, or the encoder's own in training ("self-mined")
    graph:  what is known; a Good or Potential Fit of the JD, or a near-duplicate of one, is left
            out of the ranking before ranks are counted
    first, last: the window. The very best unlabelled CVs are often fits that nobody labelled, so a
            window that begins below them has harder negatives than chance and fewer false ones
    count:  at most; a window with fewer gives all it has

    Ties are ranked by id. The same seed gives the same CVs for a JD, whatever other JDs are asked.
    Raises ValueError unless 0 <= first < last and count >= 1.
    Source: "runner-up mining", ConFit v2, Yu et al. 2025, with ranks instead of percentiles; first
    = 0 is the usual hardest-negative mining.
    """
    if not 0 <= first < last or count < 1:
        raise ValueError(f"no window of ranks: first {first}, last {last}, count {count}")
    if scores.shape != (len(jds), len(cvs)):
        raise ValueError(f"{len(jds)} JDs and {len(cvs)} CVs, and scores of shape {scores.shape}")
    groups = [graph.group(cv) for cv in cvs]
    by_id = np.argsort(np.argsort(np.array(cvs)))
    found = []
    for jd, row in zip(jds, scores, strict=True):
        fits = graph.fits.get(graph.group(jd), {})
        allowed = np.array([at for at, group in enumerate(groups) if group not in fits], dtype=int)
        order = allowed[np.lexsort((by_id[allowed], -row[allowed]))][first:last]
        rng = np.random.default_rng([random_seed, *jd.encode()])
        chosen = np.sort(rng.permutation(len(order))[:count])
        found.append([cvs[order[at]] for at in chosen])
    return found
