"""From a JD to its candidates: FAISS retrieval, then reranking."""
