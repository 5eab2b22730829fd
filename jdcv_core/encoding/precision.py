"""Choose bf16 where it is faster: the speed is measured once for each machine and model."""

from __future__ import annotations

import platform
import time
from copy import deepcopy

import torch

from jdcv_core.encoding.encoder import DTYPES, Encoder
from jdcv_core.encoding.model_files import fingerprint
from jdcv_core.encoding.vector_store import VectorStore
from jdcv_core.progress import progress

REPEATS = 3
CLEARLY = 1.1
"""bf16 is chosen if it is this many times as fast as fp32; less is not worth the rounding."""


def settle_precision(encoder: Encoder, store: VectorStore | None = None) -> str:
    """Replace the encoder's precision "auto" by "fp32" or "bf16", whichever is faster.

    The choice is kept in `store` for these weights and this machine (processor, torch version,
    number of threads). A second measurement could choose the other precision, and no stored vector
    would be found. An encoder with another precision is not changed. Returns the precision.
    """
    if encoder.precision != "auto":
        return encoder.precision
    key = fingerprint("precision", encoder.weights_fingerprint, machine(encoder.device))
    kept = None if store is None else store.note(key)
    if kept is None:
        seconds = measure_precisions(encoder)
        kept = "bf16" if seconds["bf16"] * CLEARLY < seconds["fp32"] else "fp32"
        kept = kept if store is None else store.keep_note(key, kept)
    encoder.set_precision("bf16" if kept == "bf16" else "fp32")
    return encoder.precision


def measure_precisions(encoder: Encoder) -> dict[str, float]:
    """Measure the seconds of one forward pass in each precision: the best of interleaved repeats.

    The input is one row of random tokens, as long as the longest chunk but at most 512. The
    encoder's counters and precision do not change.
    """
    numbers = torch.Generator().manual_seed(0)
    words = (1, min(encoder.max_tokens, 512))
    chunks = torch.randint(encoder.tokenizer.get_vocab_size(), words, generator=numbers).tolist()
    batch = encoder.rows(chunks)
    modules = {"fp32": encoder.module, "bf16": deepcopy(encoder.module).to(DTYPES["bf16"])}
    best = dict.fromkeys(modules, float("inf"))
    with progress("Choosing fp32 or bf16", REPEATS + 1) as advance, torch.inference_mode():
        for repeat in range(REPEATS + 1):
            for name, module in modules.items():
                start = time.perf_counter()
                encoder.network.vectors(module, *batch).cpu()
                if repeat:  # the first repeat is a warm-up
                    best[name] = min(best[name], time.perf_counter() - start)
            advance()
    return best


def machine(device: str) -> str:
    """Describe, as a string, what the speed of a precision depends on."""
    if device.startswith("cuda"):
        kind = torch.cuda.get_device_name(device)
    else:
        kind = fingerprint(platform.machine(), _processor())
    return f"{kind}, torch {torch.__version__}, {torch.get_num_threads()} threads"


def multiplies_bf16() -> bool:
    """Return whether this processor has instructions for products of bf16 matrices.

    Without them bf16 is emulated and slower than fp32. Only Linux lists the instructions; on other
    systems the result is False.
    """
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(_processor().split())


def _processor() -> str:
    """Return the processor's name and instruction sets as Linux lists them."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            fields = dict(line.split(":", 1) for line in lines if ":" in line)
    except OSError:
        return platform.processor()
    known = {name.strip().lower(): value for name, value in fields.items()}
    return " ".join(known.get(name, "") for name in ("model name", "flags", "features"))
