"""Calls of `os` that tests watch or let fail, and damage to a file."""

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
    """Calls of `os` that change files become `act(number, name, arguments, do)`, counted from 1."""
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
    """The call number `at` fails with `code`; yields the list of the calls that did."""
    failed = []

    def act(number, name, _args, do):
        if number != at and not (number > at and how == "from then on"):
            return do()
        if name == "close":
            do()  # a close that fails has closed
        failed.append(name)
        raise OSError(code, os.strerror(code))

    with watched_os(act):
        yield failed


def error_of(do):
    """The message of the InputError that `do` raises; none: an empty text."""
    try:
        do()
    except InputError as fault:
        return str(fault)
    return ""


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.unlink()  # not in place: another folder may share the file
    path.write_bytes(data)
