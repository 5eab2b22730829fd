"""Save an encoder into a folder and load it; the loaded weights are equal bit for bit.

The module's current weights (trained ones included) are written in fp32 and in the format of
transformers or sentence-transformers, so these libraries can read them without this toolkit.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn

from jdcv_core.encoding.encoder import Encoder, Precision
from jdcv_core.encoding.loaders import causal_lm, hide_progress, sentence_transformer
from jdcv_core.encoding.model_files import weight_files
from jdcv_core.encoding.pooling import POOLINGS
from jdcv_core.errors import InputError
from jdcv_core.types import Document

NOTE = "encoder.json"
DECODER, SENTENCE = "causal-lm", "sentence-transformer"
CURE = "give a folder that save_pretrained wrote"


def save_encoder(encoder: Encoder, folder: Path) -> dict[str, Path]:
    """Write the encoder into an empty folder; return its files by their names relative to it.

    encoder: its `module` is saved, also if it was loaded from a GGUF file; a LoRA adapter must be
             merged first
    folder:  created if it is missing. This is not atomic; `folders.write_folder` makes it atomic

    The encoder that `load_encoder(folder)` returns has the same vectors (bit for bit in fp32 on the
    same machine), tokenizer fingerprint and window. Weights in bf16 are saved as rounded.
    Raises ValueError for a module that is neither a transformers decoder nor a
    SentenceTransformer, and for a module with weights that its class does not have (an adapter's).
    """
    from transformers import PreTrainedModel

    hide_progress()
    folder.mkdir(parents=True, exist_ok=True)
    note = {"name": encoder.name, "dim": encoder.dim}
    if isinstance(encoder.module, PreTrainedModel):
        note |= {"kind": DECODER, "pooling": encoder.network.identity["pooling"]}
        _save_decoder(encoder.module, folder)
        _save_tokenizer(encoder, folder)
    else:
        note |= {"kind": SENTENCE}
        _save_sentence_transformer(encoder.module, folder)
    (folder / NOTE).write_text(json.dumps(note, indent=1), encoding="utf-8")
    return {str(p.relative_to(folder)): p for p in sorted(folder.rglob("*")) if p.is_file()}


def load_encoder(
    folder: str | Path, precision: Precision = "auto", device: str = "auto"
) -> Encoder:
    """Load an encoder that `save_encoder` wrote. Only the folder is read; no network is needed.

    precision, device: see `Encoder`. The weights are loaded when the first chunk is encoded

    Raises InputError for a folder that `save_encoder` did not write or that was changed later.
    """
    folder = Path(folder)
    note = _read_note(folder)
    if note["kind"] == SENTENCE:
        try:
            encoder = sentence_transformer(str(folder), precision=precision, device=device)
        except InputError:
            raise
        # sentence-transformers raises many classes of errors for a damaged folder.
        except Exception as error:
            reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:160]}"
            what = f"sentence-transformers cannot read it ({reason})"
            raise InputError(str(folder), what, CURE) from error
    else:
        encoder = causal_lm(
            str(folder), pooling=note["pooling"], precision=precision, device=device
        )
    if encoder.dim != note["dim"]:
        what = f"its vectors have {encoder.dim} dimensions, but {NOTE} says {note['dim']}"
        raise InputError(str(folder), what, CURE)
    _check_names(encoder, folder)
    encoder.name = note["name"]
    return encoder


def pretrained(
    init_from: str | None = None,
    precision: Precision = "fp32",
    device: str = "auto",
    documents: Iterable[Document] = (),
) -> Encoder:
    """Load a pretrained encoder with `load_encoder`, as the start of further training.

    init_from: folder of the encoder, such as runs/contrastive/<id>/encoders/seed-0
    precision, device: see `Encoder`. The precision is fp32 by default, so that the vectors do not
               depend on a measurement of speed
    documents: not used
    Raises InputError if no folder is given, and the errors of `load_encoder`.
    """
    if init_from is None:
        cure = "give encoder.init_from=FOLDER, such as runs/contrastive/<id>/encoders"
        raise InputError("encoder=pretrained", "no folder was given", cure)
    return load_encoder(init_from, precision, device)


def _check_names(encoder: Encoder, folder: Path) -> None:
    """Refuse weights that the class does not have: transformers would silently ignore them.

    Raises InputError that names one of them. Missing weights are refused when the model is loaded.
    """
    if encoder.network.skeleton is None:
        return
    known = encoder.network.skeleton().state_dict().keys()
    for path in weight_files(folder):
        if path.suffix != ".safetensors" or path.parent.name.startswith(tuple("123456789")):
            continue  # a later module of a SentenceTransformer
        with safe_open(path, framework="pt") as file:
            strange = sorted(set(file.keys()) - known)
        if strange:
            what = (
                f"it has {len(strange)} weights that its class does not have, such as {strange[0]}"
            )
            raise InputError(str(path), what, CURE)


def _read_note(folder: Path) -> dict[str, Any]:
    path = folder / NOTE
    try:
        note = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(str(path), "it is missing or is not JSON", CURE) from error
    sound = (
        isinstance(note, dict)
        and isinstance(note.get("name"), str)
        and isinstance(note.get("dim"), int)
        and (
            note.get("kind") == SENTENCE
            or (note.get("kind") == DECODER and note.get("pooling") in POOLINGS)
        )
    )
    if not sound:
        what = f"it does not describe an encoder of a known kind ({DECODER} or {SENTENCE})"
        raise InputError(str(path), what, f"{CURE}, with the version of jdcv that wrote it")
    return note


def _save_sentence_transformer(module: nn.Module, folder: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from transformers import PreTrainedModel

    if not isinstance(module, SentenceTransformer):
        raise ValueError(
            f"a {type(module).__name__} is neither a decoder of transformers nor a "
            "SentenceTransformer: merge its adapter, or unwrap it, before saving"
        )
    for part in module.modules():
        if isinstance(part, PreTrainedModel):
            _plain(part)
    _in_fp32(module).save(str(folder), create_model_card=False)


def _save_decoder(module: Any, folder: Path) -> None:
    """Copy the weights into a plain model of the same class and save that model.

    A model from a GGUF file is marked as quantized, and transformers would refuse to save it.
    """
    plain = _plain(module)
    weights = {name: x.float() for name, x in module.state_dict().items()}
    plain.load_state_dict(weights, assign=True)
    plain.save_pretrained(folder)


def _plain(module: Any) -> Any:
    """Make a model of the same class and configuration on the device "meta" (without values).

    Raises ValueError if the names of its weights differ from the module's: a saved file would lack
    weights, and transformers fills missing weights with random numbers.
    """
    config = deepcopy(module.config)
    for name in ("quantization_config", "_pre_quantization_dtype"):
        if hasattr(config, name):
            delattr(config, name)
    with torch.device("meta"):
        plain = type(module)(config)
    strange = module.state_dict().keys() ^ plain.state_dict().keys()
    if strange:
        raise ValueError(
            f"{len(strange)} weights are not those of a {type(module).__name__}, such as "
            f"{min(strange)}: merge the adapter before saving"
        )
    return plain


def _save_tokenizer(encoder: Encoder, folder: Path) -> None:
    """Write the encoder's tokenizer and its special tokens in the format of transformers.

    The files are written from the encoder, not copied, because the original files may be deleted or
    part of a GGUF file. Names of special tokens (eos, pad) are not kept: no vector depends on them.
    """
    settings = json.loads(encoder.tokenizer.to_str())
    settings["post_processor"] = _template(encoder.network.prefix, encoder.network.suffix)
    content = json.dumps(settings, ensure_ascii=False)
    (folder / "tokenizer.json").write_text(content, encoding="utf-8")
    kind = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(kind, indent=1), encoding="utf-8")


def _template(prefix: tuple[int, ...], suffix: tuple[int, ...]) -> dict[str, Any] | None:
    """Describe the post-processor (package tokenizers) that adds these ids around a text."""
    if not prefix + suffix:
        return None
    before, after = ([{"SpecialToken": {"id": str(i), "type_id": 0}} for i in part]
                     for part in (prefix, suffix))  # fmt: skip
    text, second = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    tokens = {str(i): {"id": str(i), "ids": [i], "tokens": [str(i)]} for i in (*prefix, *suffix)}
    return {
        "type": "TemplateProcessing",
        "single": [*before, text, *after],
        "pair": [*before, text, second, *after],
        "special_tokens": tokens,
    }


def _in_fp32(module: Any) -> Any:
    """Return the module if its weights are fp32, otherwise a copy in fp32."""
    numbers = [*module.parameters(), *module.buffers()]
    if all(x.dtype == torch.float32 for x in numbers if x.is_floating_point()):
        return module
    return deepcopy(module).float()
