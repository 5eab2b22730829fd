"""Retrieval: an index of chunk vectors on the disk, its search, and how well retrievers rank.

    from research.retrieval import Retriever

Names are imported when they are first used, so an import of this package loads no FAISS.
"""

from typing import TYPE_CHECKING

from jdcv_core.lazy_names import lazy_names

if TYPE_CHECKING:
    from research.retrieval.evaluation import retrieval_metrics as retrieval_metrics
    from research.retrieval.fused_scores import VECTORS as VECTORS
    from research.retrieval.fused_scores import WORDS as WORDS
    from research.retrieval.fused_scores import Weights as Weights
    from research.retrieval.fusion import rrf as rrf
    from research.retrieval.lexical import bm25_search as bm25_search
    from research.retrieval.lexical import tfidf_search as tfidf_search
    from research.retrieval.matches import Match as Match
    from research.retrieval.retriever import Retriever as Retriever
    from research.retrieval.search import Depth as Depth

_HOMES = {
    "Retriever": "retriever",
    "Match": "matches",
    "Depth": "search",
    "Weights": "fused_scores",
    "WORDS": "fused_scores",
    "VECTORS": "fused_scores",
    "bm25_search": "lexical",
    "tfidf_search": "lexical",
    "rrf": "fusion",
    "retrieval_metrics": "evaluation",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
