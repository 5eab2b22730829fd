"""Sides, padding, and the shapes that ChunkVectors accepts."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from jdcv_core.types import LABELS, SIDES, TARGETS, ChunkVectors, Dataset, Document, Pair

LENGTHS = st.lists(st.integers(1, 4), min_size=1, max_size=5)


def matrices(lengths, dim=3):
    rng = np.random.default_rng(0)
    return {f"cv:{row}": rng.normal(size=(length, dim)) for row, length in enumerate(lengths)}


def test_labels_have_targets_in_their_order():
    assert len(LABELS) == len(TARGETS)
    assert list(TARGETS) == sorted(TARGETS)


def test_a_dataset_gives_one_side_in_order_of_id():
    ids = ["jd:b", "cv:c", "jd:a", "cv:a"]
    documents = {i: Document(i, f"text of {i}") for i in ids}
    dataset = Dataset("two", documents, [Pair("cv:a", "jd:b", 2)])
    assert [d.id for d in dataset.side("cv")] == ["cv:a", "cv:c"]
    assert [d.id for d in dataset.side("jd")] == ["jd:a", "jd:b"]
    assert all(d.side == side for side in SIDES for d in dataset.side(side))


@given(LENGTHS, st.data())
def test_padding_keeps_every_chunk_and_adds_zeros(lengths, data):
    stored = matrices(lengths)
    ids = data.draw(st.lists(st.sampled_from(sorted(stored)), min_size=1, max_size=6))
    chunks = ChunkVectors.pad(stored, ids)
    assert chunks.ids == tuple(ids)
    assert chunks.mask.shape[1] == max(len(stored[i]) for i in ids)
    for row, i in enumerate(ids):
        real = chunks.vectors[row][chunks.mask[row]]
        np.testing.assert_array_equal(real, stored[i].astype(np.float32))
        assert chunks.mask[row, : len(stored[i])].all()
        assert (chunks.vectors[row, len(stored[i]) :] == 0).all()


@given(LENGTHS, st.data())
def test_taking_documents_equals_padding_them_alone(lengths, data):
    stored = matrices(lengths)
    index = data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, max_size=6))
    taken = ChunkVectors.pad(stored, stored).take(torch.tensor(index))
    alone = ChunkVectors.pad(stored, [f"cv:{i}" for i in index])
    assert taken.ids == alone.ids
    assert torch.equal(taken.vectors, alone.vectors)
    assert torch.equal(taken.mask, alone.mask)


def test_shapes_that_do_not_agree_are_refused():
    vectors, mask = torch.zeros(2, 3, 4), torch.ones(2, 3, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"got \(2, 3, 4\) and \(2, 2\)"):
        ChunkVectors(("cv:0", "cv:1"), vectors, mask[:, :2])
    with pytest.raises(ValueError, match=r"got \(2, 3\) and \(2, 3\)"):
        ChunkVectors(("cv:0", "cv:1"), vectors[..., 0], mask)
    with pytest.raises(ValueError, match="1 ids for 2 documents"):
        ChunkVectors(("cv:0",), vectors, mask)


def test_a_document_without_vectors_is_named():
    with pytest.raises(KeyError, match="cv:9"):
        ChunkVectors.pad(matrices([1]), ["cv:9"])
    with pytest.raises(ValueError, match="document cv:1 has no chunk"):
        ChunkVectors.pad(matrices([1, 0]), ["cv:0", "cv:1"])


def test_months_stay_with_their_chunks():
    stored = matrices([2, 4, 1])
    months = {
        i: np.arange(2.0 * len(m)).reshape(-1, 2) + 100 * int(i[-1]) for i, m in stored.items()
    }
    chunks = ChunkVectors.pad(stored, ["cv:0", "cv:1", "cv:2"], months)
    taken = chunks.to("cpu").take(torch.tensor([2, 0, 2]))
    assert taken.months.shape == (3, 2, 2)
    for row, i in enumerate(["cv:2", "cv:0", "cv:2"]):
        assert torch.equal(taken.months[row][taken.mask[row]], torch.tensor(months[i]).float())
        assert taken.months[row][~taken.mask[row]].isnan().all()
    assert ChunkVectors.pad(stored, ["cv:0", "cv:1"], {"cv:0": months["cv:0"]}).months is None
    with pytest.raises(ValueError, match=r"cv:1: 4 chunks, months of 2"):
        ChunkVectors.pad(stored, ["cv:1"], {"cv:1": months["cv:0"]})
