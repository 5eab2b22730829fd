"""What one kind of encoder computes: the functions in `loaders` and `gpt2_mini` make networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from jdcv_core.encoding.row_layout import RowLayout


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
    causal:     whether a token's states depend on the tokens before it only, as in a decoder
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
    causal: bool = True
