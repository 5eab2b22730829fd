"""A small GPT-2 with dropout, documents of different lengths, and their contrast.

The tests of gradient caching use them in one process and in several.
"""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import torch
from transformers import GPT2Config, GPT2Model

from jdcv_core.types import Pair
from research.contrastive.contrastive_losses import Temperature, contrastive_loss
from research.contrastive.known_fits import PairGraph, match_contrast

DOCUMENTS = [f"jd:{i}" for i in range(9)] + [f"cv:{i}" for i in range(14)]


class Model(torch.nn.Module):
    """A model from token ids of documents to unit vectors, with a projection and a temperature."""

    def __init__(self, dropout: float = 0.3, bf16: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.gpt2 = GPT2Model(
            GPT2Config(
                vocab_size=50, n_positions=16, n_embd=16, n_layer=2, n_head=2,
                resid_pdrop=dropout, embd_pdrop=dropout, attn_pdrop=dropout,
            )
        )  # fmt: skip
        self.projection = torch.nn.Linear(16, 8)
        self.temperature = Temperature(0.2, learned=True)
        self.bf16 = bf16
        self.train()

    def encode(self, documents: list[list[int]]) -> torch.Tensor:
        longest = max(map(len, documents))
        ids = torch.tensor([d + [0] * (longest - len(d)) for d in documents])
        mask = torch.tensor([[i < len(d) for i in range(longest)] for d in documents])
        with torch.autocast("cpu", torch.bfloat16) if self.bf16 else nullcontext():
            states = self.gpt2(input_ids=ids, use_cache=False).last_hidden_state
        states = states.float() * mask[..., None]
        return states.sum(1) / mask.sum(1, keepdim=True)

    def gradients(self) -> dict[str, torch.Tensor]:
        return {n: p.grad.clone() for n, p in self.named_parameters() if p.grad is not None}


def texts() -> list[list[int]]:
    """Make the token ids of each of DOCUMENTS."""
    rng = np.random.default_rng(1)
    return [rng.integers(1, 50, rng.integers(2, 15)).tolist() for _ in DOCUMENTS]


def contrast():
    rng = np.random.default_rng(2)
    pairs = [
        Pair(f"cv:{c}", f"jd:{j}", int(rng.integers(3)))
        for c in range(14)
        for j in range(9)
        if rng.random() < 0.4
    ]
    return match_contrast(PairGraph(pairs), DOCUMENTS, potential=0.5)


def loss_of(model: Model, tile: int = 4):
    """Return the loss of all representations, in the order of DOCUMENTS."""
    compared = contrast()
    return lambda z: contrastive_loss(model.projection(z), compared, model.temperature(), tile)


def parted(rows: list, size: int) -> list[list]:
    return [rows[at : at + size] for at in range(0, len(rows), size)]


def relative(found: dict, expected: dict) -> float:
    """Compute |a - b| / |b| of all gradients as one vector."""
    a, b = (torch.cat([x[n].flatten() for n in sorted(expected)]) for x in (found, expected))
    return float((a - b).norm() / b.norm())
