"""The error by which a format says that a file cannot be read, and what its owner can do. Ours."""

from __future__ import annotations


class Refused(Exception):
    """A file cannot be read. what: is wrong; cure: what to do. The door adds the file's name."""

    def __init__(self, what: str, cure: str) -> None:
        super().__init__(what, cure)
        self.what, self.cure = what, cure


def check_length(characters: int, most: int) -> None:
    """Raises Refused for more characters than `most`."""
    if characters > most:
        what = f"it has {characters:,} characters, more than {most:,}"
        raise Refused(what, "give the CV or JD alone")
