"""A cell that was trained before is found, and no other."""

import numpy as np
import pytest

from experiments.cells import cell_store
from experiments.cells.cell import Cell
from experiments.cells.cell_store import CellStore, cell_key, code_hash, vectors_hash


def a_cell() -> Cell:
    scores = np.array([0.1, np.nan, 0.7])
    return Cell(
        "mean", "variant", scores, (0.2, 0.6), {"parameters": 7}, [{"step": 1.0}],
        [("a reads b", np.eye(2))],
    )  # fmt: skip


def test_a_cell_comes_back_as_it_was(tmp_path):
    store, cell = CellStore(tmp_path / "cells"), a_cell()
    assert store.get("abc") is None
    store.put("abc", cell)
    found = store.get("abc")
    np.testing.assert_array_equal(found.scores, cell.scores)
    np.testing.assert_array_equal(found.examples[0][1], np.eye(2))
    for name in ("name", "kind", "cuts", "facts", "course"):
        assert getattr(found, name) == getattr(cell, name)
    assert store.get("abd") is None
    assert [path.name for path in (tmp_path / "cells").iterdir()] == ["abc.npz"]


@pytest.mark.parametrize("length", [0, 10, 300])
def test_a_damaged_cell_is_not_found(tmp_path, length):
    store = CellStore(tmp_path)
    store.put("abc", a_cell())
    content = (tmp_path / "abc.npz").read_bytes()
    (tmp_path / "abc.npz").write_bytes(content[:length])
    assert store.get("abc") is None


def test_every_part_of_a_key_counts():
    parts = {
        "row": {"scorer": {"_target_": "a"}, "training": {"steps": 3}},
        "seed": 0,
        "split": "jd",
    }
    key = cell_key(**parts)
    assert key == cell_key(**dict(reversed(parts.items())))
    for name, value in (("seed", 1), ("split", "cv"), ("row", {}), ("more", 1)):
        assert cell_key(**{**parts, name: value}) != key


def test_vectors_are_hashed_by_content():
    matrices = {"cv:1": np.ones((2, 3), np.float32), "jd:1": np.zeros((1, 3), np.float32)}
    found = vectors_hash(matrices)
    assert found == vectors_hash(dict(reversed(matrices.items())))
    bent = matrices | {"jd:1": np.full((1, 3), 1e-9, np.float32)}
    named = {"cv:2": matrices["cv:1"], "jd:1": matrices["jd:1"]}
    cut = matrices | {"cv:1": np.ones((3, 2), np.float32)}
    assert len({found, vectors_hash(bent), vectors_hash(named), vectors_hash(cut)}) == 4


def test_code_is_hashed_by_content(tmp_path, monkeypatch):
    package = tmp_path / "mine"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "scorer.py").write_text("class Mine: pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = code_hash(["mine.scorer.Mine"])
    assert before == code_hash(["mine.scorer.Mine"])
    assert before != code_hash([])
    (package / "helper.py").write_text("A = 1\n")
    changed = code_hash(["mine.scorer.Mine"])
    assert changed != before
    monkeypatch.setattr(cell_store, "SOURCES", cell_store.SOURCES[1:])
    assert code_hash(["mine.scorer.Mine"]) != changed
