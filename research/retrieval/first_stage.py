"""The ranking of the FAISS index alone, without exact MaxSim: what a search begins with. Ours."""

from collections.abc import Mapping

import numpy as np

from research.retrieval.index_folder import IndexFolder
from research.retrieval.vector_index import search_all, unit_rows


def first_stage(
    index: IndexFolder, queries: Mapping[str, np.ndarray]
) -> dict[str, dict[str, float]]:
    """Documents by their best chunk hit, as an index of chunks alone would rank them.

        s(query, document) = max over chunk pairs of their cosine, as the index computes it

    queries: query id → chunk vectors float32 [chunk, dim], from the encoder of the index
    Returns a run of all documents that FAISS finds: all of them for a flat index.
    """
    found: dict[str, dict[str, float]] = {}
    for query, vectors in queries.items():
        scores, hits = search_all(index.chunks, unit_rows(vectors), len(index.document_of))
        best = np.full(len(index), -np.inf)
        real = hits >= 0
        np.maximum.at(best, index.document_of[hits[real]], scores[real])
        ranked = np.flatnonzero(best > -np.inf)
        found[query] = {index.ids[d]: float(best[d]) for d in ranked}
    return found
