"""Files that are made to harm who reads them."""

from collections.abc import Iterator


def bombs() -> Iterator[tuple[str, bytes]]:
    yield from ()
