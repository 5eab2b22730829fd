"""The store of chunk vectors: content in, vectors out.

SQLite, because it is in Python's standard library, is one file, lets several processes write at
once, and after a kill or a power cut still holds every transaction that was committed.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import numpy as np

from jdcv_core.errors import InputError

OURS = 0x6A644356  # "jdCV", SQLite's application id of our files
LAYOUT = 2  # raise when a table or the meaning of a key changes
WAIT = 60.0  # seconds to wait for another process's transaction
TABLES = """
CREATE TABLE IF NOT EXISTS vectors (key TEXT PRIMARY KEY, chunks INTEGER NOT NULL,
    dim INTEGER NOT NULL, dtype TEXT NOT NULL, checksum BLOB NOT NULL, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS notes (key TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


def vector_key(chunks: Sequence[Sequence[int]], tokenizer: str, encoder: str) -> str:
    """The key of a document's chunk vectors: the SHA-256 (hex) of all that they depend on.

    chunks:    the tokens of each chunk
    tokenizer: fingerprint of the tokenizer
    encoder:   fingerprint of weights, pooling, special tokens and precision

    The text and the chunker are in it through the tokens that they give.
    """
    found = hashlib.sha256(f"{tokenizer} {encoder} {len(chunks)}".encode())
    for tokens in chunks:
        found.update(f" {len(tokens)} ".encode())
        found.update(np.asarray(tokens, dtype="<i8").tobytes())
    return found.hexdigest()


class VectorStore:
    """Matrices float32 [chunk, dim] by key, in one file.

    path: the file; it and its folder are made where they are missing. SQLite keeps two files
          beside it while it is open (`-wal`, `-shm`): on a network drive use one process only.

    Several processes may read and write at once. The first value that is put under a key stays:
    a key stands for its content. What `put_many` has returned from survives a kill.
    Raises InputError naming the file where it is not a store of ours, damaged, or unusable.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with self._faults():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self.path, timeout=WAIT, isolation_level=None)
            self._open()

    def get_many(self, keys: Iterable[str]) -> dict[str, np.ndarray]:
        """The matrices of those keys that are stored.

        Raises InputError where a row's checksum does not fit its content.
        """
        found = {}
        with self._faults():
            for key in dict.fromkeys(keys):
                row = self._db.execute(
                    "SELECT chunks, dim, dtype, checksum, data FROM vectors WHERE key = ?", (key,)
                ).fetchone()
                if row is not None:
                    found[key] = self._matrix(key, *row)
        return found

    def put_many(self, matrices: Mapping[str, np.ndarray]) -> None:
        """Store matrices in one transaction: after a kill all of them are there, or none."""
        rows = []
        for key, matrix in matrices.items():
            if matrix.ndim != 2 or matrix.dtype != np.float32:
                raise ValueError(f"{key}: expected float32 [chunk dim], got {matrix.dtype}")
            data = np.ascontiguousarray(matrix).astype("<f4", copy=False).tobytes()
            chunks, dim = matrix.shape
            check = _checksum(key, chunks, dim, "<f4", data)
            rows.append((key, chunks, dim, "<f4", check, data))
        with self._faults(), self._transaction():
            self._db.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?, ?, ?, ?, ?)", rows)

    def erase_many(self, keys: Iterable[str]) -> int:
        """Remove matrices so that none of their bytes is left in the file; returns how many.

        A reader inside a transaction keeps the log of changes alive; the log is emptied when
        it has ended and the store is opened the next time.
        """
        with self._faults():
            self._db.execute("PRAGMA secure_delete = ON")  # freed places are filled with zeros
            with self._transaction():
                counts = [
                    self._db.execute("DELETE FROM vectors WHERE key = ?", (key,)).rowcount
                    for key in dict.fromkeys(keys)
                ]
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return sum(counts)

    def note(self, key: str) -> str | None:
        """A short text that was kept under `key`, or None."""
        with self._faults():
            row = self._db.execute("SELECT value FROM notes WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def keep_note(self, key: str, value: str) -> str:
        """Keep a short text under `key` unless there is one; returns the one that is kept."""
        with self._faults(), self._transaction():
            self._db.execute("INSERT OR IGNORE INTO notes VALUES (?, ?)", (key, value))
        return self.note(key) or value

    def __len__(self) -> int:
        with self._faults():
            return int(self._db.execute("SELECT count(*) FROM vectors").fetchone()[0])

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> VectorStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self) -> None:
        # One snapshot: another process may be making the file between two reads.
        self._db.execute("BEGIN")
        application, layout = (
            self._db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("application_id", "user_version")
        )
        tables = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        self._db.execute("COMMIT")
        if application == OURS and layout > LAYOUT:
            raise self._error(f"it has layout {layout}, this version reads up to {LAYOUT}")
        if application != OURS and tables:
            raise self._error("it is a database of another program")
        self._use_write_ahead_log()
        # Every commit reaches the disk: one per group of documents, so this costs nothing.
        self._db.execute("PRAGMA synchronous = FULL")
        if application == OURS and layout < LAYOUT:
            self._forget_old_keys()
        if application != OURS:
            with self._transaction():
                for statement in TABLES.split(";"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA application_id = {OURS}")
                self._db.execute(f"PRAGMA user_version = {LAYOUT}")

    def _forget_old_keys(self) -> None:
        """Erase vectors whose keys no version asks for any more: nobody could erase them later."""
        self._db.execute("PRAGMA secure_delete = ON")
        with self._transaction():
            self._db.execute("DELETE FROM vectors")
            self._db.execute(f"PRAGMA user_version = {LAYOUT}")
        self._db.execute("VACUUM")

    def _use_write_ahead_log(self) -> None:
        # SQLite does not wait for its lock here, so two processes that make the file at the same
        # moment would fail without these few attempts.
        for pause in (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0):
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    raise
                time.sleep(pause)
        self._db.execute("PRAGMA journal_mode = WAL")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.ProgrammingError:
            raise  # our own mistake, such as use after close
        except (sqlite3.DatabaseError, OSError) as error:
            raise self._error(str(error)) from error

    def _matrix(
        self, key: str, chunks: int, dim: int, dtype: str, checksum: bytes, data: bytes
    ) -> np.ndarray:
        if checksum != _checksum(key, chunks, dim, dtype, data):
            raise self._error(f"the vectors under {key[:12]}… are damaged")
        return np.frombuffer(data, dtype).reshape(chunks, dim).astype(np.float32)

    def _error(self, what: str) -> InputError:
        cure = "move the file away, or give another one; the vectors are then computed again"
        return InputError(f"vector store {self.path}", what, cure)


def _checksum(key: str, chunks: int, dim: int, dtype: str, data: bytes) -> bytes:
    head = f"{key} {chunks} {dim} {dtype} ".encode()
    return hashlib.blake2b(head + data, digest_size=16).digest()
