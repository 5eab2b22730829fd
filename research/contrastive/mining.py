"""Mine hard negatives: CVs near the top of a ranking, but not at its very top."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jdcv_core.floors import bm25_weights
from jdcv_core.types import Document
from research.contrastive.known_fits import PairGraph


def bm25_scores(jds: Sequence[Document], cvs: Sequence[Document]) -> np.ndarray:
    """Compute BM25 of each CV with each JD as the query, [jd cv], with statistics of these CVs.

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
    """Draw `count` CVs for each JD from the ranks first to last - 1 of its ranking (0 is the best).

    scores: [jd cv], higher = better fit: of BM25, or of the trained encoder itself ("self-mined")
    graph:  known labels; Good and Potential Fits of a JD and their near-duplicates are removed from
            its ranking before ranks are counted
    first, last: the window of ranks. The best unlabelled CVs are often fits that nobody labelled. A
            window that begins below them has harder negatives than random CVs and fewer false
            negatives
    count:  largest number of CVs; a window with fewer CVs gives all of them

    Ties are ranked by id. The same seed gives the same CVs for a JD, whichever other JDs are given.
    Raises ValueError unless 0 <= first < last and count >= 1.
    Source: "runner-up mining", ConFit v2, Yu et al. 2025, with ranks instead of percentiles; first
    = 0 is the usual hardest-negative mining.
    """
    if not 0 <= first < last or count < 1:
        raise ValueError(f"not a window of ranks: first {first}, last {last}, count {count}")
    if scores.shape != (len(jds), len(cvs)):
        raise ValueError(f"{len(jds)} JDs and {len(cvs)} CVs, but scores of shape {scores.shape}")
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
