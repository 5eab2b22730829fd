"""A tiny corpus and a tiny GPT-2 that are trained in seconds, for the tests of the loop."""

from pathlib import Path

import numpy as np
import tiny_models
import torch

from jdcv_core.encoding.encoder import Encoder
from jdcv_core.encoding.loaders import causal_lm
from jdcv_core.encoding.lora_tuning import trainable_module
from jdcv_core.encoding.whitening import Whitening
from jdcv_core.scoring import MeanPairs
from jdcv_core.training.pairs import PairTokens
from jdcv_core.training.settings import TrainingSettings
from jdcv_core.training.trainable import OnTokens
from jdcv_core.types import Chunk, Pair
from research.context.on_rows import OnRows
from research.context.pair_rows import LongRow, SharedPrefix

ROWS = {
    "prefix": SharedPrefix(),
    "reader": SharedPrefix(reader=True),
    "long": LongRow(attend=8),
}
"""Names of trainings that read a JD and a CV in one row; each trains all weights."""
SETTINGS = TrainingSettings(
    steps=12,
    batch=4,
    accumulation=2,
    balance=[0.4, 0.3, 0.3],
    learning_rate=1e-3,
    head_factor=10,
    precision="fp32",
    evaluate_every=4,
    log_every=2,
    checkpoint_every=3,
)


def encoder(folder: Path) -> Encoder:
    return causal_lm(str(tiny_models.save_gpt2(folder)), pooling="mean", precision="fp32")


def tokens(cvs: int = 12, jds: int = 10, seed: int = 0) -> PairTokens:
    """Pair every CV with every JD; documents have one to three chunks of random tokens."""
    rng = np.random.default_rng(seed)
    chunks = {}
    for side, count in (("cv", cvs), ("jd", jds)):
        for i in range(count):
            name = f"{side}:{i:02}"
            lengths = rng.integers(3, 20, size=rng.integers(1, 4))
            words = [tuple(rng.integers(1, 300, size=n).tolist()) for n in lengths]
            chunks[name] = [Chunk(name, at, 0, 1, ids) for at, ids in enumerate(words)]
    pairs = [
        Pair(f"cv:{i:02}", f"jd:{j:02}", int(rng.choice(3, p=[0.5, 0.25, 0.25])))
        for i in range(cvs)
        for j in range(jds)
    ]
    return PairTokens.of(pairs, chunks)


def model(
    encoder: Encoder,
    data: PairTokens,
    tuning: str = "full",
    dropout: float = 0.1,
    train_on: str = "chunk_pairs",
    checkpointing: bool = False,
    precision: str = "fp32",
) -> OnTokens:
    """Make the same model each time; `dropout` is GPT-2's rate, at three places in a layer.

    tuning: full, lora, or a name in ROWS
    """
    torch.manual_seed(0)
    module = trainable_module(encoder, "full" if tuning in ROWS else tuning, rank=2)
    for part in module.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = dropout
        if hasattr(part, "attn_dropout"):
            part.config.attn_pdrop = dropout
    chunks = [chunk for document in data.chunks for chunk in document]
    matrices = {"all": encoder.encode_chunks(chunks)}
    whitening = Whitening.fit(matrices, ["all"], ridge=0.1)
    scorer = MeanPairs(encoder.dim, train_on=train_on)
    given = (scorer, data, module, encoder, whitening, precision, checkpointing)
    return OnRows(*given, reading=ROWS[tuning]) if tuning in ROWS else OnTokens(*given)


def parts(data: PairTokens) -> tuple[torch.Tensor, torch.Tensor]:
    """Split pairs into training and validation by JD."""
    late = data.jd_index >= int(data.jd_index.max()) - 2
    return torch.where(~late)[0], torch.where(late)[0]
