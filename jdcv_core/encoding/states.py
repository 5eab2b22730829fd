"""Run a network of transformers or sentence-transformers: token ids to states, states to vectors.

Padded rows go to chunk vectors at once (`decoder_vectors`, `sentence_vectors`). A row of several
chunks goes to states first, which a layout of other blocks needs as they are.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from jdcv_core.encoding.attention_backends import row_arguments
from jdcv_core.encoding.pooling import Pooling, pool, pool_first_last
from jdcv_core.encoding.row_layout import RowLayout

PACKED = ("gpt2", "llama", "bert")
"""Types of models that read rows of several chunks; tests show that no chunk changes another."""


def decoder_vectors(
    module: nn.Module, ids: Tensor, mask: Tensor, own: Tensor, pooling: Pooling
) -> Tensor:
    """Pool a decoder's states of the last layer, or of the first and the last: [row, dim].

    No attention mask is passed. Padding is on the right, where a causal model does not look
    (`load_decoder` checks that the model is causal), and attention without a mask skips the keys
    after a query. The cache is off, because nothing is generated.
    """
    if pooling == "first_last":
        out = module(input_ids=ids, use_cache=False, output_hidden_states=True)
        return pool_first_last(out.hidden_states[0], out.last_hidden_state, own)
    states = module(input_ids=ids, use_cache=False).last_hidden_state  # [row token dim]
    return pool(states, own, pooling)


def decoder_states(
    module: nn.Module, ids: Tensor, layout: RowLayout, pooling: Pooling = "last"
) -> tuple[Tensor, ...]:
    """Return a decoder's states of one row under a layout: those that `pool_states` reads.

    ids: [token]. Each tensor is [token, dim]; the last one holds the states of the last layer. With
    the pooling "first_last", the embeddings come before them.
    """
    given = row_arguments(layout, ids.device)
    if pooling == "first_last":
        out = module(input_ids=ids[None], use_cache=False, output_hidden_states=True, **given)
        return out.hidden_states[0][0], out.last_hidden_state[0]
    return (module(input_ids=ids[None], use_cache=False, **given).last_hidden_state[0],)


def pool_states(
    module: nn.Module, states: tuple[Tensor, ...], mask: Tensor, own: Tensor, pooling: Pooling
) -> Tensor:
    """Pool the states that `decoder_states` returned, [row token dim] each, to [row dim]."""
    if pooling == "first_last":
        return pool_first_last(states[0], states[1], own)
    return pool(states[-1], own, pooling)


def sentence_vectors(module: nn.Module, ids: Tensor, mask: Tensor, own: Tensor) -> Tensor:
    """Run the modules of a SentenceTransformer on the ids: [row, dim]."""
    return module({"input_ids": ids, "attention_mask": mask.long()})["sentence_embedding"]


def sentence_states(module: nn.Module, ids: Tensor, layout: RowLayout) -> tuple[Tensor, ...]:
    """Return the states [token, dim] of BERT, the first module of a SentenceTransformer."""
    bert: Any = module[0].auto_model  # type: ignore[index]
    given = row_arguments(layout, ids.device)
    types = torch.zeros_like(ids)[None]
    return (bert(input_ids=ids[None], token_type_ids=types, **given).last_hidden_state[0],)


def pool_sentence_states(
    module: nn.Module, states: tuple[Tensor, ...], mask: Tensor, own: Tensor
) -> Tensor:
    """Run the other modules of a SentenceTransformer: [row, token, dim] -> [row, dim]."""
    features = {"token_embeddings": states[-1], "attention_mask": mask.long()}
    for part in list(module.children())[1:]:
        features = part(features)
    return features["sentence_embedding"]
