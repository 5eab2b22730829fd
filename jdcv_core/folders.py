"""Folders with a manifest, which are complete or absent: checkpoints, saved models, indexes.

    write_folder(Path("models/a"), "model", 1, {"encoder/config.json": b"{}"}, {"step": 120})
    facts = verify_folder(Path("models/a"), "model", 1)

A folder is written by `atomic.atomic_folder`: a kill, a full disk or a power cut at any moment
leaves the whole folder or none. The manifest lists the size and the SHA-256 of every file, and
every byte that is read is compared with it.
"""

import errno
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from jdcv_core.atomic import atomic_folder, make_folders
from jdcv_core.errors import InputError
from jdcv_core.progress import progress

MANIFEST = "manifest.json"
PIECE = 1 << 24  # bytes in one write or read: some systems refuse 2 GiB and more
BIG = 2_000_000_000  # bytes; to hash them takes about two seconds
NO_LINK = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}


@dataclass(frozen=True)
class Listed:
    """A file as listed in a manifest: its path, its size in bytes and its SHA-256 (hex)."""

    path: Path
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The manifest of a folder: plain facts, and its files by name relative to the folder."""

    facts: dict[str, Any]
    files: dict[str, Listed]


def write_folder(
    folder: Path,
    kind: str,
    version: int,
    files: Mapping[str, bytes | Path | Listed],
    facts: Mapping[str, Any],
) -> Path:
    """Write a folder and its manifest, all of it or nothing; returns `folder`.

    folder:  must not exist; its parents are made where they are missing
    kind:    what the folder is ("checkpoint"), compared when it is read
    version: of the layout of its files
    files:   name → content; a name may have sub-folders ("encoder/config.json"). A Path is an
             existing file that nobody changes any more: it is hard-linked, or copied to another
             file system. A Listed is such a file of an earlier folder, taken over with the hash
             that it had there, so that damage since then is seen when this folder is read
    facts:   goes into the manifest; plain values as in `json_bytes`

    Raises InputError if `folder` exists, and if something cannot be written; the message names it
    and says why. Then nothing is left of the attempt, and everything else is as it was.

    >>> import tempfile
    >>> folder = write_folder(Path(tempfile.mkdtemp(), "a"), "model", 1, {"x": b"123"}, {"step": 4})
    >>> verify_folder(folder, "model", 1)
    {'step': 4}
    """
    for name in files:
        if not _is_inside(name):
            raise ValueError(f"{name!r} is no name for a file inside {folder}")
    json_bytes(facts)  # a value without a form in JSON is reported before anything is written
    size = sum(len(content) for content in files.values() if isinstance(content, bytes))
    with _write_faults(folder), atomic_folder(folder) as temporary:
        with byte_progress(f"Writing {folder.name}", size) as advance:
            entries = {n: _put(folder, temporary, n, c, advance) for n, c in files.items()}
        fields = {"kind": kind, "version": version, "facts": dict(facts), "files": entries}
        with _write_faults(folder / MANIFEST):
            _write(temporary / MANIFEST, _manifest_bytes(fields))
    return folder


def verify_folder(folder: Path, kind: str, version: int) -> dict[str, Any]:
    """Read every byte of a folder, compare it with the manifest, and return the facts.

    Raises InputError naming the first file that is missing, truncated, altered or not listed, and
    for a folder of another kind or version.
    """
    manifest = read_manifest(folder, kind, version)
    size = sum(file.size for file in manifest.files.values())
    with byte_progress(f"Verifying {folder.name}", size) as advance:
        for file in manifest.files.values():
            with _read_faults(file.path), file.path.open("rb") as stream:
                digest = _hash(stream, advance)
            _compare(file, digest)
    return manifest.facts


def read_manifest(folder: Path, kind: str, version: int) -> Manifest:
    """Read the manifest of a folder and check that it has the listed files, by size, and no others.

    The content of the files is not checked: `read_listed` does that. Raises InputError as
    `verify_folder`.
    """
    path = folder / MANIFEST
    if not folder.is_dir():
        raise InputError(str(folder), "there is no such folder", "check the path")
    with _read_faults(path):
        raw = path.read_bytes()
        names = _names(folder)
    fields = _fields(path, raw, kind, version)
    try:
        files = {
            name: Listed(folder / name, int(entry["size"]), str(entry["sha256"]))
            for name, entry in fields["files"].items()
        }
        facts = dict(fields["facts"])
    except (AttributeError, KeyError, TypeError, ValueError) as fault:
        raise _damaged(path, "it cannot be read as a manifest") from fault
    for name, file in files.items():
        if not _is_inside(name):
            raise _damaged(path, f"it lists {name!r}, which is no file inside the folder")
        if name not in names:
            raise _damaged(file.path, "it is missing")
        _compare_size(file, names[name])
    for name in sorted(names.keys() - files.keys() - {MANIFEST}):
        raise InputError(str(folder / name), f"{MANIFEST} does not list it", "move it away")
    return Manifest(facts, files)


def read_listed(file: Listed) -> bytes:
    """Read a file once, compare the content with its hash, and return it.

    Raises InputError naming the file if it is not what the manifest lists.
    """
    with _read_faults(file.path):
        content = file.path.read_bytes()
    _compare_size(file, len(content))
    _compare(file, hashlib.sha256(content).hexdigest())
    return content


def json_bytes(value: Any) -> bytes:
    """A plain value as JSON: whole numbers of any size and floats come back exactly.

    value: None, bool, int, float, str, and mappings with texts as keys, lists and tuples of these.
           nan becomes null, a tuple comes back as a list
    Raises ValueError for an infinite number and TypeError for anything else; the message says where
    in the value it is.

    >>> json.loads(json_bytes({"a": (0.1, float("nan"))}))
    {'a': [0.1, None]}
    """
    return json.dumps(_plain(value, ""), allow_nan=False, indent=1).encode() + b"\n"


@contextmanager
def byte_progress(description: str, size: int) -> Iterator[Callable[[int], None]]:
    """Show a bar in MB if `size` bytes may take over two seconds; yields `advance(bytes)`."""
    with progress(f"{description}, MB", size // 10**6, least=BIG // 10**6) as advance:
        yield lambda count: advance(count / 10**6)


def _plain(value: Any, where: str) -> Any:
    if isinstance(value, Mapping):
        wrong = [key for key in value if not isinstance(key, str)]
        if wrong:
            raise TypeError(f"{where or 'the top'}: keys must be texts, got {wrong[0]!r}")
        return {key: _plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{at}]") for at, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        if math.isnan(value):
            return None
        raise ValueError(f"{where}: JSON has no form for {value}")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{where}: {type(value).__name__} is not a plain value")


def _put(
    folder: Path,
    temporary: Path,
    name: str,
    content: bytes | Path | Listed,
    advance: Callable[[int], None],
) -> dict[str, Any]:
    """Write or link one file; returns its entry in the manifest."""
    target = temporary / name
    with _write_faults(folder / name):
        make_folders(target.parent)
        if isinstance(content, bytes):
            _write(target, content)
            advance(len(content))
            return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        source = content.path if isinstance(content, Listed) else content
        _link(source, target)
        if isinstance(content, Listed):
            _compare_size(content, target.stat().st_size)
            return {"size": content.size, "sha256": content.sha256}
        with target.open("rb") as stream:
            return {"size": target.stat().st_size, "sha256": _hash(stream, advance)}


def _write(path: Path, content: bytes) -> None:
    _write_pieces(path, (content[at : at + PIECE] for at in range(0, len(content), PIECE)))


def _write_pieces(path: Path, pieces: Iterator[bytes]) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        for piece in pieces:
            rest = memoryview(piece)
            while rest:
                rest = rest[os.write(handle, rest) :]  # it may take less than it is given
    finally:
        os.close(handle)


def _link(source: Path, target: Path) -> None:
    source = source.resolve()  # the link is to the file, not to a link to it
    try:
        os.link(source, target)
    except OSError as fault:
        if fault.errno not in NO_LINK:
            raise
        with source.open("rb") as stream:
            _write_pieces(target, iter(lambda: stream.read(PIECE), b""))


def _is_inside(name: str) -> bool:
    """Whether a name is a plain path to a file below a folder, and not the manifest itself."""
    path = PurePosixPath(name)
    plain = str(path) == name and "\\" not in name and "\0" not in name
    return plain and bool(path.parts) and not {"..", "/"} & {*path.parts} and name != MANIFEST


def _names(folder: Path) -> dict[str, int]:
    """All files below a folder: name relative to it → size in bytes. A link counts as size -1."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_dir():
            size = path.stat().st_size if path.is_file() and not path.is_symlink() else -1
            found[path.relative_to(folder).as_posix()] = size
    return found


def _manifest_bytes(fields: Mapping[str, Any]) -> bytes:
    """Return the manifest with a hash of its other fields, so that a changed fact is detected."""
    digest = hashlib.sha256(json_bytes(fields)).hexdigest()
    return json_bytes({**fields, "sha256": digest})


def _fields(path: Path, raw: bytes, kind: str, version: int) -> dict[str, Any]:
    """Return the fields of a manifest; raise InputError if they were changed or do not fit."""
    try:
        fields = json.loads(raw)
        found, number = fields["kind"], fields["version"]
        newer = number > version
    except (KeyError, RecursionError, TypeError, ValueError) as fault:
        raise _damaged(path, "it cannot be read as a manifest") from fault
    if found != kind:
        raise InputError(str(path), f"this is a {found}, not a {kind}", "give another folder")
    if newer:
        what = f"it has format {number}, this version reads {version}"
        raise InputError(str(path), what, "update the toolkit")
    if number != version:
        what = f"it has format {number}, this version reads {version}"
        raise InputError(str(path), what, "read it with the older toolkit that wrote it")
    fields.pop("sha256", None)
    try:
        same = _manifest_bytes(fields) == raw
    except ValueError:  # an infinite number
        same = False
    if not same:
        raise _damaged(path, "it is altered: it is not what was written")
    return fields


def _compare_size(file: Listed, size: int) -> None:
    if size < 0:
        raise _damaged(file.path, "it is altered: it is no plain file")
    if size != file.size:
        how = "truncated" if size < file.size else "altered"
        raise _damaged(file.path, f"it is {how}: {size:,} bytes, listed are {file.size:,}")


def _compare(file: Listed, digest: str) -> None:
    if digest != file.sha256:
        raise _damaged(file.path, f"it is altered: its SHA-256 is not the one in {MANIFEST}")


def _hash(stream: Any, advance: Callable[[int], None]) -> str:
    digest = hashlib.sha256()
    for piece in iter(lambda: stream.read(PIECE), b""):
        digest.update(piece)
        advance(len(piece))
    return digest.hexdigest()


def _damaged(path: Path, what: str) -> InputError:
    cure = "put a whole copy of the folder in its place, or remove the folder and make it again"
    return InputError(str(path), what, cure)


@contextmanager
def _write_faults(path: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError as fault:
        cure = "give another name, or move it away"
        raise InputError(str(path), "it exists already", cure) from fault
    except OSError as fault:
        what = f"it cannot be written ({fault.strerror})"
        cure = "free space or repair the drive, then resume; what was there before is whole"
        raise InputError(str(path), what, cure) from fault


@contextmanager
def _read_faults(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as fault:
        raise _damaged(path, "it is missing") from fault
    except OSError as fault:
        raise _damaged(path, f"it cannot be read ({fault.strerror})") from fault
