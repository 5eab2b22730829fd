"""Estimate the operations, memory and hours of training before anything runs.

Operations are counted in matrix products; a multiplication and its addition are two operations.
Attention is counted in full, although a causal kernel may skip the masked half, because the papers
to which these figures are compared count it in full (Chowdhery et al. 2022, "PaLM", appendix B).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from jdcv_core.encoding.encoder import Encoder
from jdcv_core.encoding.lora_tuning import Tuning, adapt
from jdcv_core.errors import InputError

Kind = Literal["cpu", "cuda"]

SHARE_HERE = 0.4
"""Part of `matmul_rate` that a training step reaches on a CPU. GPT-2 (124M, a row of 512 tokens,
fp32, one thread of a busy two-core machine) reached 0.59 in full tuning and 0.51 with LoRA. With
dropout, for which a CPU has no fused attention, it reached 0.44 and 0.32. AdamW is included, once
in 8 micro-batches."""
SHARE_GPU = 0.18
"""Part of a GPU's nominal dense bf16 rate that a training step reaches. GPT-2 (124M, 8 chunks of
1,024 tokens) on an H200, nominally 989 TFLOP/s, reached 0.179 in full tuning and 0.108 with LoRA
(`benchmarks/training_step.py`). Efficient training of large models reached 0.21 to 0.46 (Chowdhery
et al. 2022, table 3). Short chunks reach less."""
IN_PASSING = 40
"""Bytes per token and unit of width that the backward pass of a layer with adapters needs in
addition to the kept tensors. Measured on GPT-2 of 4 and 12 layers, where it is 32 to 48."""
SIDES = {"cpu": 1024, "cuda": 8192}
"""Rows and columns of the matrices of `matmul_rate`: large enough for the full rate."""


@dataclass(frozen=True)
class Work:
    """The work of one row of an experiment, over all its seeds.

    tuning:        which part of the encoder is trained
    tokens:        tokens that the encoder processes in training; if it is frozen, the tokens of
                   each document once
    eval_tokens:   tokens of forward passes without training, for validation and test
    row_tokens:    tokens of a usual chunk, special tokens included
    rows:          chunks that the encoder processes before a backward pass; their activations are
                   in memory together
    parameters:    number of parameters of encoder, adapters and scorer
    trained:       number of these that are trained
    checkpointing: whether gradient checkpointing is on
    bf16:          whether the encoder runs under bf16 autocast; the weights are fp32 in any case
    """

    name: str
    tuning: Tuning
    tokens: int
    eval_tokens: int
    row_tokens: int
    rows: int
    parameters: int
    trained: int
    checkpointing: bool = False
    bf16: bool = True


@dataclass(frozen=True)
class Estimate:
    """An estimate of cost.

    flops counts all operations, and bytes is the peak of memory. The values of a GPU are None if no
    GPU was given.
    """

    work: Work
    flops: float
    here_bytes: float
    here_hours: float
    gpu_bytes: float | None
    gpu_hours: float | None


@dataclass(frozen=True)
class Forward:
    """Operations of one row's forward pass: products with weights and products of activations."""

    weights: int
    attention: int

    @property
    def total(self) -> int:
        return self.weights + self.attention


def skeleton_of(
    encoder: Encoder, tuning: Tuning, rank: int = 8, alpha: float = 16.0, dropout: float = 0.0
) -> nn.Module:
    """Make `lora_tuning.trainable_module` on the meta device, so that no weights are loaded.

    Raises InputError for an encoder whose module cannot be made without weights.
    """
    if encoder.network.skeleton is None:
        raise InputError(
            f"estimate of {encoder.name}",
            "its parameters cannot be counted without loading its weights",
            "leave estimate=true out, or give another encoder",
        )
    skeleton = encoder.network.skeleton().requires_grad_(tuning == "full")
    if tuning == "lora":
        adapt(skeleton, rank, alpha, dropout)
    return skeleton


def estimate(
    work: Work,
    skeleton: nn.Module,
    here: float,
    kind: Kind = "cpu",
    gpu_tflops: float | None = None,
) -> Estimate:
    """Estimate operations, memory and hours of the work, on this machine and on a GPU.

    skeleton:   result of `skeleton_of`; only its mode, `train()` or `eval()`, is changed
    here:       rate of matrix products on this machine, FLOP/s, from `matmul_rate`
    kind:       kind of the device of this machine
    gpu_tflops: nominal dense bf16 TFLOP/s of a GPU (data sheets often show twice that, the rate for
                sparse matrices). The work on the GPU is assumed to run in bf16

    hours = flops / (rate * share) / 3600, where share is SHARE_HERE for a CPU and SHARE_GPU for a
    GPU. Loading, tokenizing and the products of the scorer are not included.
    """
    flops = training_flops(work, skeleton)
    on_gpu = gpu_tflops is not None
    return Estimate(
        work,
        flops,
        here_bytes=memory(work, skeleton, kind),
        here_hours=flops / (here * (SHARE_HERE if kind == "cpu" else SHARE_GPU)) / 3600,
        gpu_bytes=memory(replace(work, bf16=True), skeleton, "cuda") if on_gpu else None,
        gpu_hours=flops / (gpu_tflops * 1e12 * SHARE_GPU) / 3600 if gpu_tflops else None,
    )


def training_flops(work: Work, skeleton: nn.Module) -> float:
    """Count the operations of the whole work.

    Let W, F and A be the operations of one forward pass in products with trained weights, in
    products with frozen weights, and in attention. Training then needs
    frozen  F + A
    full    3 W + 3 A: the backward of a product is two products (Kaplan et al. 2020, section 2.1)
    lora    3 W + 2 F + 3 A: a frozen weight needs no gradient, but its input does
    Checkpointing adds one forward pass. Validation and test need only forward passes.
    """
    forward = forward_flops(skeleton, work.row_tokens)
    per_row = float(forward.total)
    if work.tuning == "full":
        per_row = 3.0 * forward.total
    elif work.tuning == "lora":
        adapters = sum(p.numel() for p in skeleton.parameters() if p.requires_grad)
        trained = 2.0 * adapters * work.row_tokens
        per_row = 2.0 * forward.weights + 3.0 * forward.attention + trained
    if work.checkpointing and work.tuning != "frozen":
        per_row += forward.total
    return (work.tokens * per_row + work.eval_tokens * forward.total) / work.row_tokens


def forward_flops(skeleton: nn.Module, tokens: int) -> Forward:
    """Count the operations of a forward pass of one row of tokens, with a module on "meta".

    For GPT-2 the counts are 24 layers tokens width^2 and 4 layers tokens^2 width.
    """
    with torch.no_grad(), torch.device("meta"), FlopCounterMode(display=False) as counter:
        skeleton(**_inputs(1, tokens))
    counts = {str(op): count for op, count in counter.get_flop_counts()["Global"].items()}
    weights = sum(counts.get(op, 0) for op in ("aten.mm", "aten.addmm"))
    return Forward(weights, sum(counts.values()) - weights)


def memory(work: Work, skeleton: nn.Module, kind: Kind) -> float:
    """Estimate the peak of memory during a step, in bytes.

    Weights and the state of AdamW need 4 bytes for each parameter, and for each trained parameter 4
    more for its gradient and 8 for its moments. The larger of these two is added:
    - the tensors that autograd keeps of a forward pass, see `kept_bytes`. With checkpointing, these
      are only the input of each layer, in fp32, and the larger of what one layer keeps (Chen et al.
      2016) and the bf16 copies of trained weights. LoRA adds IN_PASSING for the gradients of
      activations; in full tuning, weight gradients that do not exist yet leave room for these
    - on CUDA, one more copy of the trained weights, because AdamW updates all of them together
    If the encoder is frozen, autograd keeps nothing, and the tensors that one layer would keep
    stand for the memory that a layer needs while it computes.
    The estimate is within 30% of the peak of real steps (measured; tests/training/test_cost.py).
    """
    weights = 4.0 * work.parameters + 12.0 * work.trained
    kept = float(kept_bytes(skeleton, work.rows, work.row_tokens, work.bf16, kind))
    config: Any = skeleton.config
    layers, width = config.num_hidden_layers, config.hidden_size
    layer, states = kept / layers, work.rows * work.row_tokens * width
    if work.tuning == "frozen":
        return weights + layer
    if work.checkpointing:
        copies = 2.0 * work.trained if work.bf16 else 0.0
        kept = 4.0 * layers * states + max(layer, copies)
    if work.tuning == "lora":
        kept += IN_PASSING * states
    return weights + max(kept, 4.0 * work.trained if kind == "cuda" else 0.0)


def kept_bytes(skeleton: nn.Module, rows: int, tokens: int, bf16: bool, kind: Kind) -> int:
    """Count the bytes that autograd keeps of a forward pass [row token] for the backward pass.

    The bytes are counted on meta tensors (shapes without memory), for any architecture, and include
    the bf16 copies of weights that autocast makes. On CUDA, attention is fused and does not keep
    its [token token] matrix. A CPU has no fused attention with dropout; if the model has dropout,
    that matrix is kept several times.

    GPT-2 with fused attention keeps 36 bytes per layer, token and unit of width: the 34 of
    Korthikanti et al. 2022 (equation 2 without its attention term) less 2 for dropout masks, plus 4
    because autocast leaves the residual stream in fp32.
    """
    from torch._subclasses import FakeTensorMode

    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage.nbytes()  # views of one storage count once
        return tensor

    skeleton.train(kind == "cpu")
    named = [*skeleton.named_parameters(), *skeleton.named_buffers()]
    with FakeTensorMode():
        state = {
            name: torch.empty(t.shape, dtype=t.dtype, requires_grad=t.requires_grad)
            for name, t in named
        }
        own = {t.untyped_storage()._cdata for t in state.values()}
        autocast = torch.autocast("cpu", torch.bfloat16, enabled=bf16)
        with saved_tensors_hooks(keep, lambda tensor: tensor), autocast:
            states = functional_call(skeleton, state, (), _inputs(rows, tokens))
    del states  # it kept the tensors alive, so that no address was used twice
    return sum(size for storage, size in kept.items() if storage not in own)


def matmul_rate(device: str, bf16: bool, seconds: float = 0.5) -> float:
    """Measure the FLOP/s of square matrix products on a device: the fastest within `seconds`."""
    kind = torch.device(device).type
    side = SIDES.get(kind, SIDES["cuda"])
    matrix = torch.randn(side, side, dtype=torch.bfloat16 if bf16 else torch.float32, device=device)
    best, end = float("inf"), time.perf_counter() + seconds
    for turn in range(1_000_000):
        start = time.perf_counter()
        _ = matrix @ matrix
        synchronize(device)
        if turn:  # the first one is a warm-up
            best = min(best, time.perf_counter() - start)
            if time.perf_counter() > end:
                break
    return 2.0 * side**3 / best


def synchronize(device: str) -> None:
    """Wait until the device has finished its work."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def _inputs(rows: int, tokens: int) -> dict[str, object]:
    """Make ids and a mask [row head query key], whose values the model does not inspect.

    The cache is off, as in training; a cache would copy keys and values.
    """
    return {
        "use_cache": False,
        "input_ids": torch.zeros(rows, tokens, dtype=torch.long),
        "attention_mask": torch.ones(1, 1, 1, tokens, dtype=torch.bool),
    }
