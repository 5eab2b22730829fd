"""Extensions of the baseline: one module or small folder for each; README.md lists them.

    from research import ChunkAttention, MaxSim
    from research.retrieval import Retriever

Names are imported when they are first used.
"""

from typing import TYPE_CHECKING

from jdcv_core.lazy_names import lazy_names

if TYPE_CHECKING:
    from research.aggregators.pairwise import MaxSim as MaxSim
    from research.aggregators.pairwise import PooledPairs as PooledPairs
    from research.aggregators.pairwise import SimilarityHistogram as SimilarityHistogram
    from research.aggregators.pooled import PolyCodes as PolyCodes
    from research.aggregators.pooled import Pooled as Pooled
    from research.aggregators.readers import ParadeTransformer as ParadeTransformer
    from research.aggregators.readers import RecurrentReader as RecurrentReader
    from research.chunk_attention import ChunkAttention as ChunkAttention
    from research.experience.experience_chunking import ExperienceChunker as ExperienceChunker
    from research.experience.parsing import parse_cv as parse_cv
    from research.experience.scorers import ExperienceWeighted as ExperienceWeighted
    from research.experience.scorers import WeightedChunkAttention as WeightedChunkAttention

_HOMES = {
    "ChunkAttention": "chunk_attention",
    "MaxSim": "aggregators.pairwise",
    "PooledPairs": "aggregators.pairwise",
    "SimilarityHistogram": "aggregators.pairwise",
    "Pooled": "aggregators.pooled",
    "PolyCodes": "aggregators.pooled",
    "ParadeTransformer": "aggregators.readers",
    "RecurrentReader": "aggregators.readers",
    "ExperienceChunker": "experience.experience_chunking",
    "ExperienceWeighted": "experience.scorers",
    "WeightedChunkAttention": "experience.scorers",
    "parse_cv": "experience.parsing",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
