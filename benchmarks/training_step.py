"""Measure seconds and memory of a GPT-2 training step, and its share of the matrix product rate.

A step is forward, backward and AdamW on one batch of full chunks, in autocast with fp32 weights.
The weights are RANDOM: the speed is that of GPT-2, and the loss, printed for each step, falls as
the model memorises the batch. The first step is a warm-up; the median of the others counts.

share is operations of a step per second (with those that checkpointing repeats) / the measured
rate of large matrix products in the same precision. Peak memory is torch's on CUDA; on a CPU it is
the growth of the process. The last line is one JSON object; its figures are those without
checkpointing, except those with "checkpointing" in their names.
  python benchmarks/training_step.py                                        # a GPU: 8 x 1,024
  python benchmarks/training_step.py --batch 1 --tokens 256 --steps 2       # a CPU
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from typing import Any

import torch
from torch import nn
from torch.nn.functional import mse_loss

from jdcv_core.encoding.loaders import GPT2_SHAPES, fuse_gelu, gpt2_config, meta_module
from jdcv_core.encoding.lora_tuning import adapt, save_memory
from jdcv_core.progress import progress
from jdcv_core.training.cost import Work, matmul_rate, memory, synchronize, training_flops

RANK, ALPHA = 8, 16.0  # LoRA's settings in --mode lora


def main() -> None:
    options = arguments()
    automatic = "cuda" if torch.cuda.is_available() else "cpu"
    device = automatic if options.device == "auto" else options.device
    kind = "cuda" if device.startswith("cuda") else "cpu"
    bf16 = options.precision == "bf16"
    rate = matmul_rate(device, bf16, seconds=2.0)
    figures: dict[str, Any] = {
        "benchmark": "training_step",
        "device": torch.cuda.get_device_name(device) if kind == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "precision": options.precision,
        **{name: getattr(options, name) for name in ("size", "mode", "batch", "tokens", "dropout")},
        "matmul_tflops": rate / 1e12,
    }
    skeleton = meta_module(config(options))
    if options.mode == "lora":
        adapt(skeleton.requires_grad_(False), RANK, ALPHA, 0.0)
    base = process_peak()
    for checkpointing in (True, False):  # the smaller first, since a peak never falls
        model = make(options, device, checkpointing)
        numbers = [(p.numel(), p.requires_grad) for p in model.parameters()]
        count, trained = sum(n for n, _ in numbers), sum(n for n, grad in numbers if grad)
        tokens, shape = options.batch * options.tokens, (options.tokens, options.batch)
        row = (options.size, options.mode, tokens, 0, *shape, count, trained, checkpointing, bf16)
        seconds, peak = measure(model, options, device, checkpointing)
        flops = training_flops(Work(*row), skeleton)
        found = {
            "seconds_per_step": seconds,
            "tokens_per_second": tokens / seconds,
            "peak_memory_gb": (peak if kind == "cuda" else process_peak() - base) / 1e9,
            "estimated_memory_gb": memory(Work(*row), skeleton, kind) / 1e9,
            "tflop_per_step": flops / 1e12,
            "share": flops / seconds / rate,
        }
        figures |= {"parameters": count, "trained": trained}
        figures |= {"checkpointing": found} if checkpointing else found
        del model
    print(json.dumps(figures))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1")
    parser.add_argument("--size", choices=tuple(GPT2_SHAPES), default="gpt2")
    parser.add_argument("--mode", choices=("full", "lora"), default="full")
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--batch", type=int, default=8, help="chunks in a step")
    parser.add_argument("--tokens", type=int, default=1024, help="tokens in a chunk")
    parser.add_argument("--steps", type=int, default=20, help="that count")
    parser.add_argument("--dropout", type=float, default=0.1, help="rate of GPT-2's dropouts")
    return parser.parse_args()


def config(options: argparse.Namespace) -> Any:
    settings = gpt2_config(options.size)
    settings.attn_pdrop = settings.resid_pdrop = settings.embd_pdrop = options.dropout
    return settings


def make(options: argparse.Namespace, device: str, checkpointing: bool) -> Any:
    """Make GPT-2 with random weights and a head that turns its pooled states into a logit."""
    from transformers import GPT2Model

    torch.manual_seed(0)
    settings = config(options)
    model = GPT2Model(settings)
    fuse_gelu(model)
    if options.mode == "lora":
        adapt(model.requires_grad_(False), RANK, ALPHA, 0.0)
    if checkpointing:
        save_memory(model)
    model.head = nn.Linear(settings.n_embd, 1)
    return model.to(device).train()


def measure(model: Any, options: Any, device: str, checkpointing: bool) -> tuple[float, int]:
    """Measure the median seconds of a step, and on CUDA the peak of used bytes."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, 3e-6 if options.mode == "full" else 1e-4)
    ids = torch.randint(50_257, (options.batch, options.tokens), device=device)
    targets = torch.arange(options.batch, device=device) % 3 / 2  # No, Potential, Good
    kind, times = torch.device(device).type, []
    if kind == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    title = "With checkpointing" if checkpointing else "Without checkpointing"
    with progress(title, options.steps + 1) as advance:
        for step in range(options.steps + 1):
            synchronize(device)
            start = time.perf_counter()
            with torch.autocast(kind, torch.bfloat16, enabled=options.precision == "bf16"):
                states = model(input_ids=ids, use_cache=False).last_hidden_state
            logits = model.head(states.float().mean(1)).squeeze(1)  # [chunk]
            loss = mse_loss(torch.sigmoid(logits), targets)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            synchronize(device)
            times.append(time.perf_counter() - start)
            print(f"{title.lower()}, step {step}: loss {loss.item():.4f}, {times[-1]:.3f} s")
            advance()
    peak = torch.cuda.max_memory_allocated(device) if kind == "cuda" else 0
    return statistics.median(times[1:]), peak


def process_peak() -> int:
    """Return the peak memory of this process in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024  # of the kernel's figure
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    main()
