"""Causal attention in blocks of queries, for bf16 on a CPU.

On a CPU, torch's own kernel multiplies bf16 no faster than fp32: attention took 41% of GPT-2's time
at 1,024 tokens. Plain matrix products over blocks of queries use the processor's bf16 instructions,
and keys after the last query of a block are skipped.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

BLOCK = 64  # queries per block; fastest of 64 to 256 at 256 tokens and at 1,024


def causal_blocks(query: Tensor, key: Tensor, value: Tensor, scale: float, block: int) -> Tensor:
    """Compute softmax(scale * Q K^T) V over keys no later than the query, block by block.

    query: [row, head, token, dim]
    key, value: [row, head, key, dim]. The last keys are the queries' own tokens; each query sees
        the keys before them, too
    block: queries per block; any number gives the same result up to rounding
    Returns [row, token, head, dim], the order that transformers expects. Apart from that order the
    result equals scaled_dot_product_attention(..., is_causal=True) for as many keys as queries.
    Ours.
    """
    rows, heads, length, dim = query.shape
    before = key.shape[2] - length  # keys that every query sees
    # Make them contiguous once; otherwise the products copy them for every block.
    query, value = (query * scale).contiguous(), value.contiguous()
    turned = key.transpose(-1, -2).contiguous()  # [row head dim key]
    later = query.new_full((block, block), float("-inf")).triu(1)
    result = query.new_empty(rows, length, heads, dim)
    for start in range(0, length, block):
        end = min(start + block, length)
        seen = before + end
        scores = query[:, :, start:end] @ turned[..., :seen]  # [row head block key]
        scores[..., before + start :] += later[: end - start, : end - start]
        result[:, start:end] = (scores.softmax(-1) @ value[:, :, :seen]).transpose(1, 2)
    return result


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **settings: Any,
) -> tuple[Tensor, None]:
    """Run `causal_blocks` where it applies and is faster, otherwise transformers' SDPA attention.

    The signature is that of transformers' AttentionInterface.
    """
    from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward

    applies = (
        query.dtype == torch.bfloat16
        and query.device.type == "cpu"
        and attention_mask is None
        and query.shape[2] == key.shape[2] > 1
        and getattr(module, "is_causal", False)
        and settings.get("is_causal") is not False
        and settings.get("position_bias") is None
        and settings.get("softcap") is None
        and not torch.is_grad_enabled()
        # causal_blocks has no dropout. In training, a forward pass without gradients (gradient
        # caching) must round exactly as the pass with gradients does.
        and not module.training
    )
    if not applies:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **settings
        )
    groups = query.shape[1] // key.shape[1]
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return causal_blocks(query, key, value, scale, BLOCK), None
