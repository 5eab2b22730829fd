"""Which documents are named as far longer than the others, and that nothing is cut off."""

import numpy as np
import pytest

from jdcv_core.encoding.long_documents import long_documents
from jdcv_core.types import Chunk, Document


def cut(counts, size=10):
    """Documents with these numbers of chunks of `size` tokens, and their chunks."""
    documents = [Document(f"cv:{i:04}", "x" * 40 * n, f"pairs.csv, row {i + 1}")
                 for i, n in enumerate(counts)]  # fmt: skip
    chunks = {
        d.id: [Chunk(d.id, k, 40 * k, 40 * k + 40, (1,) * size) for k in range(n)]
        for d, n in zip(documents, counts, strict=True)
    }
    return documents, chunks


def test_the_one_long_document_is_named_with_its_row_and_share():
    counts = [1 + i % 12 for i in range(222)]
    counts[16] = 665
    (said,) = long_documents(*cut(counts))
    share = 665 / sum(counts)
    assert said.startswith("The CV of pairs.csv, row 17 has 26,600 characters (6,650 tokens, 665 ")
    assert f"{share:.0%} of all tokens" in said
    assert "95% of the documents have at most 12 chunks" in said
    assert "nothing is cut off" in said


@pytest.mark.parametrize(
    "counts",
    [[], [900], [3] * 40, [1, 40], list(range(1, 60)), [200] * 9 + [700], [1] * 10 + [600] * 10],
)
def test_usual_lengths_name_nobody(counts):
    assert long_documents(*cut(counts)) == []


def test_the_longest_come_first_and_the_rest_is_counted():
    counts = [4] * 200 + [100, 300, 200, 90, 80]
    said = long_documents(*cut(counts))
    for sentence, chunks in zip(said, (300, 200, 100), strict=False):
        assert f"{chunks} chunks" in sentence
    assert said[3].startswith("2 more documents")


def test_two_documents_are_enough_to_compare():
    counts = np.array([3, 665])
    assert "665 chunks" in long_documents(*cut(counts.tolist()))[0]
