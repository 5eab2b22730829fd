"""Print the estimated operations, memory and hours of each row (`estimate=true`)."""

import os
from collections.abc import Sequence

import torch
from rich.console import Console
from rich.table import Table

from jdcv_core.training.cost import SHARE_GPU, SHARE_HERE, Estimate

TOO_LARGE = "it needs more memory than this machine has"


def show(
    estimates: Sequence[Estimate],
    here: float,
    kind: str,
    gpu_tflops: float | None = None,
    memory_here: float | None = None,
    console: Console | None = None,
) -> None:
    """Print a table of the estimates with its assumptions.

    here, kind:  measured rate of matrix products, FLOP/s, and the device: "cpu" or "cuda"
    gpu_tflops:  TFLOP/s of the GPU that the estimates include; None if they include none
    memory_here: bytes of memory of this machine; None means that the system is asked
    """
    console = console or Console()
    memory_here = available_memory(kind) if memory_here is None else memory_here
    table = Table(title="Estimate; nothing has run yet", title_justify="left", box=None)
    table.add_column("", no_wrap=True)
    for heading in _headings(gpu_tflops is not None):
        table.add_column(heading, justify="right", no_wrap=True)
    for estimate in estimates:
        table.add_row(*cells(estimate, memory_here))
    console.print(table)
    console.print(assumptions(here, kind, gpu_tflops), style="dim", highlight=False, soft_wrap=True)
    for estimate in estimates:
        if estimate.here_bytes > memory_here:
            console.print(
                f"{estimate.work.name}: {TOO_LARGE} ({_gigabytes(memory_here)} GB). Give a smaller "
                "encoder, training.tuning=lora or training.gradient_checkpointing=true.",
                style="red",
                highlight=False,
                soft_wrap=True,
            )


def cells(estimate: Estimate, memory_here: float) -> list[str]:
    """Format a row of the table; more memory than this machine has is marked with an !"""
    work = estimate.work
    flag = "!" if estimate.here_bytes > memory_here else ""
    texts = [
        work.name,
        short(work.parameters),
        short(work.trained),
        short(work.tokens + work.eval_tokens),
        f"{estimate.flops / 1e15:,.3g}",
        f"{_gigabytes(estimate.here_bytes)}{flag}",
        duration(estimate.here_hours),
    ]
    if estimate.gpu_hours is not None and estimate.gpu_bytes is not None:
        texts += [_gigabytes(estimate.gpu_bytes), duration(estimate.gpu_hours)]
    return texts


def assumptions(here: float, kind: str, gpu_tflops: float | None) -> str:
    """Describe the assumptions behind the hours."""
    share = SHARE_HERE if kind == "cpu" else SHARE_GPU
    said = (
        f"Here: matrix products run at {here / 1e12:,.3g} TFLOP/s, measured now on the {kind}; "
        f"training is assumed to reach {share:.0%} of that."
    )
    if gpu_tflops is not None:
        said += (
            f" One GPU is assumed to reach {SHARE_GPU:.0%} of its {gpu_tflops:g} TFLOP/s (dense "
            "bf16), as GPT-2 124M did on an H200 in full tuning (with LoRA 11%); the models in "
            "table 3 of Chowdhery et al. 2022 reached 21% to 46%."
        )
    return said + " Memory is the peak of a step, within about 30%, without libraries."


def available_memory(kind: str) -> float:
    """Return the free bytes of the GPU, or all bytes of the machine's memory."""
    if kind == "cuda":
        return float(torch.cuda.mem_get_info()[0])
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):  # some systems do not report it
        return float("inf")


def duration(hours: float) -> str:
    """Format a duration, given in hours.

    >>> [duration(h) for h in (0.001, 0.5, 30, 1000)]
    ['4 s', '30 min', '30.0 h', '41.7 days']
    """
    if hours < 1 / 60:
        return f"{hours * 3600:.0f} s"
    if hours < 1:
        return f"{hours * 60:.0f} min"
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:,.1f} days"


def short(count: int) -> str:
    """Shorten a count with a letter for thousands, millions or billions.

    >>> [short(n) for n in (950, 3_160_000, 124_439_808, 1_557_611_200)]
    ['950', '3.2M', '124M', '1.6B']
    """
    for size, letter in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if count >= size:
            number = count / size
            return f"{number:.0f}{letter}" if number >= 10 else f"{number:.1f}{letter}"
    return str(count)


def _headings(gpu: bool) -> list[str]:
    names = ["params", "trained", "tokens", "PFLOP", "GB\nhere", "time\nhere"]
    return [*names, "GB on\na GPU", "time on\na GPU"] if gpu else names


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:,.1f}"
