"""Reads the files of CVs and JDs, of any kind, wherever one is given. Ours.

Plain text is read here; every other kind by a child process, which may crash, hang or need too much
memory without harm. One child reads many files, and is replaced when it ends.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from threading import Timer
from typing import Any

from jdcv_core.data.decoding import decode
from jdcv_core.data.documents.file_text import FileText, Hidden, HiddenMode, Limits, Piece
from jdcv_core.data.documents.invisible import revealed
from jdcv_core.data.documents.kinds import READABLE, kind_of, missing_library, other_kind
from jdcv_core.data.documents.refused import Refused
from jdcv_core.data.rows import text_fault
from jdcv_core.errors import InputError, several
from jdcv_core.progress import progress

FILES_A_CHILD = 200
"""After as many files a child is replaced, so that what libraries do not free is freed."""
LARGEST_ANSWER = 200_000_000
ROOT = Path(__file__).resolve().parents[3]
AS_TEXT = "save it as text (.txt)"


def read_file(
    path: str | Path, *, hidden: HiddenMode = "drop", limits: Limits | None = None
) -> FileText:
    """The text of a file with its report. For several files use `read_files`, which is faster.

    path:   a file of plain text, PDF, Word (DOCX), RTF or HTML, by its content, whatever its name
    hidden: "drop" leaves hidden text out, "keep" leaves it in; it is reported either way
    limits: None: the default ones of `Limits`

    Raises InputError, with what to do, for a file that cannot be read: of another kind, encrypted,
    damaged, a scan without text, text without Unicode values, or larger than the limits; and if the
    extra `documents` is needed and not installed.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "ada.txt"
    >>> _ = file.write_text("Ada Baker", encoding="utf-8")
    >>> read_file(file).text
    'Ada Baker'
    """
    (found,) = read_files([Path(path)], hidden=hidden, limits=limits)
    if isinstance(found, Refused):
        raise InputError(str(path), found.what, found.cure)
    return found


def read_files(
    files: Sequence[Path | bytes],
    *,
    hidden: HiddenMode = "drop",
    limits: Limits | None = None,
    workers: int | None = None,
    advance: Callable[[], None] = lambda: None,
) -> list[FileText | Refused]:
    """Each file's text or the reason why it cannot be read, in the order of `files`.

    files:          paths, or the contents of files, such as uploads
    hidden, limits: as of `read_file`
    workers:        processes that read at the same time; None: one for each processor, at most 4
    advance:        called after each file
    """
    limits = limits or Limits()
    count = min(workers or min(4, os.cpu_count() or 1), max(1, len(files)))
    idle: SimpleQueue[_Child] = SimpleQueue()
    children = [_Child() for _ in range(count)]
    for child in children:
        idle.put(child)

    def read(file: Path | bytes) -> FileText | Refused:
        child = idle.get()
        try:
            data = file if isinstance(file, bytes) else _bytes(file, limits)
            return _read(child, data, hidden, limits)
        except Refused as refused:
            return refused
        finally:
            idle.put(child)
            advance()

    try:
        if count == 1:
            return [read(file) for file in files]
        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(read, files))
    finally:
        for child in children:
            child.stop()


def read_all(
    files: Mapping[Path, str],
    where: str,
    *,
    hidden: HiddenMode = "drop",
    limits: Limits | None = None,
    faults: Sequence[tuple[str, str, str]] = (),
) -> dict[Path, FileText]:
    """Each file with its text, in order; or one InputError for all that cannot be read.

    files:  path → what a message calls it; where: what they belong to, for the error and progress
    faults: (where, what, cure) of files that are known to be unusable already
    """
    with progress(f"Reading {Path(where).name}", len(files), least=50) as advance:
        read = read_files(list(files), hidden=hidden, limits=limits, advance=advance)
    texts: dict[Path, FileText] = {}
    refused = list(faults)
    for (path, name), found in zip(files.items(), read, strict=True):
        if isinstance(found, Refused):
            refused.append((name, found.what, found.cure))
        else:
            texts[path] = found
    if refused:
        raise several(where, "{} files cannot be used", refused)
    return texts


def read_bytes(
    data: bytes, where: str, *, hidden: HiddenMode = "drop", limits: Limits | None = None
) -> FileText:
    """As `read_file`, for the content of a file, such as an upload. where: its name, for messages.

    >>> read_bytes(b"Ada Baker", "an upload").kind
    'text'
    """
    (found,) = read_files([data], hidden=hidden, limits=limits)
    if isinstance(found, Refused):
        raise InputError(where, found.what, found.cure)
    return found


def page_picture(
    data: bytes, where: str, number: int, *, scale: float = 1.5, limits: Limits | None = None
) -> bytes:
    """A page of a PDF as a PNG picture; a box of `FileText` times `scale` is its place in pixels.

    data, where: as of `read_bytes`; number: of the page, from 1; scale: pixels a point

    Raises InputError if it is no PDF, has no such page, or as `read_bytes` does.
    """
    child = _Child()
    try:
        if kind_of(data) != "PDF":
            raise Refused("it is no PDF", "give a PDF")
        asked = {"task": "picture", "page": number, "scale": scale}
        payload = _ask(child, data, "PDF", asked, limits or Limits())
        if payload.startswith(b"{"):
            raise Refused(*json.loads(payload)["refused"])
        return payload
    except Refused as refused:
        raise InputError(where, refused.what, refused.cure) from refused
    finally:
        child.stop()


def _bytes(path: Path, limits: Limits) -> bytes:
    try:
        size = path.stat().st_size
        if size > limits.megabytes * 1_000_000:
            what = f"it has {size / 1e6:,.0f} megabytes, more than {limits.megabytes}"
            raise Refused(what, "give the CV or JD alone, with smaller pictures")
        return path.read_bytes()
    except OSError as error:
        raise Refused(f"it cannot be read ({error.strerror})", "check the file") from error


def _read(child: _Child, data: bytes, hidden: HiddenMode, limits: Limits) -> FileText:
    """The text of a file's content. Raises Refused."""
    kind = kind_of(data)
    if kind not in READABLE:
        return _plain(data, hidden, limits)
    if missing := missing_library(kind):
        raise Refused(*missing)
    payload = _ask(child, data, kind, {"task": "read", "hidden": hidden}, limits)
    answer = json.loads(payload)
    if "refused" in answer:
        raise Refused(*answer["refused"])
    return FileText.from_dict(answer)


def _plain(data: bytes, hidden: HiddenMode, limits: Limits) -> FileText:
    """Plain text, as it is but for characters that no one sees. Raises Refused."""
    if fault := other_kind(data):
        raise Refused(*fault)
    text = decode(data)
    if wrong := text_fault("the text", text, limits.characters):
        _, what, cure = wrong
        raise Refused(what, cure.replace("remove the row", "remove the file"))
    pieces = revealed([Piece(text)])
    parts: list[str] = []
    found: list[Hidden] = []
    for piece in pieces:
        if piece.way:
            found.append(Hidden(piece.text, piece.way, sum(map(len, parts))))
        if not piece.way or hidden == "keep":
            parts.append(piece.text)
    shown = "".join(parts)
    if not shown.strip():
        raise Refused("all its text is hidden", "open it in an editor, and save what you see")
    return FileText("text", shown, hidden=tuple(found))


def _ask(child: _Child, data: bytes, kind: str, asked: dict[str, Any], limits: Limits) -> bytes:
    """The child's answer. Raises Refused if it ends instead."""
    if len(data) > limits.megabytes * 1_000_000:
        raise Refused(f"it has more than {limits.megabytes} megabytes", "give the CV or JD alone")
    request = {**asked, "kind": kind, "size": len(data), "limits": asdict(limits)}
    pages = limits.pages if kind == "PDF" else 0
    seconds = 10 + 4 * (limits.seconds + pages * limits.seconds_a_page)
    payload = child.answer(json.dumps(request).encode() + b"\n" + data, seconds)
    if payload is None:
        what = f"reading this {kind} file takes too much time or memory, or stops its reader"
        raise Refused(what, f"it may be damaged or hostile; open it elsewhere, and {AS_TEXT}")
    return payload


class _Child:
    """A process that reads files; it is started when it is needed, and again if it has ended."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.left = 0

    def answer(self, request: bytes, seconds: float) -> bytes | None:
        """The answer to a request; None if the process ends, or does not answer in `seconds`."""
        if self.left == 0:
            self.stop()
            self._start()
        self.left -= 1
        process = self.process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        timer = Timer(seconds, process.kill)
        timer.start()
        try:
            process.stdin.write(request)
            process.stdin.flush()
            size = int(json.loads(process.stdout.readline(100))["size"])
            payload = process.stdout.read(size) if size < LARGEST_ANSWER else b""
            if len(payload) == size:
                return payload
        except (OSError, ValueError):
            pass
        finally:
            timer.cancel()
        self.stop()
        return None

    def stop(self) -> None:
        """End the process, if there is one."""
        self.left = 0
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None

    def _start(self) -> None:
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "jdcv_core.data.documents.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **one_thread, "PYTHONPATH": os.pathsep.join(paths)},
        )
        self.left = FILES_A_CHILD
