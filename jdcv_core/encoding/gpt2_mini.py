"""gpt2-mini: a small GPT-2 that is trained on the corpus itself, in about a minute.

Training uses no labels and every document, including those of the test fold: the model learns how
CVs and JDs are written, and nothing about which of them fit.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn.functional import cross_entropy

from jdcv_core.atomic import atomic_folder
from jdcv_core.encoding.encoder import Encoder, Precision, check_device
from jdcv_core.encoding.loaders import causal_lm, hide_progress
from jdcv_core.encoding.model_files import fingerprint
from jdcv_core.encoding.muon import Muon
from jdcv_core.encoding.pooling import Pooling
from jdcv_core.encoding.precision import multiplies_bf16
from jdcv_core.errors import InputError, nearest
from jdcv_core.progress import progress
from jdcv_core.readable_text import readable
from jdcv_core.types import Document

END = "<|endoftext|>"
RECIPE = 2  # increase when the same settings no longer give the same weights


@dataclass(frozen=True)
class MiniSettings:
    """Architecture and training of gpt2-mini. The settings and texts determine the weights.

    layers, width, heads: sizes of the GPT-2 class
    context:       largest number of tokens that the model reads at once
    vocabulary:    largest number of tokens of its byte-level BPE
    train_tokens:  number of tokens to train on; a smaller corpus is read several times. The budget
                   counts tokens, not seconds, so that the same seed gives the same weights
    rows:          rows of `context` tokens in a training step
    learning_rate: peak learning rate; it rises over 5% of the steps, then decays to 0 by a cosine
    weight_decay:  weight decay of the layers' matrices
    seed:          seed of the initial weights and of the order of the rows
    """

    layers: int = 4
    width: int = 256
    heads: int = 4
    context: int = 256
    vocabulary: int = 4096
    train_tokens: int = 500_000
    rows: int = 8
    learning_rate: float = 6e-3
    weight_decay: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"layers": 1, "width": 1, "heads": 1, "context": 2, "vocabulary": 257, "rows": 1}
        for name, smallest in least.items():
            if getattr(self, name) < smallest:
                raise InputError(
                    f"encoder.{name}={getattr(self, name)}",
                    "it is too small",
                    f"give {smallest} or more",
                )
        if self.width % self.heads:
            raise InputError(
                f"encoder.width={self.width}",
                f"it cannot be divided evenly among {self.heads} heads",
                f"give a multiple of {self.heads}",
            )


def gpt2_mini(
    documents: Iterable[Document],
    cache_dir: str | Path,
    pooling: Pooling = "mean",
    precision: Precision = "fp32",
    device: str = "auto",
    batch_tokens: int | None = None,
    **settings: Any,
) -> Encoder:
    """Train a small GPT-2 on the documents by next-token prediction, or load it from the cache.

    documents: all documents of the corpus; only their texts are used, and their order is not
    cache_dir: folder of trained models, where each is stored under a hash of texts and settings
    pooling, precision, device, batch_tokens: see `causal_lm`. The precision is fp32 by default, so
               that the vectors do not depend on a measurement of speed
    settings:  fields of `MiniSettings`

    The same texts and settings give the same weights on the same machine. It is trained on the
    device, in bf16 if that is a GPU or a processor with instructions for it; the weights stay fp32.
    Raises InputError for an unknown setting and for an empty corpus.
    """
    known = [f.name for f in fields(MiniSettings)]
    for name in settings:
        if name not in known:
            raise InputError(f"encoder.{name}", "there is no such setting", nearest(name, known))
    trained_on = device
    if device == "auto":
        trained_on = "cuda" if torch.cuda.is_available() else "cpu"
    check_device(trained_on)
    texts, folder = sorted({d.text for d in documents}), Path(cache_dir).expanduser()
    folder = train_mini(texts, folder, MiniSettings(**settings), torch.device(trained_on))
    encoder = causal_lm(
        str(folder),
        pooling=pooling,
        precision=precision,
        device=device,
        batch_tokens=batch_tokens,
    )
    encoder.name = "gpt2-mini"
    return encoder


def train_mini(
    texts: list[str], cache_dir: Path, settings: MiniSettings, device: torch.device
) -> Path:
    """Train unless the cache has the model; return its folder (model, tokenizer, `mini.json`).

    The folder is either complete or absent (`atomic_folder`). If two processes train at the same
    time, the model of the process that finishes first is kept.
    """
    if not texts:
        raise InputError("encoder gpt2-mini", "there are no documents to train on", "check data")
    texts = [readable(text).text for text in texts]
    bf16 = multiplies_bf16() if device.type == "cpu" else device.type == "cuda"
    precision = "bf16" if bf16 else "fp32"
    folder = cache_dir / fingerprint(RECIPE, texts, asdict(settings), precision, device.type)[:20]
    if folder.is_dir():
        return folder
    try:
        with atomic_folder(folder) as temporary:
            _train_into(temporary, texts, settings, precision, device)
    except OSError as error:
        if not folder.is_dir():  # otherwise another process was faster, and its weights are used
            cure = "give encoder.cache_dir=FOLDER, a folder that you can write to"
            raise InputError(str(cache_dir), error.strerror or str(error), cure) from error
    return folder


def _train_into(
    folder: Path, texts: list[str], settings: MiniSettings, precision: str, device: torch.device
) -> None:
    started = time.perf_counter()
    tokenizer = train_tokenizer(texts, settings.vocabulary)
    stream, vocabulary = pack(texts, tokenizer), tokenizer.get_vocab_size()
    model, losses = train_model(stream, vocabulary, settings, precision == "bf16", device)
    save(folder, model, tokenizer)
    last = losses[-20:]
    facts = {
        "settings": asdict(settings),
        "precision": precision,
        "device": device.type,
        "documents": len(texts),
        "tokens": len(stream),
        "parameters": sum(p.numel() for p in model.transformer.parameters()),
        "loss_first": losses[0],  # both losses in nats per token
        "loss_last": sum(last) / len(last),
        "seconds": time.perf_counter() - started,
    }
    (folder / "mini.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")


def train_tokenizer(texts: list[str], vocabulary: int) -> Tokenizer:
    """Learn a byte-level BPE with GPT-2's pre-tokenization from the texts."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def pack(texts: list[str], tokenizer: Tokenizer) -> torch.Tensor:
    """Concatenate the tokens of all texts, an end token after each text: [token]."""
    end = tokenizer.token_to_id(END)
    encodings = tokenizer.encode_batch(texts)
    return torch.tensor([i for e in encodings for i in (*e.ids, end)])


def batches(stream: torch.Tensor, settings: MiniSettings) -> Iterator[torch.Tensor]:
    """Yield batches [row, context + 1] without end; each pass starts at a new random offset."""
    numbers = torch.Generator().manual_seed(settings.seed)
    length = settings.context + 1
    if len(stream) < 2 * length:
        stream = stream.repeat(math.ceil(2 * length / len(stream)))
    waiting = torch.empty(0, length, dtype=torch.long)
    while True:
        start = int(torch.randint(length, (), generator=numbers))
        count = (len(stream) - start) // length
        cut = stream[start : start + count * length].view(count, length)
        waiting = torch.cat([waiting, cut[torch.randperm(count, generator=numbers)]])
        while len(waiting) >= settings.rows:
            yield waiting[: settings.rows]
            waiting = waiting[settings.rows :]


def train_model(
    stream: torch.Tensor,
    vocabulary: int,
    settings: MiniSettings,
    bf16: bool,
    device: torch.device,
) -> tuple[Any, list[float]]:
    """Train a GPT2LMHeadModel on the stream; return it and each step's loss in nats per token."""
    model = new_model(vocabulary, settings).to(device).train()
    steps = max(1, settings.train_tokens // (settings.rows * settings.context))
    both = optimizers(model, settings, bf16)
    losses = []
    with progress("Training gpt2-mini", steps) as advance:
        for step, batch in zip(range(steps), batches(stream, settings), strict=False):
            batch = batch.to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                logits = model(input_ids=batch[:, :-1], use_cache=False).logits
            loss = cross_entropy(logits.float().flatten(0, 1), batch[:, 1:].flatten())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer in both:
                for group in optimizer.param_groups:
                    group["lr"] = settings.learning_rate * schedule(step, steps)
                optimizer.step()
                optimizer.zero_grad()
            losses.append(loss.item())
            advance(note=f"loss {losses[-1]:.2f}")
    return model.cpu().eval(), losses


def new_model(vocabulary: int, settings: MiniSettings) -> Any:
    """Make a GPT2LMHeadModel with random weights; torch's global generator is not changed."""
    from transformers import GPT2LMHeadModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return GPT2LMHeadModel(mini_config(vocabulary, settings))


def mini_config(vocabulary: int, settings: MiniSettings) -> Any:
    """Return the GPT2Config. It has no dropout, because training takes a pass or two at most."""
    from transformers import GPT2Config

    return GPT2Config(
        vocab_size=vocabulary,
        n_positions=settings.context,
        n_layer=settings.layers,
        n_embd=settings.width,
        n_head=settings.heads,
        # The same function as GPT-2's gelu_new; the fused form is faster.
        activation_function="gelu_pytorch_tanh",
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=0,
    )


def optimizers(model: Any, settings: MiniSettings, bf16: bool) -> list[torch.optim.Optimizer]:
    """Make Muon for the layers' matrices, and AdamW for embeddings, biases and gains.

    In so few steps Muon learns far more than AdamW alone (docs/LOG.md). Its steps are scaled to
    the size of AdamW's, so that one learning rate serves both.
    """
    matrices = [p for p in model.transformer.h.parameters() if p.ndim == 2]
    chosen = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    rate, decay = settings.learning_rate, settings.weight_decay
    return [
        Muon(matrices, rate, decay, torch.bfloat16 if bf16 else torch.float32),
        torch.optim.AdamW(rest, rate, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def schedule(step: int, steps: int) -> float:
    """Return the share of the peak learning rate: a rise over 5% of the steps, then a cosine."""
    warm = max(1, round(0.05 * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def save(folder: Path, model: Any, tokenizer: Tokenizer) -> None:
    """Write the model without its head, and the tokenizer, in the format of transformers."""
    from transformers import PreTrainedTokenizerFast

    hide_progress()
    model.transformer.save_pretrained(folder)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=END, eos_token=END)
    wrapped.save_pretrained(folder)
