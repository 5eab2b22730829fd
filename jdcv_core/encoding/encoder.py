"""The encoder turns the token ids of a chunk into one vector.

Kinds of encoder differ in their `Network`, which the functions in `loaders` and `gpt2_mini` make.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor, nn

from jdcv_core.encoding.batching import Batches, cheapest_batches, length_batches
from jdcv_core.encoding.device_copies import Arriving, to_device
from jdcv_core.encoding.model_files import fingerprint
from jdcv_core.encoding.network import Network
from jdcv_core.encoding.packing import packed_vectors
from jdcv_core.errors import InputError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Precision = Literal["fp32", "bf16", "auto"]
BATCH_TOKENS = {"cpu": 2048, "cuda": 65_536}
"""Tokens per batch. On a CPU, larger batches leave its caches: GPT-2 is 20% slower at 8,192."""
CALL_TOKENS = {"cpu": 64, "cuda": 2048}
"""The fixed cost of one batch, as the number of tokens that are encoded in the same time."""
CHUNK_TOKENS = {"cpu": 8, "cuda": 0}
"""The cost of attention to one more chunk in a packed row, in the same unit. FlashAttention has
none; on a CPU each chunk is one more call of a kernel."""
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


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
        batches = self.plan(chunks)
        begun: deque[tuple[list[int], Arriving]] = deque()
        for batch in batches.indices:
            begun.append((batch, self._begin([chunks[i] for i in batch], batches.packed)))
            if len(begun) > 1:  # a GPU has begun a batch before the one before is fetched
                self._finish(*begun.popleft(), result, advance)
        while begun:
            self._finish(*begun.popleft(), result, advance)
        return result

    def plan(self, chunks: Sequence[Sequence[int]], flash: bool | None = None) -> Batches:
        """Group chunks into batches that suit the device, with padding or packed without.

        flash: whether the attention of packed rows can be FlashAttention, which is needed for
               packed rows to pay on CUDA; None means what is so with this precision, outside of
               training
        """
        kind = self._kind()
        flash = self.precision == "bf16" if flash is None else flash
        able = self.network.states is not None and (kind == "cpu" or flash)
        special = len(self.network.prefix) + len(self.network.suffix)
        return cheapest_batches(
            [len(chunk) + special for chunk in chunks],
            self.batch_tokens or BATCH_TOKENS[kind],
            CALL_TOKENS[kind],
            CHUNK_TOKENS[kind] if able else None,
        )

    def batches(self, lengths: Sequence[int]) -> list[list[int]]:
        """Group padded rows of these lengths into batches that suit the device; see `plan`."""
        kind = self._kind()
        return length_batches(lengths, self.batch_tokens or BATCH_TOKENS[kind], CALL_TOKENS[kind])

    def run(self, chunks: Sequence[Sequence[int]], packed: bool = False) -> Tensor:
        """Run the model on one batch and count the call; return float32 [chunk, dim] on the CPU."""
        return self._begin(chunks, packed).wait()

    def vectors(self, module: nn.Module, chunks: Sequence[Sequence[int]], packed: bool) -> Tensor:
        """Return the vectors of one batch under the weights of `module`, [chunk, dim], on the
        device; gradients flow to the module.

        packed: read all chunks in one row without padding, instead of a padded row for each
        """
        if packed:
            return packed_vectors(self.network, module, chunks, self.device)
        return self.network.vectors(module, *self.rows(chunks))

    def _begin(self, chunks: Sequence[Sequence[int]], packed: bool) -> Arriving:
        with torch.inference_mode():
            vectors = self.vectors(self.module, chunks, packed).float()
        self.calls += 1
        self.chunks_encoded += len(chunks)
        return Arriving(vectors)

    @staticmethod
    def _finish(
        batch: list[int],
        vectors: Arriving,
        result: np.ndarray,
        advance: Callable[[list[int]], None],
    ) -> None:
        result[batch] = vectors.wait().numpy()
        advance(batch)

    def _kind(self) -> str:
        return "cpu" if torch.device(self.device).type == "cpu" else "cuda"

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
        return tuple(to_device(x, self.device) for x in (ids, mask, own))  # type: ignore[return-value]


def _check_device(device: str) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0][:120]
        raise InputError(f"encoder device {device}", reason, "give cpu, or auto") from error
