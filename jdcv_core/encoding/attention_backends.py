"""Compute the attention of a row as its `RowLayout` says: three back ends with equal results.

    float mask   the reference: one 4-D mask of the whole row, 0 where a token sees and -inf
                 elsewhere; works for every network of transformers, and its cost is the row's
                 length squared
    ranges       plain attention of each block's queries to the keys that it sees
                 (`attention_ranges`), for every device, with gradients
    varlen       the same ranges in one call of torch's FlashAttention, for bf16 and fp16 on CUDA

`row_arguments` chooses between the last two by the device, and the types of the numbers.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from jdcv_core.encoding import causal_blocks
from jdcv_core.encoding.attention_ranges import Ranges, Shape, ranges
from jdcv_core.encoding.causal_blocks import BLOCK
from jdcv_core.encoding.device_copies import to_device
from jdcv_core.encoding.row_layout import RowLayout

NAME = "row_attention"
"""The name under which transformers knows `attention`."""
HALF = (torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class RowPlan:
    """A row's ranges on their device, made once for all layers.

    bounds: int32 [piece + 1] each: where the queries and the keys of each piece begin
    """

    ranges: Ranges
    bounds: tuple[Tensor, Tensor]
    masks: dict[Shape, Tensor | None] = field(default_factory=dict)

    @classmethod
    def of(cls, layout: RowLayout, device: torch.device | str = "cpu") -> RowPlan:
        own = ranges(layout, device)
        queries, keys = (
            to_device(torch.tensor(own.bounds(part), dtype=torch.int32), device)
            for part in ("queries", "keys")
        )
        masks = {shape: shape.mask(device) for shape, _ in own.shapes if not plain(shape)}
        return cls(own, (queries, keys), masks)


def float_mask(layout: RowLayout, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return the mask of a row as transformers adds it to the products: [1, 1, token, token].

    A boolean 4-D mask would be added as 0 and 1 by eager attention, and chunks would see each other
    without a warning.
    """
    seen = torch.from_numpy(layout.visible())
    return torch.zeros(seen.shape, dtype=dtype).masked_fill(~seen, float("-inf"))[None, None]


def row_arguments(
    layout: RowLayout, device: torch.device | str = "cpu", reference: bool = False
) -> dict[str, Any]:
    """Return the arguments by which a network of transformers reads one row under a layout.

    reference: use the float mask; any network takes it. Otherwise the network must call `attention`
               (`loaders` sees to that), which chooses the back end

    The network is called with `input_ids` [1, token] and these arguments; `use_cache` must be off,
    because a cache would make chunks see each other. The mask that goes with a plan is NaN: a
    network that reads it instead of the plan returns NaN, and not a plausible vector.
    """
    positions = to_device(torch.from_numpy(layout.positions)[None], device)
    if reference:
        return {"attention_mask": float_mask(layout).to(device), "position_ids": positions}
    unused = torch.full((1, 1, 1, 1), float("nan"), device=device)
    plan = RowPlan.of(layout, device)
    return {"attention_mask": unused, "position_ids": positions, "row_plan": plan}


def use_row_attention(model: Any) -> None:
    """Make a network of transformers that uses SDPA call `attention` instead, in place."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    if model.config._attn_implementation == "sdpa":
        AttentionInterface.register(NAME, attention)
        AttentionMaskInterface.register(NAME, sdpa_mask)
        model.set_attn_implementation(NAME)


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    row_plan: RowPlan | None = None,
    **settings: Any,
) -> tuple[Tensor, None]:
    """Run `row_attention` for a row with a plan, otherwise attention over padded rows.

    The signature is that of transformers' AttentionInterface.
    """
    from transformers.integrations.sdpa_attention import repeat_kv

    if row_plan is None:
        return causal_blocks.attention(
            module, query, key, value, attention_mask, scaling, dropout=dropout, **settings
        )
    groups = query.shape[1] // key.shape[1]
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return row_attention(module, query, key, value, row_plan, scale, dropout), None


def row_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    plan: RowPlan,
    scale: float,
    dropout: float,
) -> Tensor:
    """Compute one layer's attention of a row: [1, head, token, dim] each -> [1, token, head, dim].

    FlashAttention has no dropout here and no window next to blocks that are seen wholly; these, and
    fp32, run over ranges on CUDA, too.
    """
    own = plan.ranges
    windows = any(shape.window is not None for shape, _ in own.shapes)
    mixed = len({shape.causal for shape, _ in own.shapes}) > 1
    flash = query.is_cuda and query.dtype in HALF and dropout == 0 and not windows and not mixed
    query = query if own.queries is None else query.index_select(2, own.queries)
    if own.keys is not None:
        key, value = key.index_select(2, own.keys), value.index_select(2, own.keys)
    if flash and varlen_kernel() is not None:
        found = varlen(query, key, value, plan, scale)
    else:
        exact = torch.is_grad_enabled() or module.training
        found = over_ranges(query, key, value, plan, scale, dropout, exact)
    return found if own.back is None else found.index_select(1, own.back)


def over_ranges(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    plan: RowPlan,
    scale: float,
    dropout: float = 0.0,
    exact: bool = True,
) -> Tensor:
    """Compute the attention of each group of pieces; tensors are in the order of the groups.

    exact: whether dropout or gradients may be needed; `causal_blocks` has neither
    """
    own = plan.ranges
    groups = zip(
        own.shapes,
        query.split(own.query_counts, 2),
        key.split(own.key_counts, 2),
        value.split(own.key_counts, 2),
        strict=True,
    )
    blocks = not exact and query.dtype == torch.bfloat16 and query.device.type == "cpu"
    found = []
    for (shape, pieces), q, k, v in groups:
        q, k, v = (_stacked(x, pieces) for x in (q, k, v))  # [piece head token dim]
        if blocks and shape.causal and shape.window is None:
            out = causal_blocks.causal_blocks(q, k, v, scale, BLOCK)  # [piece token head dim]
        else:
            out = scaled_dot_product_attention(
                q,
                k,
                v,
                attn_mask=None if plain(shape) else plan.masks[shape],
                dropout_p=dropout,
                is_causal=shape.causal and plain(shape),
                scale=scale,
            ).transpose(1, 2)
        found.append(out.flatten(0, 1))
    return torch.cat(found)[None]


def varlen(query: Tensor, key: Tensor, value: Tensor, plan: RowPlan, scale: float) -> Tensor:
    """Compute all pieces in one call of FlashAttention; tensors are in the order of the groups.

    Its causal masks end at the lower right corner: the last query sees all keys, so the keys that
    a piece sees wholly come first.
    """
    kernel = varlen_kernel()
    assert kernel is not None
    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))  # [token head dim]
    shapes = [shape for shape, _ in plan.ranges.shapes]
    most = max(s.queries for s in shapes), max(s.keys for s in shapes)
    own = q.shape[-1] ** -0.5
    q = q if scale == own else q * (scale / own)
    return kernel(q, k, v, *plan.bounds, *most, **_causal(kernel, shapes[0].causal))[None]


def has_attention_dropout(module: nn.Module) -> bool:
    """Whether a network of transformers drops attention weights while it is trained."""
    configs = [part.config for part in module.modules() if hasattr(part, "config")]
    names = ("attn_pdrop", "attention_dropout", "attention_probs_dropout_prob")
    return any(getattr(config, name, 0.0) > 0 for config in configs for name in names)


def varlen_kernel() -> Any:
    """Return torch's `varlen_attn`, or None before torch 2.10."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return varlen_attn


def plain(shape: Shape) -> bool:
    """Whether no mask is needed: all keys are seen, or the keys are causal and nothing else."""
    return not shape.causal or (shape.window is None and shape.whole == shape.before == 0)


def _stacked(x: Tensor, pieces: int) -> Tensor:
    """[1, head, piece * token, dim] -> [piece, head, token, dim]."""
    return x[0].unflatten(1, (pieces, -1)).transpose(0, 1)


def _causal(kernel: Any, causal: bool) -> dict[str, Any]:
    """The argument that makes `varlen_attn` causal; its name changed after torch 2.10."""
    if "window_size" in inspect.signature(kernel).parameters:
        return {"window_size": (-1, 0) if causal else (-1, -1)}
    return {"is_causal": causal}
