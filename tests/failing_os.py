"""Watch calls of `os`, make them fail, and damage files."""

import errno
import itertools
import os
from contextlib import contextmanager

import pytest

from jdcv_core.errors import InputError

CALLS = (
    "open", "write", "fsync", "close", "rename", "replace", "mkdir", "link", "unlink", "rmdir",
)  # fmt: skip
FAULTS = [(errno.ENOSPC, "once"), (errno.EIO, "from then on")]


@contextmanager
def watched_os(act):
    """Replace calls of `os` that change files by `act(number, name, arguments, do)`, from 1 on."""
    numbers = itertools.count(1)

    def watched(name, real):
        return lambda *args, **options: act(
            next(numbers), name, args, lambda: real(*args, **options)
        )

    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, watched(name, getattr(os, name)))
        yield


@contextmanager
def failing_os(at, code, how):
    """Let the call number `at` fail with `code`; yield the list of calls that failed."""
    failed = []

    def act(number, name, _args, do):
        if number != at and not (number > at and how == "from then on"):
            return do()
        if name == "close":
            do()  # a failing close still closes the file
        failed.append(name)
        raise OSError(code, os.strerror(code))

    with watched_os(act):
        yield failed


def error_of(do):
    """Return the message of the InputError that `do` raises, or an empty string."""
    try:
        do()
    except InputError as fault:
        return str(fault)
    return ""


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.unlink()  # replace the file, since another folder may link to it
    path.write_bytes(data)
