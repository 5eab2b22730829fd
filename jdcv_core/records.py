"""The record of an experiment: a folder `runs/<experiment>/<id>/` with all its results.

The folder is called `<id>.partial` until everything is written, and `<id>` from then on. So a
folder without that ending is whole, and after a crash every finished line is there.

    folder = start_record("runs", "chunk_attention", config)
    append_record(folder, {"variant": "mean", "seed": 0, "weighted_f1": 0.61})
    write_predictions(folder, {"variant": [...], "seed": [...], "jd": [...], ...})
    folder = finish_record(folder)

This module does not import torch: records can be read where torch is not installed.
"""

import hashlib
import json
import math
import os
import platform
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from jdcv_core.atomic import lock, sync_folder, sync_tree
from jdcv_core.errors import InputError

PARTIAL = ".partial"
LINES = "record.jsonl"
LOCK = "lock"
PREDICTIONS = "predictions.parquet"

LIBRARIES = (
    "jdcv", "torch", "transformers", "tokenizers", "peft", "sentence-transformers", "accelerate",
    "safetensors", "datasets", "einops", "hydra-core", "omegaconf", "numpy", "scipy",
    "scikit-learn", "pyarrow", "ir-measures", "pytrec-eval-terrier", "faiss-cpu", "faiss-gpu",
    "gguf",
)  # fmt: skip
"""Distributions whose version can change a figure."""


def config_hash(config: Mapping[str, Any]) -> str:
    """12 hexadecimal digits that name a resolved configuration.

    config: nested mappings, sequences, texts, numbers, booleans, None, as
        `OmegaConf.to_container(…, resolve=True)` returns them. The order of keys has no effect; the
        order of a list has one.
    Raises TypeError for anything else in it.

    >>> config_hash({"a": 1, "b": [2, 3]}) == config_hash({"b": (2, 3), "a": 1})
    True
    """
    text = json.dumps(plain(config), sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def git_state(folder: Path | str | None = None) -> dict[str, Any] | None:
    """{"commit": 40 digits, "dirty": whether files differ from it or are new and not ignored}.

    folder: the top of the work tree; default: the one of this source code
    Returns None if the folder is not the top of a git work tree (an installed copy may lie in the
    tree of another project, whose commit says nothing), if there is no commit, and without git.
    """
    top = Path(__file__).parent.parent if folder is None else Path(folder)
    found, root = _git(top, "rev-parse", "--show-toplevel")
    has_commit, commit = _git(top, "rev-parse", "HEAD")
    if not (found and has_commit and Path(root).resolve() == top.resolve()):
        return None
    known, changes = _git(top, "status", "--porcelain")
    return {"commit": commit, "dirty": not known or changes != ""}


def versions() -> dict[str, str]:
    """Python's version, the kind of machine, and the versions of those LIBRARIES installed."""
    found = {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # an extra that is not installed cannot have changed a figure
    return found


def start_record(
    root: Path | str, experiment: str, config: Mapping[str, Any], now: datetime | None = None
) -> Path:
    """Make `root/experiment/<id>.partial` and return it; it is locked while this process lives.

    The id is the UTC time and the start of the config's hash, `20261123T091500Z-1a2b3c4d`. The id
    of a second experiment with the same config in the same second ends in `-2`: the folder is made
    atomically, so two processes never share one.

    now: the time with its zone; default: the clock
    Raises InputError if the folder cannot be made.
    """
    time = (now or datetime.now(UTC)).astimezone(UTC)
    name = f"{time:%Y%m%dT%H%M%SZ}-{config_hash(config)[:8]}"
    parent = Path(root) / experiment
    number = 1
    try:
        parent.mkdir(parents=True, exist_ok=True)
        while not (folder := _claim(parent, name if number == 1 else f"{name}-{number}")):
            number += 1
    except OSError as fault:
        cure = "choose another folder for the records, or change its permissions"
        raise InputError(str(parent), f"cannot be made ({fault.strerror})", cure) from fault
    _lock(folder)
    return folder


def unfinished(root: Path | str, experiment: str, config: Mapping[str, Any]) -> Path | None:
    """The newest `<id>.partial` folder of an experiment with this config; None if there is none.

    It is locked while this process lives. Raises InputError if another process has the lock.
    """
    pattern = f"*-{config_hash(config)[:8]}*{PARTIAL}"
    found = sorted((Path(root) / experiment).glob(pattern))
    if found:
        _lock(found[-1])
    return found[-1] if found else None


def lines_so_far(folder: Path | str) -> list[dict[str, Any]]:
    """Return the lines of `read_records`, or no lines if the file does not exist yet."""
    return read_records(folder) if (Path(folder) / LINES).is_file() else []


def append_record(folder: Path | str, line: Mapping[str, Any]) -> None:
    """Add one line to the folder's record.jsonl; when this returns, it is on the disk.

    line: plain values as in `config_hash`, also numpy numbers and arrays. nan becomes null, which
        is how JSON says "undefined".
    A last line that a killed writer left unfinished is removed first.
    Raises ValueError for an infinite number, TypeError for a value that JSON has no form for.
    """
    text = json.dumps(plain(line), allow_nan=False, ensure_ascii=False)
    path = Path(folder) / LINES
    with path.open("r+b" if path.exists() else "w+b") as file:
        content = file.read()
        file.seek(content.rfind(b"\n") + 1)
        file.truncate()
        file.write(text.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_records(folder: Path | str) -> list[dict[str, Any]]:
    """The lines of the folder's record.jsonl, in order; undefined figures are None.

    A last line without a line end was never finished and is left out.
    Raises InputError if the file is missing or another line is not a JSON object.
    """
    path = Path(folder) / LINES
    if not path.is_file():
        raise InputError(str(path), "there is no such file", "name the folder of an experiment")
    *finished, _unfinished = path.read_bytes().split(b"\n")
    return [_object(path, number, line) for number, line in enumerate(finished, start=1)]


def write_text(folder: Path | str, name: str, text: str) -> Path:
    """Write a text file (UTF-8) into the folder and return its path."""
    path = Path(folder) / name
    path.write_text(text, encoding="utf-8")
    return path


def write_predictions(folder: Path | str, columns: Mapping[str, Any]) -> Path:
    """Write predictions.parquet, one row per variant, seed and test pair; return its path.

    columns: name → values [row], lists or numpy arrays. With the columns of
        `evaluation.compare.COLUMNS` and `variant`, intervals can be computed again from the file.
    Raises ValueError for unequal lengths. The same columns give the same bytes.
    """
    path = Path(folder) / PREDICTIONS
    pyarrow.parquet.write_table(pyarrow.table(dict(columns)), path)
    return path


def finish_record(folder: Path | str) -> Path:
    """Rename `<id>.partial` to `<id>` after all its files have reached the disk; return the latter.

    Raises ValueError if the folder is not one that `start_record` made.
    """
    folder = Path(folder)
    if not folder.name.endswith(PARTIAL):
        raise ValueError(f"{folder} does not end in {PARTIAL}")
    sync_tree(folder)
    finished = folder.rename(_finished(folder))
    sync_folder(finished.parent)
    (finished / LOCK).unlink(missing_ok=True)  # not before: the old name stays locked until it goes
    return finished


_locks = ExitStack()
"""Locks that are held while the process lives."""


def _lock(folder: Path) -> None:
    """Claim an unfinished folder. Raises InputError if another process works in it."""
    if not _locks.enter_context(lock(folder / LOCK)):
        what = "another process is working in it, or it is read-only"
        cure = "wait for that process, or start again without resume=auto"
        raise InputError(str(folder), what, cure)


def _finished(folder: Path) -> Path:
    return folder.with_name(folder.name.removesuffix(PARTIAL))


def _claim(parent: Path, name: str) -> Path | None:
    """Make `<name>.partial`, unless this folder or `<name>` exists."""
    folder = parent / f"{name}{PARTIAL}"
    try:
        folder.mkdir()
    except FileExistsError:
        return None
    if _finished(folder).exists():  # after the mkdir: from now on no other process can finish it
        folder.rmdir()
        return None
    return folder


def _git(folder: Path, *arguments: str) -> tuple[bool, str]:
    # A git hook sets GIT_DIR and similar variables, which would point git at another tree.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, env=environment
        )
    except FileNotFoundError:
        return False, ""
    return done.returncode == 0, done.stdout.strip()


def _object(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise InputError(f"{path}, line {number}", "it is not a JSON object", "remove the line")
    return value


def plain(value: Any) -> Any:
    """The value in JSON's own types; nan is None. A key that is a number or a boolean becomes the
    text that JSON has for it.

    Raises TypeError for another key, ValueError for two keys with one text.

    >>> plain({0: 1.5, True: float("nan")})
    {'0': 1.5, 'true': None}
    """
    if isinstance(value, Mapping):
        texts = {_key(key): plain(item) for key, item in value.items()}
        if len(texts) < len(value):
            raise ValueError(f"two keys of {sorted(map(str, value))} have one text")
        return texts
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):  # numpy numbers and arrays
        return plain(value.tolist())
    if isinstance(value, float) and math.isnan(value):
        return None
    return value


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, int | float):
        return json.dumps(key)
    raise TypeError(f"keys must be texts, got {key!r}")
