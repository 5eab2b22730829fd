"""Encoders without weights, for estimates of cost: nothing is downloaded or trained."""

from __future__ import annotations

from functools import partial
from typing import Any

from tokenizers import Tokenizer
from torch import nn

from jdcv_core.encoding.encoder import Encoder
from jdcv_core.encoding.gpt2_mini import MiniSettings, mini_config
from jdcv_core.encoding.loaders import gpt2_config, meta_module
from jdcv_core.encoding.network import Network

CHARACTERS = 4.8
"""Average characters in a GPT-2 token: 4.5 in the demo corpus, 5.0 and 5.4 in real CVs and JDs."""


def gpt2_outline(size: str = "gpt2", **others: Any) -> Encoder:
    """Make the outline of `loaders.gpt2`; the `others` of its arguments are ignored."""
    return _outline(size, gpt2_config(size), others.get("device", "auto"))


def mini_outline(**others: Any) -> Encoder:
    """Make the outline of `gpt2_mini.gpt2_mini`."""
    known = {k: v for k, v in others.items() if k in MiniSettings.__dataclass_fields__}
    settings = MiniSettings(**known)
    config = mini_config(settings.vocabulary, settings)
    return _outline("gpt2-mini", config, others.get("device", "auto"))


def count_tokens(encoder: Encoder, text: str) -> int:
    """Count the tokens of a text; for an outline, which has no tokenizer, estimate them."""
    if isinstance(encoder.tokenizer, Tokenizer):
        return len(encoder.tokenizer.encode(text, add_special_tokens=False).ids)
    return max(1, round(len(text) / CHARACTERS))


def _outline(name: str, config: Any, device: str) -> Encoder:
    skeleton = partial(meta_module, config)
    network = Network(
        load=_nothing,
        vectors=_nothing,  # type: ignore[arg-type]
        dim=config.n_embd,
        window=config.n_positions,
        parameters=sum(p.numel() for p in skeleton().parameters()),
        identity={},
        skeleton=skeleton,
    )
    return Encoder(name, network, tokenizer=None, device=device)  # type: ignore[arg-type]


def _nothing(*arguments: Any) -> nn.Module:
    raise RuntimeError("an outline has no weights")
