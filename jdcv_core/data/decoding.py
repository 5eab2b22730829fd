"""Bytes → text, in the encoding of their byte order mark. Ours."""

MARKS = {
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
"""Byte order marks. That of UTF-32 begins as that of UTF-16 and is tried first."""


def encoding_of(start: bytes) -> str:
    """The encoding that a byte order mark names, else UTF-8. start: the first four bytes."""
    for mark, encoding in MARKS.items():
        if start.startswith(mark):
            return encoding
    return "utf-8"


def decode(data: bytes) -> str:
    """Text in the encoding of its byte order mark (UTF-8, UTF-16, UTF-32), else in UTF-8.

    What is not in that encoding becomes lone surrogates, for `text_fault` to name. Then the mark
    is not taken off, so that positions count all bytes.
    """
    try:
        return data.decode(encoding_of(data[:4]))
    except UnicodeDecodeError:
        return data.decode("utf-8", "surrogateescape")
