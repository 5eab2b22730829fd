"""What one experiment leaves behind: a folder `runs/<experiment>/<id>/` that can be believed.

While the experiment works, the folder is called `<id>.partial`; it takes its name when everything
is written. So a folder without that ending is whole, and a crash leaves every finished line.

    folder = start_record("runs", "chunk_attention", config)
    append_record(folder, {"variant": "mean", "seed": 0, "weighted_f1": 0.61})
    write_predictions(folder, {"variant": [...], "seed": [...], "jd": [...], ...})
    folder = finish_record(folder)

Nothing here imports torch: records are read where torch is not installed.
"""

import hashlib
import json
import math
import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from jdcv_core.errors import InputError

try:
    import fcntl
except ImportError:  # Windows: nothing keeps two processes out of one folder there
    fcntl = None  # type: ignore[assignment]

PARTIAL = ".partial"
LINES = "record.jsonl"
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

    config: nested mappings, sequences, texts, numbers, booleans, None (`OmegaConf.to_container`
        with `resolve=True` gives this). The order of keys has no effect; the order of a list has.
    Raises TypeError for anything else in it.
    """
    text = json.dumps(plain(config), sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def git_state(folder: Path | str | None = None) -> dict[str, Any] | None:
    """{"commit": 40 digits, "dirty": whether files differ from it or are new and not ignored}.

    folder: the top of the work tree; default: that of this source code
    Returns None if it is not the top of a git work tree (an installed copy may lie inside another
    project's tree, whose commit says nothing), without a commit, and without git.
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
    """Make `root/experiment/<id>.partial` and return it.

    The id is the UTC time and the start of the config's hash, `20261123T091500Z-1a2b3c4d`. A
    second experiment with the same config in the same second gets `-2` behind it: the folder is
    made atomically, so two processes never share one.

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
        cure = "choose another folder for the records, or free its name or its rights"
        raise InputError(str(parent), f"cannot be made ({fault.strerror})", cure) from fault
    _lock(folder)
    return folder


def unfinished(root: Path | str, experiment: str, config: Mapping[str, Any]) -> Path | None:
    """The newest `<id>.partial` folder of an experiment with this config; None where there is none.

    It is this process's until it ends; raises InputError if it is another's at the moment.
    """
    pattern = f"*-{config_hash(config)[:8]}*{PARTIAL}"
    found = sorted((Path(root) / experiment).glob(pattern))
    if found:
        _lock(found[-1])
    return found[-1] if found else None


def lines_so_far(folder: Path | str) -> list[dict[str, Any]]:
    """`read_records`, and no line where the file is not there yet."""
    return read_records(folder) if (Path(folder) / LINES).is_file() else []


def append_record(folder: Path | str, line: Mapping[str, Any]) -> None:
    """Add one line to the folder's record.jsonl; when this returns, it is on the disk.

    line: plain values as in `config_hash`; numpy numbers and arrays are taken too. nan becomes
        null, which is how JSON says "undefined".
    Raises ValueError for an infinite number, TypeError for a value that JSON has no form for.
    A last line that a killed writer left unfinished is removed first.
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

    A last line without its end was never finished and is left out.
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
        `evaluation.compare.COLUMNS` beside `variant`, intervals can be computed again from it.
    Raises ValueError for unequal lengths. The same columns give the same bytes.
    """
    path = Path(folder) / PREDICTIONS
    pyarrow.parquet.write_table(pyarrow.table(dict(columns)), path)
    return path


def finish_record(folder: Path | str) -> Path:
    """Give `<id>.partial` its name `<id>`, once all its files are on the disk; return it.

    Raises ValueError if the folder is not one that `start_record` made.
    """
    folder = Path(folder)
    if not folder.name.endswith(PARTIAL):
        raise ValueError(f"{folder} does not end in {PARTIAL}")
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("r+b") as file:
                os.fsync(file.fileno())
    return folder.rename(_finished(folder))


_locks: list[Any] = []
"""Open as long as the process lives: the operating system frees them however it ends."""


def _lock(folder: Path) -> None:
    """Claim an unfinished folder. Raises InputError if another process works in it."""
    if fcntl is None:
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as fault:
        os.close(descriptor)
        cure = "wait for it, or start anew without resume=auto"
        raise InputError(str(folder), "another process is working in it", cure) from fault
    _locks.append(descriptor)


def _finished(folder: Path) -> Path:
    return folder.with_name(folder.name.removesuffix(PARTIAL))


def _claim(parent: Path, name: str) -> Path | None:
    """Make `<name>.partial`, unless that or `<name>` is there already."""
    folder = parent / f"{name}{PARTIAL}"
    try:
        folder.mkdir()
    except FileExistsError:
        return None
    if _finished(folder).exists():  # looked at after the mkdir: from now on no other can finish it
        folder.rmdir()
        return None
    return folder


def _git(folder: Path, *arguments: str) -> tuple[bool, str]:
    # A git hook sets GIT_DIR and the like, which would point git at another tree.
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
    """The value in JSON's own types; nan is None."""
    if isinstance(value, Mapping):
        wrong = [key for key in value if not isinstance(key, str)]
        if wrong:
            raise TypeError(f"keys must be texts, got {wrong[0]!r}")
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):  # numpy numbers and arrays
        return plain(value.tolist())
    if isinstance(value, float) and math.isnan(value):
        return None
    return value
