"""Pack chunks of different documents into one row without padding, and take their vectors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from jdcv_core.encoding.device_copies import to_device
from jdcv_core.encoding.network import Network
from jdcv_core.encoding.row_layout import packed_chunks


def packed_vectors(
    network: Network, module: nn.Module, chunks: Sequence[Sequence[int]], device: str
) -> Tensor:
    """Return the vectors of chunks that one row holds, [chunk dim]; gradients flow to the module.

    chunks: token ids of each chunk, without special tokens
    Equal to `network.vectors` on padded rows up to rounding. Raises ValueError for a network that
    cannot read such rows.
    """
    if network.states is None or network.pool is None:
        raise ValueError("this network cannot read rows of several chunks")
    whole = [(*network.prefix, *chunk, *network.suffix) for chunk in chunks]
    lengths = [len(tokens) for tokens in whole]
    layout = packed_chunks(lengths, network.causal)
    ids = to_device(torch.tensor([i for tokens in whole for i in tokens]), device)
    states = network.states(module, ids, layout)
    place, mask, own = padded_places(lengths, len(network.prefix), len(network.suffix))
    place, mask, own = (to_device(x, device) for x in (place, mask, own))
    padded = tuple(x.index_select(0, place.flatten()).unflatten(0, place.shape) for x in states)
    return network.pool(module, padded, mask, own)


def padded_places(
    lengths: Sequence[int], prefix: int, suffix: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return where each token of padded rows is in the packed row, and their `mask` and `own`.

    Each is [chunk, token]; padding points to the chunk's last token. See `Network` for the masks.
    """
    length = torch.tensor(lengths)[:, None]
    token = torch.arange(max(lengths))[None]
    first = length.cumsum(0) - length
    own = (token >= prefix) & (token < length - suffix)
    return first + torch.minimum(token, length - 1), token < length, own
