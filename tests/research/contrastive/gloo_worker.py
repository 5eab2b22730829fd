"""One of two processes that run a cached step together; `test_gradient_caching` starts it.

python gloo_worker.py FOLDER   (the output is FOLDER/found.json)
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import small
import torch
import torch.distributed as dist

from jdcv_core.training.distributed import processes, rank, world
from research.contrastive import gradient_caching
from research.contrastive.contrastive_losses import contrastive_loss

FIRST = 10
"""Number of documents of process 0; process 1 has the other 13."""


def own_anchors(model: small.Model):
    """Compute `world()` times the part of the loss that this process's anchors cause."""
    whole = small.contrast()
    mine = [a % 2 == rank() for a in whole.positive[:, 0].tolist()]
    part = replace(whole, positive=whole.positive[mine], weight=whole.weight[mine])
    share = world() * part.weight.sum() / whole.weight.sum()
    return lambda z: share * contrastive_loss(model.projection(z), part, model.temperature(), 4)


def shortcut(rows: torch.Tensor) -> torch.Tensor:
    """The usual gather without gradients, in which a process replaces only its own rows."""
    counts = [FIRST, len(small.DOCUMENTS) - FIRST]
    padded = torch.zeros(max(counts), rows.shape[1])
    padded[: len(rows)] = rows.detach()
    whole = [torch.zeros_like(padded) for _ in counts]
    dist.all_gather(whole, padded)
    parts = [part[:n] for part, n in zip(whole, counts, strict=True)]
    parts[rank()] = rows
    return torch.cat(parts)


def work() -> dict:
    texts = small.texts()
    mine = texts[:FIRST] if rank() == 0 else texts[FIRST:]
    found = {}
    right = gradient_caching.gather
    for name, loss_for, gather in (
        ("whole loss", small.loss_of, right),
        ("own anchors", own_anchors, right),
        ("shortcut", own_anchors, shortcut),
    ):
        model = small.Model(dropout=0.0)
        gradient_caching.gather = gather
        loss = gradient_caching.cached_step(model.encode, small.parted(mine, 4), loss_for(model))
        gradients = {}
        for parameter, gradient in model.gradients().items():
            dist.all_reduce(gradient)
            gradients[parameter] = (gradient / world()).tolist()
        losses = [None] * world()
        dist.all_gather_object(losses, loss)
        found[name] = {"gradients": gradients, "losses": losses}
    return found


if __name__ == "__main__":
    with processes():
        torch.set_num_threads(1)
        found = work()
        if rank() == 0:
            (Path(sys.argv[1]) / "found.json").write_text(json.dumps(found))
    sys.stdout.flush()
    os._exit(0)
