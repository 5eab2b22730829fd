"""Names documents that are far longer than the others, before hours are spent on them. Ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from jdcv_core.types import Chunk, Document

USUAL = 0.95
"""The share of the documents that say what is usual."""
TIMES, LEAST = 5, 50
"""A document is far longer with more than TIMES the chunks of the usual ones, and LEAST chunks."""
SHOWN = 3
"""Documents that are named."""


def long_documents(
    documents: Sequence[Document], chunks: Mapping[str, Sequence[Chunk]]
) -> list[str]:
    """Describe the documents that are far longer than the others, longest first.

    Nothing is cut off: a document of n chunks costs n times as much to encode as one chunk, and n²
    times as much in a scorer whose chunks read each other. A broken file, such as several CVs in
    one cell, is usually what is named here.

    documents: in any order; chunks: by document id
    Returns at most SHOWN sentences and one that counts the rest; [] for usual lengths.

    >>> one = Chunk("cv:1", 0, 0, 4, (7,))
    >>> texts = [Document(f"cv:{i}", "text" * (1 + 59 * (i == 1)), f"row {i}") for i in range(9)]
    >>> cut = {d.id: [one] * (len(d.text) // 4) for d in texts}
    >>> print(long_documents(texts, cut)[0])
    The CV of row 1 has 240 characters (60 tokens, 60 chunks), 88% of all tokens; 95% of the \
documents have at most 1 chunks. If it is a broken file, remove or shorten it; nothing is cut off.
    """
    counts = np.array([len(chunks[d.id]) for d in documents])
    if len(counts) < 2:
        return []
    usual = int(np.quantile(counts, USUAL, method="lower"))
    long = [i for i in np.argsort(-counts).tolist() if counts[i] > max(TIMES * usual, LEAST - 1)]
    tokens = [sum(len(chunk.tokens) for chunk in chunks[d.id]) for d in documents]
    said = []
    for i in long[:SHOWN]:
        document = documents[i]
        name = f"{document.side.upper()} of {document.origin}" if document.origin else document.id
        said.append(
            f"The {name} has {len(document.text):,} characters ({tokens[i]:,} tokens, "
            f"{counts[i]:,} chunks), {tokens[i] / sum(tokens):.0%} of all tokens; {USUAL:.0%} of "
            f"the documents have at most {usual:,} chunks. If it is a broken file, remove or "
            "shorten it; nothing is cut off."
        )
    if len(long) > SHOWN:
        said.append(f"{len(long) - SHOWN:,} more documents are as far above the usual length.")
    return said
