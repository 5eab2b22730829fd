"""Rows of several blocks, slowly: token by token, and block by block in separate passes."""

import math

import torch


def sees(layout, t, s):
    """Whether token t of the row sees token s, by the words of `RowLayout`."""

    def place(token):
        for number, block in enumerate(layout.blocks):
            if token < block.length:
                return number, token
            token -= block.length
        raise IndexError

    (b, i), (c, j) = place(t), place(s)
    block = layout.blocks[b]
    if c != b:
        return c in block.sees
    if not block.causal:
        return True
    return j <= i and (block.window is None or i - j < block.window)


def attention(query, key, value, layout, scale):
    """Softmax attention of one head, [token, dim] each, in float64, token by token."""
    out = []
    for t in range(layout.length):
        seen = [s for s in range(layout.length) if sees(layout, t, s)]
        logits = [float(query[t].double() @ key[s].double()) * scale for s in seen]
        top = max(logits)
        weights = [math.exp(x - top) for x in logits]
        total = sum(weights)
        out.append(sum(w / total * value[s].double() for w, s in zip(weights, seen, strict=True)))
    return torch.stack(out)


def separate_states(module, ids, layout):
    """States [token, dim] of every block, each in a pass over what it sees and itself.

    Right for layouts whose seen blocks see nothing themselves and come before, such as
    `packed_chunks` and `shared_prefix` without a reader.
    """
    parts = ids.split([block.length for block in layout.blocks])
    found = []
    for own, block in zip(parts, layout.blocks, strict=True):
        whole = torch.cat([*(parts[number] for number in block.sees), own])
        states = module(input_ids=whole[None], use_cache=False).last_hidden_state[0]
        found.append(states[-block.length :])
    return torch.cat(found)
