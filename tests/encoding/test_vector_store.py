"""The store returns what was put, in every process and after a kill, or reports an error."""

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from thorough import examples

from jdcv_core.encoding.vector_store import VectorStore, vector_key
from jdcv_core.errors import InputError

PATIENCE = 60  # seconds after which a blocked process fails the test
MATRICES = hnp.arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 6)))


def matrix(seed, chunks=3, dim=8):
    return np.random.default_rng(seed).standard_normal((chunks, dim), dtype=np.float32)


@settings(max_examples=examples(13), deadline=None)
@given(st.dictionaries(st.text("0123456789abcdef", min_size=1, max_size=8), MATRICES, max_size=5))
def test_the_store_returns_what_was_put(tmp_path_factory, matrices):
    path = tmp_path_factory.mktemp("store") / "vectors.db"
    with VectorStore(path) as store:
        store.put_many(matrices)
    with VectorStore(path) as store:
        found = store.get_many([*matrices, "missing"])
    assert found.keys() == matrices.keys()
    for key, value in matrices.items():
        np.testing.assert_array_equal(found[key], value)
        assert found[key].dtype == np.float32


def test_the_first_value_of_a_key_stays(tmp_path):
    with VectorStore(tmp_path / "deep" / "folder" / "vectors.db") as store:
        store.put_many({"a": matrix(1)})
        store.put_many({"a": matrix(2), "b": matrix(3)})
        found = store.get_many(["b", "a", "a"])
        assert len(store) == 2
    np.testing.assert_array_equal(found["a"], matrix(1))
    np.testing.assert_array_equal(found["b"], matrix(3))


def test_notes_keep_their_first_value(tmp_path):
    with VectorStore(tmp_path / "vectors.db") as store:
        assert store.note("precision") is None
        assert store.keep_note("precision", "bf16") == "bf16"
        assert store.keep_note("precision", "fp32") == "bf16"
        assert store.note("precision") == "bf16"


def test_only_float32_matrices_are_taken_and_then_all_or_none(tmp_path):
    with VectorStore(tmp_path / "vectors.db") as store:
        with pytest.raises(ValueError, match="float32"):
            store.put_many({"a": matrix(1), "b": matrix(2).astype(np.float64)})
        assert len(store) == 0


def test_any_change_of_what_vectors_depend_on_changes_the_key():
    given_parts = {"chunks": [(1, 2), (3,)], "tokenizer": "t", "encoder": "e"}
    others = {"chunks": [(1, 2), (4,)], "tokenizer": "u", "encoder": "f"}
    keys = {vector_key(**given_parts)}
    keys |= {vector_key(**{**given_parts, name: other}) for name, other in others.items()}
    assert len(keys) == 1 + len(others)
    assert vector_key([[1, 2], [3]], "t", "e") in keys
    assert len(vector_key(**given_parts)) == 64


def test_keys_do_not_confuse_where_one_part_ends():
    assert vector_key([(1, 2), (3,)], "t", "e") != vector_key([(1,), (2, 3)], "t", "e")
    assert vector_key([(1, 2, 3)], "t", "e") != vector_key([(1, 2), (3,)], "t", "e")
    assert vector_key([(1,)], "ab", "c") != vector_key([(1,)], "a", "bc")


def test_vectors_of_an_older_layout_leave_no_byte(tmp_path):
    path = tmp_path / "vectors.db"
    with VectorStore(path) as store:
        store.put_many({"a": matrix(1)})
        store.keep_note("precision", "bf16")
        store._db.execute("PRAGMA user_version = 1")
    data = matrix(1).tobytes()
    with VectorStore(path) as store:
        assert len(store) == 0
        assert store.note("precision") == "bf16"
    assert all(data not in file.read_bytes() for file in tmp_path.iterdir())
    with VectorStore(path) as store:
        store.put_many({"a": matrix(1)})
    with VectorStore(path) as store:
        assert len(store) == 1


def start(code, *arguments):
    """Start a Python process with numpy, the store and `sys.argv[1:]`."""
    head = "import sys, numpy as np\nfrom jdcv_core.encoding.vector_store import VectorStore\n"
    return subprocess.Popen(
        [sys.executable, "-c", head + textwrap.dedent(code), *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_processes_write_at_once(tmp_path):
    path = tmp_path / "vectors.db"
    code = """
        path, name = sys.argv[1:]
        with VectorStore(path) as store:
            for n in range(30):
                value = np.full((2, 4), n, dtype=np.float32)
                store.put_many({f"{name}-{n}": value, f"both-{n}": value})
        """
    writers = [start(code, path, name) for name in ("one", "two", "three")]
    assert [w.wait(PATIENCE) for w in writers] == [0, 0, 0]
    keys = [f"{name}-{n}" for name in ("one", "two", "three", "both") for n in range(30)]
    with VectorStore(path) as store:
        found = store.get_many(keys)
    assert len(found) == len(keys)
    assert all((found[key] == int(key.partition("-")[2])).all() for key in keys)


def test_processes_make_a_file_at_the_same_moment(tmp_path):
    """Three processes open each of forty files at the same moment."""
    code = """
        import time
        folder, first = sys.argv[1], float(sys.argv[2])
        for n in range(40):
            while time.time() < first + 0.05 * n:
                pass
            VectorStore(f"{folder}/{n}.db").close()
        """
    first = str(time.time() + 2)
    makers = [start(code, tmp_path, first) for _ in range(3)]
    assert [m.wait(PATIENCE) for m in makers] == [0, 0, 0]


def test_a_killed_writer_loses_nothing_that_was_committed(tmp_path):
    path = tmp_path / "vectors.db"
    code = """
        store = VectorStore(sys.argv[1])
        for n in range(10**6):
            store.put_many({str(n): np.full((3, 256), n, dtype=np.float32)})
            print(n, flush=True)
        """
    writer = start(code, path)
    assert writer.stdout is not None
    for line in writer.stdout:
        if int(line) == 20:
            os.kill(writer.pid, signal.SIGKILL)
            break
    committed = max([20, *map(int, writer.stdout.read().split())])
    assert writer.wait(PATIENCE) == -signal.SIGKILL
    with VectorStore(path) as store:
        found = store.get_many(map(str, range(committed + 1)))
        assert [int(found[str(n)][0, 0]) for n in range(committed + 1)] == [*range(committed + 1)]
        store.put_many({"after": matrix(1)})  # and the store can be written immediately
        assert len(store.get_many(["after"])) == 1


def spoil(path, statement, *values):
    database = sqlite3.connect(path)
    database.execute(statement, values)
    database.commit()
    database.close()


@pytest.mark.parametrize(
    ("statement", "value"),
    [
        ("UPDATE vectors SET data = ?", b"\x00" * 96),
        ("UPDATE vectors SET data = ?", b"short"),
        ("UPDATE vectors SET chunks = ?", 1),
        ("UPDATE vectors SET dim = ?", 4),
        ("UPDATE vectors SET dtype = ?", "<i4"),
        ("UPDATE vectors SET checksum = ?", b"0" * 16),
        ("UPDATE vectors SET key = ?", "b"),
    ],
)
def test_a_damaged_row_is_reported_with_the_file(tmp_path, statement, value):
    path = tmp_path / "vectors.db"
    with VectorStore(path) as store:
        store.put_many({"a": matrix(1)})
    spoil(path, statement, value)
    with VectorStore(path) as store, pytest.raises(InputError, match=r"vectors\.db: .* damaged"):
        store.get_many(["a", "b"])


def test_a_file_that_is_no_database_is_reported(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("these are my notes, please leave them alone " * 100)
    with pytest.raises(InputError, match=r"notes\.txt: file is not a database"):
        VectorStore(path)
    assert path.read_text().startswith("these are my notes")


def test_a_database_of_another_program_is_left_alone(tmp_path):
    path = tmp_path / "places.sqlite"
    spoil(path, "CREATE TABLE bookmarks (url TEXT)")
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"places\.sqlite: it is a database of another program"):
        VectorStore(path)
    assert path.read_bytes() == before


def test_a_store_of_another_layout_is_refused(tmp_path):
    path = tmp_path / "vectors.db"
    VectorStore(path).close()
    spoil(path, "PRAGMA user_version = 99")
    with pytest.raises(InputError, match="it has layout 99"):
        VectorStore(path)


def test_a_truncated_file_is_reported(tmp_path):
    path = tmp_path / "vectors.db"
    with VectorStore(path) as store:
        store.put_many({str(n): matrix(n, 40, 64) for n in range(40)})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=r"vectors\.db"), VectorStore(path) as store:
        store.get_many(map(str, range(40)))


def test_a_folder_in_place_of_the_file_is_reported(tmp_path):
    with pytest.raises(InputError, match=r"unable to open"):
        VectorStore(tmp_path)


def test_erased_matrices_leave_no_byte_in_the_file(tmp_path):
    rng = np.random.default_rng(3)
    kept, gone = (rng.standard_normal((40, 32)).astype(np.float32) for _ in range(2))
    path = tmp_path / "store.sqlite"
    with VectorStore(path) as store:
        store.put_many({"kept": kept, "gone": gone})
        assert store.erase_many(["gone", "never there"]) == 1
        assert set(store.get_many(["kept", "gone"])) == {"kept"}
        content = b"".join(p.read_bytes() for p in tmp_path.iterdir())
    content += b"".join(p.read_bytes() for p in tmp_path.iterdir())
    assert kept[7].tobytes() in content
    assert not any(row.tobytes() in content for row in gone)
    assert b"gone" not in content
