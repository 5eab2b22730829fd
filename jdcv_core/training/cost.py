"""What training will take, before anything runs: operations, memory, hours.

Operations are those of matrix products, two per multiplication and addition. Attention counts in
full, though a causal kernel may skip the half that is masked: so do the papers that these figures
are compared with (Chowdhery et al. 2022, "PaLM", appendix B).
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
fp32, one thread of a busy two-core machine) reached 0.59 in full, 0.51 with LoRA, and 0.44 and 0.32
with dropout, for which a CPU has no fused attention. AdamW is in these, once in 8 micro-batches."""
SHARE_GPU = 0.18
"""Part of a GPU's printed dense bf16 rate that a training step reaches. GPT-2 (124M, 8 chunks of
1,024 tokens) on an H200, printed 989 TFLOP/s, reached 0.179 in full and 0.108 with LoRA
(`benchmarks/training_step.py`). Large models that were trained well reached 0.21 to 0.46
(Chowdhery et al. 2022, table 3); short chunks reach less."""
IN_PASSING = 40
"""Bytes a token and width that the backward of a layer with adapters needs besides what was kept:
measured on GPT-2 of 4 and 12 layers, where they are 32 to 48."""
SIDES = {"cpu": 1024, "cuda": 8192}
"""Rows and columns of the matrices of `matmul_rate`: large enough for the full rate."""


@dataclass(frozen=True)
class Work:
    """What one row of an experiment will do, over all its seeds.

    tuning:        what is trained of the encoder
    tokens:        that go through the encoder to train; frozen: those of each document once
    eval_tokens:   that go through it forward only, for validation and test
    row_tokens:    of a usual chunk, special tokens included
    rows:          chunks that go through the encoder before a backward, and so lie in memory
    parameters:    numbers in encoder, adapters and scorer
    trained:       how many of these are trained
    checkpointing: gradient checkpointing
    bf16:          autocast to bf16; the weights stay fp32 either way
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
    """flops: of all the work; bytes: most that lie in memory at once; the gpu's are None if no
    GPU was asked for."""

    work: Work
    flops: float
    here_bytes: float
    here_hours: float
    gpu_bytes: float | None
    gpu_hours: float | None


@dataclass(frozen=True)
class Forward:
    """Operations of one row forward: products with weights, and of activations with each other."""

    weights: int
    attention: int

    @property
    def total(self) -> int:
        return self.weights + self.attention


def skeleton_of(
    encoder: Encoder, tuning: Tuning, rank: int = 8, alpha: float = 16.0, dropout: float = 0.0
) -> nn.Module:
    """Like `tuning.trainable_module`, on the meta device: no weights are loaded.

    Raises InputError for an encoder whose module cannot be made without weights.
    """
    if encoder.network.skeleton is None:
        raise InputError(
            f"estimate of {encoder.name}",
            "its module cannot be made without its weights, to be counted",
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
    """Operations, memory and hours of the work, on this machine and on a GPU.

    skeleton:   of `skeleton_of`; only switched between `train()` and `eval()` here
    here:       rate of matrix products on this machine, FLOP/s, from `matmul_rate`
    kind:       of the device here
    gpu_tflops: dense bf16 TFLOP/s of a GPU, as its maker prints it (twice that is printed for
                sparse matrices); there the work is taken to run in bf16

    hours = flops / (rate * share) / 3600, with SHARE_HERE for a CPU. A GPU here reaches SHARE_GPU,
    too. Loading, tokenizing and the scorer's own products are left out.
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
    """Operations of the whole work.

    Of one forward, with W products with trained weights, F with frozen ones, A of attention:
    frozen  F + A
    full    3 W + 3 A: the backward of a product is two products (Kaplan et al. 2020, section 2.1)
    lora    3 W + 2 F + 3 A: a frozen weight gets no gradient, but what comes before it does
    Checkpointing adds a forward. Validation and test go forward only.
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
    """Operations of one row of so many tokens through a module on the meta device.

    Equals, for GPT-2, 24 layers tokens width^2 and 4 layers tokens^2 width.
    """
    with torch.no_grad(), torch.device("meta"), FlopCounterMode(display=False) as counter:
        skeleton(**_inputs(1, tokens))
    counts = {str(op): count for op, count in counter.get_flop_counts()["Global"].items()}
    weights = sum(counts.get(op, 0) for op in ("aten.mm", "aten.addmm"))
    return Forward(weights, sum(counts.values()) - weights)


def memory(work: Work, skeleton: nn.Module, kind: Kind) -> float:
    """Bytes that lie in memory at the fullest moment of a step.

    Weights, and what AdamW keeps: 4 bytes a parameter; a trained one has 4 more of gradient and 8
    of moments. To these comes the larger of
    - what autograd keeps of a forward, see `kept_bytes`. With checkpointing only what goes into
      each layer, in fp32, and one layer's (Chen et al. 2016) or the bf16 copies of what is trained.
      With LoRA also IN_PASSING for gradients on their way; otherwise the gradients of weights that
      are not there yet leave room for those
    - on CUDA, one more copy of what is trained while AdamW updates all of it together
    Frozen, nothing is kept, and one layer's stands for what a layer needs while it computes.
    Within 30% of the peak of real steps (measured; tests/training/test_cost.py).
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
    """Bytes that autograd keeps of a forward [row token] until its backward.

    Counted on tensors that have shapes but no memory, for any architecture; the copies in bf16 that
    autocast makes of weights are part of it. On CUDA attention is fused and never keeps its
    [token token] matrix. A CPU has no fused attention with dropout: where the model has any, the
    matrix is kept, several times.

    For GPT-2 with fused attention, 36 bytes a layer, token and width: the 34 of Korthikanti et al.
    2022 (equation 2 without its attention term) less 2 of dropout masks, and 4 more as autocast
    leaves the residual stream in fp32.
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
    del states  # until here it holds what was kept, so no address can come twice
    return sum(size for storage, size in kept.items() if storage not in own)


def matmul_rate(device: str, bf16: bool, seconds: float = 0.5) -> float:
    """FLOP/s of square matrix products on a device: the fastest of those that fit the time."""
    kind = torch.device(device).type
    side = SIDES.get(kind, SIDES["cuda"])
    matrix = torch.randn(side, side, dtype=torch.bfloat16 if bf16 else torch.float32, device=device)
    best, end = float("inf"), time.perf_counter() + seconds
    for turn in range(1_000_000):
        start = time.perf_counter()
        _ = matrix @ matrix
        synchronize(device)
        if turn:  # the first only warms up
            best = min(best, time.perf_counter() - start)
            if time.perf_counter() > end:
                break
    return 2.0 * side**3 / best


def synchronize(device: str) -> None:
    """Wait until the device has done what it was given."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def _inputs(rows: int, tokens: int) -> dict[str, object]:
    """Ids, and a mask [row head query key] that spares the model from looking at their values.

    Without a cache, as in training: it would copy keys and values.
    """
    return {
        "use_cache": False,
        "input_ids": torch.zeros(rows, tokens, dtype=torch.long),
        "attention_mask": torch.ones(1, 1, 1, tokens, dtype=torch.bool),
    }
