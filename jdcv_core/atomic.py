"""Files and folders that are written whole or not at all, and locks between processes.

    with atomic_file(Path("table.csv")) as file:
        file.write("cv,score\\n")
    with atomic_folder(Path("model")) as temporary:
        save_into(temporary)

What is written has a temporary name in the same folder until it is on the disk; one rename then
gives it its real name. After a kill, a full disk or a power cut, the name has its old content or
the new one, never a part of it. A kill leaves the temporary name behind, and `remove_leftovers`
recognises it.

POSIX only. Processes of one machine may write different names in one folder at the same time. A
folder on a network drive must have writers on one machine only, because a leftover is recognised
by the process number of its writer.
"""

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Literal

from filelock import FileLock

from jdcv_core.errors import InputError

ENDING = "jdcv-tmp"
TEMPORARY = re.compile(rf"\.(.+)\.([1-9][0-9]{{0,8}})\.{ENDING}")


@contextmanager
def atomic_file(
    path: Path, mode: Literal["w", "wb"] = "w", errors: str | None = None
) -> Iterator[IO[Any]]:
    """Open a new file that gets the name `path` when the block ends, and replaces an existing file.

    mode:   "w" writes text as UTF-8 without changing line ends; "wb" writes bytes
    errors: how characters that UTF-8 cannot encode are written, as in `open`

    If the block raises, the new file is removed and `path` stays as it was.
    Raises OSError if the file cannot be written.

    >>> folder = Path(tempfile.mkdtemp())
    >>> with atomic_file(folder / "a.txt") as file:
    ...     print(file.write("whole"), (folder / "a.txt").exists())
    5 False
    >>> (folder / "a.txt").read_text(), len(list(folder.iterdir()))
    ('whole', 1)
    """
    temporary = _temporary(path)
    text = {"encoding": "utf-8", "newline": "", "errors": errors} if mode == "w" else {}
    try:
        with open(temporary, mode, **text) as file:  # type: ignore[call-overload]
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    sync_folder(path.parent)


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Make a temporary folder that gets the name `folder` when the block ends.

    folder: must not exist; its parents are made where they are missing

    Everything in it is on the disk before it gets its name. If the block raises, it is removed.
    Raises FileExistsError if `folder` exists, also where another process made it in the meantime;
    OSError if something cannot be written.

    >>> parent = Path(tempfile.mkdtemp())
    >>> with atomic_folder(parent / "model") as temporary:
    ...     print((temporary / "weights").write_bytes(b"123"), (parent / "model").exists())
    3 False
    >>> [path.name for path in parent.rglob("*")]
    ['model', 'weights']
    """
    if os.path.lexists(folder):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(folder))
    temporary = _temporary(folder)
    try:
        make_folders(folder.parent)
        _make_new(temporary)
        yield temporary
        sync_tree(temporary)
        _rename(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(folder.parent)


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Make an empty folder in `parent` that is removed when the block ends.

    For files that `folders.write_folder` then puts into a folder of the same parent: within one
    file system it links them and copies nothing. The parent is made where it is missing.
    Raises OSError if the folder cannot be made.
    """
    make_folders(parent)
    path = Path(tempfile.mkdtemp(f".{os.getpid()}.{ENDING}", ".scratch.", parent))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def remove_folder(folder: Path) -> None:
    """Remove a folder. A kill in between leaves the whole folder or nothing under its name.

    Raises InputError where the system refuses.
    """
    temporary = _temporary(folder)
    try:
        if os.path.lexists(temporary):
            shutil.rmtree(temporary)
        os.rename(folder, temporary)
        sync_folder(folder.parent)  # the new name reaches the disk before the first file goes
        shutil.rmtree(temporary)
    except OSError as fault:
        what = f"it cannot be removed ({fault.strerror})"
        raise InputError(str(folder), what, "remove it by hand; it is not needed") from fault


def remove_leftovers(parent: Path) -> None:
    """Remove the temporary folders that killed processes left, as far as the system allows it.

    A folder is removed only if it has a temporary name of this module and its process has ended or
    is this one, so call it while this process writes nothing there. If another program has got the
    process number since then, the leftover stays until that program has ended, too.
    """
    if not parent.is_dir():
        return
    for path in sorted(parent.iterdir()):
        found = TEMPORARY.fullmatch(path.name)
        if found and path.is_dir() and not path.is_symlink() and not _is_other(int(found[2])):
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def lock(path: Path) -> Iterator[bool]:
    """Take a lock between processes without waiting; yields whether this process has it.

    path: path of the lock file, which is created and not removed; its folder must exist

    The lock is released when the block ends, or when the process ends for any reason. This process
    does not get the lock if another process, or another block of this process, has it, or if the
    file cannot be written.

    >>> path = Path(tempfile.mkdtemp(), "lock")
    >>> with lock(path) as first, lock(path) as second:
    ...     print(first, second)
    True False
    """
    file = FileLock(path)
    with suppress(OSError):  # filelock.Timeout is one
        path.touch()  # FileLock would create a file that only this user can write
        file.acquire(timeout=0)
    try:
        yield file.is_locked
    finally:
        file.release()


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as fault:
        if fault.errno != errno.EINVAL:  # a file system that cannot do this for folders
            raise
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Wait until a folder and everything below it is on the disk."""
    for inner, _, names in os.walk(folder):
        for path in (Path(inner, name) for name in sorted(names)):
            if path.is_file():
                handle = os.open(path, os.O_RDONLY)
                try:
                    os.fsync(handle)
                finally:
                    os.close(handle)
        sync_folder(Path(inner))


def make_folders(folder: Path) -> None:
    """Make a folder and its parents where they are missing, and put their names on the disk."""
    if not folder.is_dir():
        make_folders(folder.parent)
        with suppress(FileExistsError):  # another process was faster
            os.mkdir(folder)
        sync_folder(folder.parent)


def _temporary(path: Path) -> Path:
    return path.parent / f".{path.name}.{os.getpid()}.{ENDING}"


def _make_new(temporary: Path) -> None:
    try:
        os.mkdir(temporary)
    except FileExistsError:  # left by an ended process that had our number
        shutil.rmtree(temporary)
        os.mkdir(temporary)


def _rename(temporary: Path, folder: Path) -> None:
    try:
        os.rename(temporary, folder)
    except OSError as fault:
        if fault.errno == errno.ENOTEMPTY:  # another process was faster
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(folder)) from fault
        raise


def _is_other(process: int) -> bool:
    """Return whether another process with this number is running."""
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        return True
    return True
