"""The baseline and the shared core: records → documents → chunks → vectors → scores → figures.

    from jdcv_core import Matcher, load_table, compare

Names are imported when they are first used, so `import jdcv_core` is quick and loads no torch.
Nothing here imports `research` or `experiments`.
"""

from typing import TYPE_CHECKING

from jdcv_core.lazy_names import lazy_names

if TYPE_CHECKING:
    from jdcv_core.chunking import TokenChunker as TokenChunker
    from jdcv_core.data.demo.generate import demo_corpus as demo_corpus
    from jdcv_core.data.documents.reading import read_file as read_file
    from jdcv_core.data.sources import load_hub as load_hub
    from jdcv_core.data.sources import load_table as load_table
    from jdcv_core.data.sources import load_trec as load_trec
    from jdcv_core.data.splits import make_split as make_split
    from jdcv_core.encoding.encode import encode_documents as encode_documents
    from jdcv_core.encoding.vector_store import VectorStore as VectorStore
    from jdcv_core.encoding.whitening import Whitening as Whitening
    from jdcv_core.errors import InputError as InputError
    from jdcv_core.evaluation.compare import compare as compare
    from jdcv_core.matcher import Matcher as Matcher
    from jdcv_core.scoring import MatchHead as MatchHead
    from jdcv_core.scoring import MeanPairs as MeanPairs
    from jdcv_core.types import LABELS as LABELS
    from jdcv_core.types import Chunk as Chunk
    from jdcv_core.types import ChunkVectors as ChunkVectors
    from jdcv_core.types import Dataset as Dataset
    from jdcv_core.types import Document as Document
    from jdcv_core.types import Encoded as Encoded
    from jdcv_core.types import Pair as Pair

_HOMES = {
    "Matcher": "matcher",
    "load_table": "data.sources",
    "load_hub": "data.sources",
    "load_trec": "data.sources",
    "demo_corpus": "data.demo.generate",
    "read_file": "data.documents.reading",
    "make_split": "data.splits",
    "TokenChunker": "chunking",
    "encode_documents": "encoding.encode",
    "VectorStore": "encoding.vector_store",
    "Whitening": "encoding.whitening",
    "MatchHead": "scoring",
    "MeanPairs": "scoring",
    "compare": "evaluation.compare",
    "InputError": "errors",
    "LABELS": "types",
    "Document": "types",
    "Pair": "types",
    "Dataset": "types",
    "Chunk": "types",
    "Encoded": "types",
    "ChunkVectors": "types",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
