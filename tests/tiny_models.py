"""Small models with random weights, saved in the format of transformers."""

from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaModel,
    PreTrainedTokenizerFast,
)

from jdcv_core.chunking import TokenChunker
from jdcv_core.encoding.gpt2_mini import train_tokenizer
from jdcv_core.encoding.loaders import gpt2
from jdcv_core.encoding.whitening import Whitening
from jdcv_core.matcher import Matcher
from jdcv_core.scoring import MeanPairs
from research.compare_aggregate import CompareAggregate
from research.experience.requirement_chunking import RequirementChunker

TEXTS = [
    "Senior Accountant 08/2014-05/2015: general ledger, month-end close, reporting.",
    "Python developer; built data pipelines and led a team of four 😀",
    "We look for an accountant with five years of experience.",
]


def save(folder: Path, model: torch.nn.Module, tokenizer: Tokenizer, **special: str) -> Path:
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    return folder


def gpt2_model(seed: int = 0) -> GPT2LMHeadModel:
    """Make a GPT-2 of 2 layers, width 32 and 64 positions, with large weights and a head."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        shape = {"n_layer": 2, "n_embd": 32, "n_head": 4, "n_positions": 64}
        special = {"bos_token_id": 0, "eos_token_id": 0}
        config = GPT2Config(vocab_size=300, initializer_range=0.2, **shape, **special)
        return GPT2LMHeadModel(config).eval()


def save_matcher(folder: Path, whitening: Whitening) -> Path:
    """Save a matcher with that GPT-2 and an asymmetric match head in folder/matcher."""
    encoder = gpt2(path=str(save_gpt2(folder / "gpt2")), precision="fp32", device="cpu")
    scorer = MeanPairs(32)
    with torch.no_grad():
        scorer.head.jd.weight += 0.3 * torch.randn(32, 32, generator=torch.manual_seed(0))
    spec = {"name": "mean_pairs", "arguments": {"dim": 32}}
    matcher = Matcher(encoder, whitening, scorer, spec, (0.5, 0.9), TokenChunker(20))
    return matcher.save_pretrained(folder / "matcher")


def save_matcher_by_line(folder: Path) -> Path:
    """Save a matcher with that GPT-2 and an untrained scorer that compares line by line in
    folder/by_line."""
    encoder = gpt2(path=str(save_gpt2(folder / "gpt2 of by_line")), precision="fp32", device="cpu")
    spec = {"name": "compare_aggregate", "arguments": {"dim": 32, "months": True}}
    scorer = CompareAggregate(32, months=True)
    chunker = RequirementChunker(size=64, reference="2024-06")
    whitening = Whitening(np.zeros(32), np.eye(32))
    matcher = Matcher(encoder, whitening, scorer, spec, (0.5, 0.9), chunker)
    return matcher.save_pretrained(folder / "by_line")


def save_gpt2(folder: Path) -> Path:
    """Save a tiny GPT-2 with a language-model head and a byte-level tokenizer."""
    return save(folder, gpt2_model(), train_tokenizer(TEXTS, 300), eos_token="<|endoftext|>")


def save_llama(folder: Path) -> Path:
    """Save a tiny Llama whose tokenizer adds a token before each text, which must not be pooled."""
    tokenizer = train_tokenizer(TEXTS, 300)
    begin = [("<|endoftext|>", 0)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=begin
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        shape = {"num_hidden_layers": 2, "hidden_size": 32, "intermediate_size": 64}
        heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
        config = LlamaConfig(vocab_size=300, max_position_embeddings=64, **shape, **heads)
        model = LlamaModel(config)
    return save(folder, model, tokenizer, bos_token="<|endoftext|>")


def save_bert(folder: Path) -> Path:
    """Save a tiny BERT with 40 positions whose tokenizer file truncates and pads at 8 tokens."""
    pieces = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]
    pieces += [f"{head}{chr(c)}" for c in range(97, 123) for head in ("", "##")]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [("[CLS]", 1), ("[SEP]", 2)]
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=ends)
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=8, pad_id=0, pad_token="[PAD]")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        shape = {"num_hidden_layers": 2, "hidden_size": 32, "intermediate_size": 64}
        limits = {"vocab_size": len(pieces), "max_position_embeddings": 40}
        config = BertConfig(num_attention_heads=4, initializer_range=0.2, **shape, **limits)
        model = BertModel(config)
    special = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"}
    return save(folder, model, tokenizer, unk_token="[UNK]", **special)
