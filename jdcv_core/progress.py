"""Progress on stderr for anything that may take longer than two seconds."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

console = Console(stderr=True)
if not console.is_terminal:  # a log file has no width to keep to
    console = Console(stderr=True, width=120)


@contextmanager
def progress(description: str, total: int | None, least: int = 0) -> Iterator[Any]:
    """Show a bar; yields a function `advance(steps=1, note="")`.

    total: number of steps; None: no end is known
    least: there is no bar for fewer steps than this, because they take less than two seconds

    On a terminal the bar is live. Elsewhere (a log file, CI) one line is printed at the end.

    >>> with progress("Encoding", total=3) as advance:  # doctest: +SKIP
    ...     advance(3, note="2 documents/s")
    """
    if total is not None and total < least:
        yield lambda steps=1, note=None: None
        return
    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", style="dim"),
    )
    with Progress(*columns, console=console, refresh_per_second=4) as bars:
        task = bars.add_task(description, total=total, note="")

        def advance(steps: int = 1, note: str | None = None) -> None:
            bars.update(task, advance=steps)
            if note is not None:
                bars.update(task, note=note)

        yield advance
