"""Measure rows of several chunks: shared prefix, packed encoding, and the share of the matmul rate.

shared_prefix  one row [JD | chunk | ...] against separate passes over [JD, chunk]. The limit is
               1 + P / C for a prefix of P tokens and chunks of C
mixed          tokens per second of chunks of mixed lengths, packed and padded, against chunks that
               fill the window
matmul         operations per second of a forward pass on long rows, as a share of the rate of large
               matrix products on the same device, in fp32 and bf16

The model has GPT-2's 124M shape (on a CPU fewer layers) and RANDOM weights: its vectors are
meaningless, but its speed is that of GPT-2. On a CPU the first two are measured in fp32, on CUDA in
bf16. Rivals take turns within each repeat, and the fastest repeat of each counts. The last line of
the output is one JSON object; its figures of the shared prefix are those of the first case.
  python benchmarks/context.py              # under 3 minutes on one core
  python benchmarks/context.py --compile    # also with torch.compile
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from jdcv_core.encoding.attention_backends import use_row_attention
from jdcv_core.encoding.encoder import BATCH_TOKENS, DTYPES, Encoder
from jdcv_core.encoding.loaders import fuse_gelu, gpt2_config
from jdcv_core.encoding.network import Network
from jdcv_core.encoding.precision import multiplies_bf16
from jdcv_core.encoding.row_layout import shared_prefix
from jdcv_core.encoding.states import decoder_states, decoder_vectors, pool_states
from jdcv_core.progress import progress
from jdcv_core.training.cost import matmul_rate, synchronize

Rivals = dict[str, Callable[[], object]]


@dataclass(frozen=True)
class Sizes:
    """What is measured on a kind of device.

    precision: of the shared prefix and of mixed lengths
    prefixes:  prefix, chunk and number of chunks of each case, in tokens
    tokens:    size of the samples of mixed and of long chunks, in tokens
    budgets:   tokens in a batch of mixed lengths; the first one is the encoder's
    """

    layers: int
    precision: str
    prefixes: tuple[tuple[int, int, int], ...]
    tokens: int
    budgets: tuple[int, ...]


SIZES = {
    "cpu": Sizes(1, "fp32", ((192, 128, 32), (192, 192, 12)), 5_000, (BATCH_TOKENS["cpu"],)),
    "cuda": Sizes(
        12,
        "bf16",
        ((600, 128, 256), (600, 424, 128)),
        2_000_000,
        (BATCH_TOKENS["cuda"], 32_768, 16_384),
    ),
}


def main() -> None:
    options = arguments()
    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    sizes = SIZES[torch.device(device).type]
    model = random_gpt2(sizes.layers)
    encoder = make_encoder(model, sizes.precision, device)
    figures: dict[str, Any] = {
        "benchmark": "context",
        "encoder": f"GPT-2 124M shape, {sizes.layers} layers, random weights",
        "device": torch.cuda.get_device_name(device) if device != "cpu" else "cpu",
        "threads": torch.get_num_threads(),
        "load_at_start": os.getloadavg()[0],
        "precision": sizes.precision,
        "shared_prefix": [prefix(encoder, *case, options.repeats) for case in sizes.prefixes],
        "mixed": mixed(encoder, sizes, options.repeats),
        "matmul": matmul(model, device, options.repeats, options.compile),
    }
    figures |= {
        "speedup_over_separate": figures["shared_prefix"][0]["speedup"],
        "share_of_limit": figures["shared_prefix"][0]["share_of_limit"],
        "mixed_over_long": figures["mixed"]["chosen_over_long"],
        "share_of_matmul_bf16": figures["matmul"].get("bf16", {}).get("share"),
        "share_of_matmul_fp32": figures["matmul"]["fp32"]["share"],
    }
    show(figures)
    print(json.dumps(figures))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1")
    parser.add_argument("--repeats", type=int, default=3, help="repeats of each rival")
    parser.add_argument("--compile", action="store_true", help="long rows with torch.compile, too")
    return parser.parse_args()


def random_gpt2(layers: int) -> nn.Module:
    """Make GPT-2 with random weights in fp32 that reads rows of several chunks."""
    from transformers import GPT2Model

    config = gpt2_config("gpt2")
    config.n_layer = layers
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = GPT2Model(config).eval()
    fuse_gelu(model)
    use_row_attention(model)
    return model


def make_encoder(model: Any, precision: Any, device: str) -> Encoder:
    """Make an encoder of the model; it takes the last token of each chunk."""
    network = Network(
        load=lambda: model,
        vectors=partial(decoder_vectors, pooling="last"),
        dim=model.config.n_embd,
        window=model.config.n_positions,
        parameters=sum(p.numel() for p in model.parameters()),
        identity={},
        states=decoder_states,
        pool=partial(pool_states, pooling="last"),
    )
    return Encoder("random GPT-2", network, None, precision, device)  # type: ignore[arg-type]


def random_tokens(*shape: int) -> list[Any]:
    return np.random.default_rng(sum(shape)).integers(50_257, size=shape).tolist()


def race(rivals: Rivals, repeats: int, title: str, device: str) -> dict[str, float]:
    """Measure the seconds of each rival's fastest turn; the first turn of each is a warm-up."""
    best = dict.fromkeys(rivals, float("inf"))
    with progress(title, (repeats + 1) * len(rivals)) as advance, torch.inference_mode():
        for repeat in range(repeats + 1):
            for name, rival in rivals.items():
                synchronize(device)
                start = time.perf_counter()
                rival()
                synchronize(device)
                if repeat:
                    best[name] = min(best[name], time.perf_counter() - start)
                advance()
    return best


def prefix(encoder: Encoder, own: int, chunk: int, count: int, repeats: int) -> dict[str, Any]:
    """Compare one row [prefix | chunk | ...] with a pass over [prefix, chunk] for each chunk."""
    jd, chunks = random_tokens(own), random_tokens(count, chunk)
    layout = shared_prefix(own, [chunk] * count)
    ids = torch.tensor([*jd, *(i for one in chunks for i in one)], device=encoder.device)
    last = torch.tensor(layout.offsets[2:], device=encoder.device) - 1
    network, module = encoder.network, encoder.module
    assert network.states is not None
    states = network.states
    rows = [[*jd, *one] for one in chunks]
    batches = encoder.batches([own + chunk] * count)

    def shared() -> Tensor:
        return states(module, ids, layout)[-1][last].float()

    def separate() -> Tensor:
        own = [encoder.vectors(module, [rows[i] for i in b], packed=False) for b in batches]
        return torch.cat(own)[torch.tensor([i for b in batches for i in b]).argsort()]

    with torch.inference_mode():
        found, wanted = shared(), separate()
    title = f"Shared prefix, {own} + {count} x {chunk}"
    seconds = race({"shared": shared, "separate": separate}, repeats, title, encoder.device)
    limit, speedup = 1 + own / chunk, seconds["separate"] / seconds["shared"]
    return {
        "prefix": own,
        "chunk": chunk,
        "chunks": count,
        "tokens_separate_over_shared": count * (own + chunk) / layout.length,
        "relative_difference": ((found - wanted).norm() / wanted.norm()).item(),
        "seconds": seconds,
        "speedup": speedup,
        "limit": limit,
        "share_of_limit": speedup / limit,
    }


def mixed(encoder: Encoder, sizes: Sizes, repeats: int) -> dict[str, Any]:
    """Compare tokens per second of mixed lengths with those of chunks that fill the window.

    The lengths are uniform between 16 tokens and the window. "chosen" is `encode_chunks` as it is,
    with each budget of tokens in a batch; "padded" is the same without packed rows.
    """
    window = encoder.network.window
    lengths = np.random.default_rng(0).integers(16, window + 1, 2 * sizes.tokens // window)
    chunks = [random_tokens(int(n)) for n in lengths]
    full = random_tokens(sizes.tokens // window, window)
    padded = replace(encoder, network=replace(encoder.network, states=None))

    def encode(encoder: Encoder, given: Sequence[Sequence[int]], budget: int | None = None) -> None:
        encoder.batch_tokens = budget
        encoder.encode_chunks(given)
        encoder.batch_tokens = None

    rivals: Rivals = {
        "long": partial(encode, encoder, full),
        "padded": partial(encode, padded, chunks),
        **{f"chosen_{n}": partial(encode, encoder, chunks, n) for n in sizes.budgets},
    }
    seconds = race(rivals, repeats, "Mixed lengths", encoder.device)
    tokens = {"long": sum(map(len, full))}
    rates = {name: tokens.get(name, sum(map(len, chunks))) / s for name, s in seconds.items()}
    return {
        "chunks": len(chunks),
        "packed": encoder.plan(chunks).packed,
        "tokens_per_second": rates,
        "chosen_over_long": rates[f"chosen_{sizes.budgets[0]}"] / rates["long"],
        "padded_over_long": rates["padded"] / rates["long"],
    }


def matmul(model: Any, device: str, repeats: int, compiled: bool) -> dict[str, Any]:
    """Measure which share of the rate of large matrix products a pass over long rows reaches.

    bf16 is left out on a processor without instructions for it, which emulates it slowly.
    """
    figures: dict[str, Any] = {}
    for precision, dtype in DTYPES.items():
        if precision == "bf16" and device == "cpu" and not multiplies_bf16():
            continue
        encoder = make_encoder(deepcopy(model), precision, device)
        window = encoder.network.window
        rows = encoder.batches([window] * 64)[0]
        batch = encoder.rows(random_tokens(len(rows), window))
        rivals: Rivals = {"plain": partial(encoder.network.vectors, encoder.module, *batch)}
        if compiled:
            other = deepcopy(encoder.module)
            for block in other.h:  # type: ignore[union-attr]
                block.compile()
            rivals["compiled"] = partial(encoder.network.vectors, other, *batch)
            started = time.perf_counter()
            with torch.inference_mode():
                rivals["compiled"]()
            synchronize(device)
            figures[f"seconds_to_compile_{precision}"] = time.perf_counter() - started
        seconds = race(rivals, repeats, f"Matrix products in {precision}", device)
        rate = matmul_rate(device, dtype == torch.bfloat16, seconds=2.0)
        work = operations(model, len(rows), window)
        figures[precision] = {
            "rows": len(rows),
            "tokens_per_second": len(rows) * window / seconds["plain"],
            "tflops": work / seconds["plain"] / 1e12,
            "matmul_tflops": rate / 1e12,
            "share": work / seconds["plain"] / rate,
            **({"share_compiled": work / seconds["compiled"] / rate} if compiled else {}),
        }
    return figures


def operations(model: Any, rows: int, length: int) -> int:
    """Count the operations of a pass: the layers' matrices, and attention up to each query."""
    width, layers = model.config.n_embd, model.config.n_layer
    products = 2 * rows * length * 12 * width * width
    attention = 4 * rows * (length * (length + 1) // 2) * width
    return layers * (products + attention)


def show(figures: dict[str, Any]) -> None:
    table = Table("figure", "value", title=f"{figures['encoder']} on {figures['device']}")
    for case in figures["shared_prefix"]:
        table.add_row(
            f"one row of {case['prefix']} + {case['chunks']} x {case['chunk']}, over separate",
            f"{case['speedup']:.2f} x, {case['share_of_limit']:.0%} of {case['limit']:.2f}",
        )
    mixed = figures["mixed"]
    for name, rate in mixed["tokens_per_second"].items():
        table.add_row(f"tokens/s, {name}", f"{rate:,.0f}")
    table.add_row("mixed over long", f"{mixed['chosen_over_long']:.0%}")
    table.add_row("mixed over long, padded", f"{mixed['padded_over_long']:.0%}")
    for name in DTYPES:
        if name in figures["matmul"]:
            share = figures["matmul"][name]["share"]
            table.add_row(f"share of the matmul rate, {name}", f"{share:.0%}")
    Console().print(table)


if __name__ == "__main__":
    main()
