"""The encoder turns the token ids of a chunk into one vector.

Kinds of encoder differ in their `Network`, which the functions in `loaders` and `gpt2_mini` make.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from jdcv_core.encoding.batching import length_batches
from jdcv_core.encoding.model_files import fingerprint
from jdcv_core.encoding.row_layout import RowLayout
from jdcv_core.errors import InputError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Precision = Literal["fp32", "bf16", "auto"]
BATCH_TOKENS = {"cpu": 2048, "cuda": 65_536}
"""Tokens per batch. On a CPU, larger batches leave its caches: GPT-2 is 20% slower at 8,192."""
CALL_TOKENS = {"cpu": 64, "cuda": 2048}
"""The fixed cost of one batch, as the number of tokens that are encoded in the same time."""
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Network:
    """What one kind of encoder computes, and everything that its vectors depend on.

    load:       () -> the module in fp32; called at most once, when the first chunk is encoded
    vectors:    (module, ids [row token], mask [row token], own [row token]) -> [row dim]; `mask`
                is True for a real token, `own` for a real token that belongs to the chunk (a
                special token does not)
    dim:        width of a chunk vector
    window:     largest number of tokens in a row, special tokens included
    parameters: number of parameters of the module
    identity:   hash of weights, configuration and pooling; the fingerprint is computed from it
    prefix, suffix: special tokens before and after each chunk
    pad:        token id used for padding
    skeleton:   () -> a module with the same structure as that of `load`, on the meta device (its
                tensors have shapes and take no memory); None where it cannot be made
    states:     (module, ids [token], layout) -> the states that `pool` reads, [token dim] each, of
                one row of several blocks; the last one is that of the last layer. None where the
                network cannot read such rows
    pool:       (module, states [row token dim] each, mask, own) -> [row dim]
    """

    load: Callable[[], nn.Module]
    vectors: Callable[[nn.Module, Tensor, Tensor, Tensor], Tensor]
    dim: int
    window: int
    parameters: int
    identity: Mapping[str, Any]
    prefix: tuple[int, ...] = ()
    suffix: tuple[int, ...] = ()
    pad: int = 0
    skeleton: Callable[[], nn.Module] | None = None
    states: Callable[[nn.Module, Tensor, RowLayout], tuple[Tensor, ...]] | None = None
    pool: Callable[[nn.Module, tuple[Tensor, ...], Tensor, Tensor], Tensor] | None = None


@dataclass
class Encoder:
    """Encode chunks as chunk vectors, in batches of chunks of similar length.

    name:         name used in messages and records
    network:      see `Network`
    tokenizer:    a tokenizer without special tokens (`chunking.plain_tokenizer`) that makes the
                  tokens of the chunks
    precision:    "fp32", "bf16", or "auto"; `settle_precision` replaces "auto" by one of the two
    device:       a torch device, or "auto": CUDA if it is available, otherwise the CPU
    batch_tokens: largest number of tokens in a batch, padding included; None means BATCH_TOKENS
    calls, chunks_encoded: batches run and chunks encoded since the encoder was made

    The weights are loaded when the first chunk is encoded.
    """

    name: str
    network: Network
    tokenizer: Tokenizer
    precision: Precision = "auto"
    device: str = "auto"
    batch_tokens: int | None = None
    calls: int = 0
    chunks_encoded: int = 0
    _module: nn.Module | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.precision not in ("auto", *DTYPES):
            raise InputError(
                f"encoder precision {self.precision}", "it is unknown", "give fp32, bf16 or auto"
            )
        if self.device == "auto":
            self.device = "cuda" if torch.cuda.is_available() else "cpu"
        _check_device(self.device)

    @property
    def dim(self) -> int:
        """Width of a chunk vector."""
        return self.network.dim

    @property
    def max_tokens(self) -> int:
        """Largest number of tokens in a chunk; room for special tokens is already subtracted."""
        return self.network.window - len(self.network.prefix) - len(self.network.suffix)

    @property
    def parameters(self) -> int:
        return self.network.parameters

    @property
    def tokenizer_fingerprint(self) -> str:
        return fingerprint(self.tokenizer.to_str())

    @property
    def weights_fingerprint(self) -> str:
        """Hash of everything that a vector depends on except the tokenizer and the precision."""
        around = [self.network.prefix, self.network.suffix]
        return fingerprint(self.network.identity, around)

    @property
    def fingerprint(self) -> str:
        """Hash of weights, configuration, pooling, special tokens and precision.

        Raises ValueError while the precision is "auto": call `settle_precision` first.
        """
        if self.precision == "auto":
            raise ValueError("the precision is not settled yet: call settle_precision(encoder)")
        return fingerprint(self.weights_fingerprint, self.precision)

    @property
    def module(self) -> nn.Module:
        """The model on its device, in its precision, in evaluation mode; loaded on first use."""
        if self._module is None:
            dtype = DTYPES.get(self.precision, torch.float32)
            self._module = self.network.load().to(self.device, dtype).eval()
        return self._module

    def release(self) -> None:
        """Free the model's memory; it is loaded again when it is needed."""
        self._module = None

    def set_precision(self, precision: Precision) -> None:
        """Change the precision. A bf16 model is loaded again, because its weights were rounded."""
        if self.precision == "bf16" and precision != "bf16":
            self._module = None
        self.precision = precision
        if self._module is not None:
            self._module.to(DTYPES.get(precision, torch.float32))

    def encode_chunks(
        self,
        chunks: Sequence[Sequence[int]],
        advance: Callable[[list[int]], None] = lambda batch: None,
    ) -> np.ndarray:
        """Return the vectors of chunks, float32 [chunk, dim], in the order given.

        chunks:  token ids of each chunk, without special tokens: 1 to `max_tokens` ids
        advance: callback for a progress bar, called after each batch with its chunks' indices

        The vector of a chunk does not depend on the other chunks or their order (up to rounding).
        Raises InputError for a chunk that is longer than `max_tokens` and ValueError for an empty
        chunk. Runs in inference mode and does not change torch's number of threads.
        """
        lengths = [len(chunk) for chunk in chunks]
        if lengths and min(lengths) < 1:
            raise ValueError("a chunk without a token has no vector")
        if lengths and max(lengths) > self.max_tokens:
            raise InputError(
                f"a chunk of {max(lengths)} tokens",
                f"the encoder {self.name} reads at most {self.max_tokens} at once",
                f"give a chunk size of {self.max_tokens} or less",
            )
        result = np.empty((len(chunks), self.dim), dtype=np.float32)
        special = len(self.network.prefix) + len(self.network.suffix)
        for batch in self.batches([n + special for n in lengths]):
            result[batch] = self.run([chunks[i] for i in batch]).numpy()
            advance(batch)
        return result

    def batches(self, lengths: Sequence[int]) -> list[list[int]]:
        """Group rows of these lengths into batches that suit the device; returns their indices."""
        kind = "cpu" if torch.device(self.device).type == "cpu" else "cuda"
        budget = self.batch_tokens or BATCH_TOKENS[kind]
        return length_batches(lengths, budget, CALL_TOKENS[kind])

    def run(self, chunks: Sequence[Sequence[int]]) -> Tensor:
        """Run the model on one batch and count the call; return float32 [chunk, dim] on the CPU."""
        ids, mask, own = self.rows(chunks)
        with torch.inference_mode():
            vectors = self.network.vectors(self.module, ids, mask, own)  # [row dim]
        self.calls += 1
        self.chunks_encoded += len(chunks)
        return vectors.float().cpu()

    def rows(self, chunks: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor, Tensor]:
        """Return ids, mask and own, each [row, token] and padded on the right; see `Network`."""
        prefix, suffix = self.network.prefix, self.network.suffix
        longest = max(len(chunk) for chunk in chunks) + len(prefix) + len(suffix)
        ids = torch.full((len(chunks), longest), self.network.pad)
        mask = torch.zeros(ids.shape, dtype=torch.bool)
        own = torch.zeros_like(mask)
        for row, chunk in enumerate(chunks):
            whole = (*prefix, *chunk, *suffix)
            ids[row, : len(whole)] = torch.tensor(whole)
            mask[row, : len(whole)] = True
            own[row, len(prefix) : len(prefix) + len(chunk)] = True
        return ids.to(self.device), mask.to(self.device), own.to(self.device)


def _check_device(device: str) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0][:120]
        raise InputError(f"encoder device {device}", reason, "give cpu, or auto") from error
