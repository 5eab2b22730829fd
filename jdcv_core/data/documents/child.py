"""The process that reads files for another one, which survives if this one crashes. Ours.

It is started by `reading`. Each request is a line of JSON and the bytes of a file, each answer a
line of JSON with the size of what follows. It reads and writes no file, and has limits on memory
and on its processor time.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from jdcv_core.data.documents.file_text import Limits
from jdcv_core.data.documents.refused import Refused, check_length

AS_TEXT = "get a whole copy, or save it as text (.txt)"


def main() -> None:
    """Answer requests until there are no more."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # whatever a library prints is no answer
        os.dup2(nowhere, stream)
    sys.setrecursionlimit(3000)
    while line := requests.readline():
        request = json.loads(line)
        payload = _answer(request, requests.read(request["size"]))
        answers.write(json.dumps({"size": len(payload)}).encode() + b"\n" + payload)
        answers.flush()


def _answer(request: dict[str, Any], data: bytes) -> bytes:
    """JSON of a FileText or of a refusal; or a picture."""
    limits = Limits(**request["limits"])
    task = _task(request["task"], request["kind"])
    next_page = _limit(limits)
    try:
        if request["task"] == "picture":
            return task(data, request["page"], request["scale"])
        if request["kind"] == "PDF":
            read = task(data, request["hidden"], limits, next_page)
        else:
            read = task(data, request["hidden"], limits)
        check_length(len(read.text), limits.characters)
        return json.dumps(read.as_dict()).encode()
    except Refused as refused:
        found = (refused.what, refused.cure)
    except MemoryError:
        found = (f"it needs more than {limits.memory:,} megabytes of memory", AS_TEXT)
    except RecursionError:
        found = ("it is nested too deeply", AS_TEXT)
    except Exception as error:  # a fault of the library or ours, on a file of any content
        found = (f"it is damaged, or of an unknown form ({type(error).__name__})", AS_TEXT)
    finally:
        _no_limit()
    return json.dumps({"refused": found}).encode()


def _task(task: str, kind: str) -> Callable[..., Any]:
    """The function for a task; only its library is imported."""
    if kind == "PDF":
        from jdcv_core.data.documents import pdf

        return pdf.page_picture if task == "picture" else pdf.read_pdf
    if kind == "Word":
        from jdcv_core.data.documents.word import read_word

        return read_word
    if kind == "RTF":
        from jdcv_core.data.documents.rtf import read_rtf

        return read_rtf
    from jdcv_core.data.documents.web import read_web

    return read_web


try:
    import resource
    import signal

    def _limit(limits: Limits) -> Callable[[int], None]:
        """Set the limits; the system ends the process that passes one of time. The function that is
        returned grants the time for the page with an index."""
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        memory = limits.memory * 1_000_000
        resource.setrlimit(resource.RLIMIT_AS, (memory, hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.setitimer(signal.ITIMER_PROF, limits.seconds)

        def next_page(index: int) -> None:
            if index:
                left = signal.getitimer(signal.ITIMER_PROF)[0]
                signal.setitimer(signal.ITIMER_PROF, left + limits.seconds_a_page)

        return next_page

    def _no_limit() -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)

except ImportError:  # Windows has no such limits; `reading` ends the process after a time

    def _limit(limits: Limits) -> Callable[[int], None]:
        return lambda index: None

    def _no_limit() -> None:
        pass


if __name__ == "__main__":
    main()
