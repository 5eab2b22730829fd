"""The store of chunk vectors, keyed by content.

It is an SQLite database: SQLite is in Python's standard library, uses one file, lets several
processes write at once, and keeps every committed transaction after a kill or a power cut.
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
LAYOUT = 2  # increase when a table or the meaning of a key changes
WAIT = 60.0  # seconds to wait for another process's transaction
TABLES = """
CREATE TABLE IF NOT EXISTS vectors (key TEXT PRIMARY KEY, chunks INTEGER NOT NULL,
    dim INTEGER NOT NULL, dtype TEXT NOT NULL, checksum BLOB NOT NULL, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS notes (key TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


def vector_key(chunks: Sequence[Sequence[int]], tokenizer: str, encoder: str) -> str:
    """Return the key of a document's chunk vectors: a SHA-256 (hex) of all they depend on.

    chunks:    the tokens of each chunk
    tokenizer: fingerprint of the tokenizer
    encoder:   fingerprint of weights, pooling, special tokens and precision

    The text and the chunker affect the key only through the tokens of the chunks.
    """
    found = hashlib.sha256(f"{tokenizer} {encoder} {len(chunks)}".encode())
    for tokens in chunks:
        found.update(f" {len(tokens)} ".encode())
        found.update(np.asarray(tokens, dtype="<i8").tobytes())
    return found.hexdigest()


class VectorStore:
    """A file that maps keys to matrices, float32 [chunk, dim].

    path: the file; it and its folder are created if they are missing. While the file is open,
          SQLite keeps two more files next to it (`-wal`, `-shm`). On a network drive, use the store
          from one process only.

    Several processes may read and write at once. The first value of a key is never replaced, since
    the key identifies the content. Matrices are on disk when `put_many` returns.
    Raises InputError, which names the file, if it is damaged, unusable, or not a vector store.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with self._faults():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self.path, timeout=WAIT, isolation_level=None)
            self._open()

    def get_many(self, keys: Iterable[str]) -> dict[str, np.ndarray]:
        """Return the matrices of those keys that are in the store.

        Raises InputError if a checksum does not match the content.
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
        """Store matrices in one transaction: a killed process stores all of them or none."""
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
        """Remove matrices and overwrite their bytes in the file; return how many were removed.

        While another process reads within a transaction, the log of changes (`-wal`) cannot be
        emptied; it is emptied when the store is opened after that transaction.
        """
        with self._faults():
            self._db.execute("PRAGMA secure_delete = ON")  # overwrite freed pages with zeros
            with self._transaction():
                counts = [
                    self._db.execute("DELETE FROM vectors WHERE key = ?", (key,)).rowcount
                    for key in dict.fromkeys(keys)
                ]
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return sum(counts)

    def note(self, key: str) -> str | None:
        """Return the short text that is stored under `key`, or None."""
        with self._faults():
            row = self._db.execute("SELECT value FROM notes WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def keep_note(self, key: str, value: str) -> str:
        """Store a short text under `key` unless the key has one; return the stored text."""
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
        # Read all of it in one transaction: another process may be creating the file right now.
        self._db.execute("BEGIN")
        application, layout = (
            self._db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("application_id", "user_version")
        )
        tables = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        self._db.execute("COMMIT")
        if application == OURS and layout > LAYOUT:
            raise self._error(f"it has layout {layout}, but this version reads up to {LAYOUT}")
        if application != OURS and tables:
            raise self._error("it is a database of another program")
        self._use_write_ahead_log()
        # Every commit is flushed to the disk. There is one per group of documents, so it is cheap.
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
        """Erase vectors whose keys this version cannot compute: nothing could erase them later."""
        self._db.execute("PRAGMA secure_delete = ON")
        with self._transaction():
            self._db.execute("DELETE FROM vectors")
            self._db.execute(f"PRAGMA user_version = {LAYOUT}")
        self._db.execute("VACUUM")

    def _use_write_ahead_log(self) -> None:
        # SQLite does not wait for a lock in this statement, so two processes that create the file
        # at the same time would fail without these attempts.
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
        cure = "move the file away or give another path; the vectors are then computed again"
        return InputError(f"vector store {self.path}", what, cure)


def _checksum(key: str, chunks: int, dim: int, dtype: str, data: bytes) -> bytes:
    head = f"{key} {chunks} {dim} {dtype} ".encode()
    return hashlib.blake2b(head + data, digest_size=16).digest()
