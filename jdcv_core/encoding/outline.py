"""An encoder without its weights, to say what it will cost: nothing is fetched or trained."""

from __future__ import annotations

from functools import partial
from typing import Any

from tokenizers import Tokenizer
from torch import nn

from jdcv_core.encoding.encoder import Encoder, Network
from jdcv_core.encoding.gpt2_mini import MiniSettings, mini_config
from jdcv_core.encoding.loaders import gpt2_config, meta_module

CHARACTERS = 4.8
"""In a token of GPT-2, about: 4.5 in the demo corpus, 5.0 and 5.4 in real CVs and JDs."""


def gpt2_outline(size: str = "gpt2", **others: Any) -> Encoder:
    """What `models.gpt2` would give; `others` of its arguments are not looked at."""
    return _outline(size, gpt2_config(size), others.get("device", "auto"))


def mini_outline(**others: Any) -> Encoder:
    """What `mini.gpt2_mini` would give."""
    known = {k: v for k, v in others.items() if k in MiniSettings.__dataclass_fields__}
    settings = MiniSettings(**known)
    config = mini_config(settings.vocabulary, settings)
    return _outline("gpt2-mini", config, others.get("device", "auto"))


def count_tokens(encoder: Encoder, text: str) -> int:
    """Tokens of a text; an estimate by its length for an outline, which has no tokenizer."""
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
