"""Contrastive pretraining of an encoder on the training pairs' documents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from jdcv_core.encoding.encoder import Encoder
from jdcv_core.encoding.lora_tuning import Tuning, trainable_module
from jdcv_core.encoding.precision import multiplies_bf16
from jdcv_core.errors import InputError
from jdcv_core.evaluation.classification import GOOD, NO
from jdcv_core.training.distributed import average_gradients, rank
from jdcv_core.training.optimizer import rate_share
from jdcv_core.training.settings import TrainingSettings
from jdcv_core.types import Document, Pair
from research.contrastive.contrastive_losses import Temperature, alignment, uniformity
from research.contrastive.documents import ContrastiveEncoder
from research.contrastive.known_fits import Contrast, PairGraph, match_contrast, views_of
from research.contrastive.mining import bm25_scores, runner_ups
from research.contrastive.pretrain_settings import PretrainSettings
from research.contrastive.views import dropout_views, two_spans

Tokens = Sequence[int]
Documents = Mapping[str, Sequence[Tokens]]


def pretrain(
    encoder: Encoder,
    chunks: Documents,
    train: Sequence[Pair],
    validation: Sequence[Pair],
    settings: PretrainSettings,
    seed: int,
    groups: Mapping[str, str] | None = None,
    texts: Mapping[str, str] | None = None,
    advance: Callable[[int, str], None] = lambda steps, note: None,
) -> tuple[nn.Module, list[dict[str, Any]]]:
    """Train a copy of the encoder's module; return it and the course of training.

    chunks:     document id → the token ids of its chunks
    train:      labelled pairs; training uses no other pair and no other document
    validation: pairs on whose Good Fits alignment and uniformity are measured; they do not affect
                training
    groups:     groups of near-duplicates, see `PairGraph`
    texts:      document id → text, needed for `mined: bm25`
    seed:       seed of batches, drawn chunks, initial projection and dropout. The states of the
                global generators are restored at the end
    With several processes, all of them call this function with the same arguments and end with the
    same weights: each encodes a share of every batch, and representations are gathered with their
    gradients.

    Returns the module (adapters are not merged; `lora_tuning.with_module` merges them) and lines
    with step, loss, temperature, gradient_norm and, at each validation, alignment and uniformity.

    Raises InputError for settings out of range, for train pairs without a Good Fit (with objective
    spans: if fewer than two documents have two spans), and for a loss that is not finite.
    """
    settings.check()
    graph = PairGraph(train, groups)
    plan = Plan(chunks, train, graph, settings, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _model(encoder, settings)
        if rank() > 0:  # the weights are the same on every process, but dropout differs
            torch.manual_seed(seed + 1_000_003 * rank())
        weights = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(
            weights, settings.learning_rate, weight_decay=settings.weight_decay
        )
        schedule = TrainingSettings(steps=settings.steps, warmup=settings.warmup)
        course: list[dict[str, Any]] = [{"step": 0, **_look(model, chunks, validation)}]
        plan.rank(model, texts)
        for step in range(settings.steps):
            model.train()
            optimizer.zero_grad()
            loss = plan.take(model, step)
            average_gradients(weights)
            if not np.isfinite(loss):
                cure = "give a lower pretraining.learning_rate, or pretraining.precision=fp32"
                raise InputError(f"pretraining, step {step + 1}", f"the loss is {loss}", cure)
            norm = nn.utils.clip_grad_norm_(weights, settings.clip)
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * rate_share(step, schedule)
            optimizer.step()
            line = {
                "step": step + 1, "loss": loss, "gradient_norm": float(norm),
                "temperature": model.temperature().item(),
            }  # fmt: skip
            if (step + 1) % settings.look == 0 or step + 1 == settings.steps:
                line |= _look(model, chunks, validation)
                if settings.mined == "self":
                    plan.rank(model, texts)
            course.append(line)
            advance(1, f"loss {loss:.3f}")
    return model.module.eval(), course


class Plan:
    """The batches; they depend only on the training pairs, the settings, the seed and the step."""

    def __init__(
        self,
        chunks: Documents,
        train: Sequence[Pair],
        graph: PairGraph,
        settings: PretrainSettings,
        seed: int,
    ) -> None:
        self.chunks, self.graph, self.settings, self.seed = chunks, graph, settings, seed
        self.good = [(p.jd, p.cv) for p in train if p.label == GOOD]
        self.none: dict[str, list[str]] = {}
        for p in train:
            if p.label == NO:
                self.none.setdefault(p.jd, []).append(p.cv)
        known = sorted({i for p in train for i in (p.jd, p.cv)})
        rng = np.random.default_rng([seed, 30])
        self.long = [i for i in known if two_spans(chunks[i], rng) is not None]
        if settings.objective == "spans" and len(self.long) < 2:
            what = "fewer than two documents are long enough for two spans"
            raise InputError("pretraining", what, "take longer documents")
        self.jds, self.cvs = ([i for i in known if i.startswith(side)] for side in ("jd", "cv"))
        self.scores: np.ndarray | None = None
        if settings.objective not in ("spans", "dropout") and not self.good:
            cure = "take pretraining.objective=spans, or more pairs"
            raise InputError("pretraining", "no training pair is a Good Fit", cure)

    def take(self, model: ContrastiveEncoder, step: int) -> float:
        """Compute the gradients of one update; return its loss."""
        rng = np.random.default_rng([self.seed, 31, step])
        if self.settings.objective in ("spans", "dropout"):
            return model.step(*self.views(rng))
        documents = self.documents(rng)
        drawn = [self.drawn(i, rng) for i in documents]
        return model.step(drawn, self.contrasts(documents))

    def contrasts(self, documents: Sequence[str]) -> list[Contrast]:
        """Return a contrast for each direction; the loss is the mean over them."""
        sides = {"jd_to_cv": ["jd"], "cv_to_jd": ["cv"], "symmetric": ["jd", "cv"]}
        return [
            match_contrast(self.graph, documents, side, self.settings.potential)
            for side in sides[self.settings.objective]
        ]

    def documents(self, rng: np.random.Generator) -> list[str]:
        """Draw at most `documents` distinct ids: random Good Fits and hard negatives."""
        chosen: dict[str, None] = {}
        for at in rng.permutation(len(self.good)).tolist():
            jd, cv = self.good[at]
            wanted = [jd, cv]
            if jd not in chosen:
                others = self.none.get(jd, [])
                first = rng.permutation(len(others))[: self.settings.hard]
                wanted += [others[i] for i in first.tolist()] + self.mined(jd, rng)
            new = [i for i in dict.fromkeys(wanted) if i not in chosen]
            if len(chosen) + len(new) > self.settings.documents:
                break
            chosen.update(dict.fromkeys(new))
        return list(chosen)

    def drawn(self, document: str, rng: np.random.Generator) -> list[Tokens]:
        """Draw some of a document's chunks and keep their order."""
        own = self.chunks[document]
        if self.settings.chunks is None:
            return list(own)
        places = np.sort(rng.permutation(len(own))[: self.settings.chunks])
        return [own[at] for at in places]

    def views(self, rng: np.random.Generator) -> tuple[list[list[Tokens]], list[Contrast]]:
        """Make two views of half as many documents as a batch has rows."""
        spans = self.settings.objective == "spans"
        from_ = self.long if spans else self.jds + self.cvs
        count = min(self.settings.documents // 2, len(from_))
        chosen = [from_[i] for i in rng.permutation(len(from_))[:count].tolist()]
        if spans:
            both: list[Any] = [two_spans(self.chunks[i], rng) for i in chosen]
            rows = [one for one, _ in both] + [other for _, other in both]
        else:
            own = [self.chunks[i] for i in chosen]
            rows = dropout_views([chunks[int(rng.integers(len(chunks)))] for chunks in own])
        return [[row] for row in rows], [views_of(count, [self.graph.group(i) for i in chosen])]

    def rank(self, model: ContrastiveEncoder, texts: Mapping[str, str] | None) -> None:
        """Score every training CV for every training JD, for `mined`."""
        if self.settings.mined == "self":
            ids = self.jds + self.cvs
            z = normalize(_represent(model, [self.chunks[i] for i in ids]), dim=-1)
            jds, cvs = z[: len(self.jds)], z[len(self.jds) :]
            self.scores = (jds @ cvs.T).double().cpu().numpy()
        elif self.settings.mined == "bm25":
            if texts is None:
                raise ValueError("mined: bm25 needs the argument texts")
            sides = [[Document(i, texts[i]) for i in own] for own in (self.jds, self.cvs)]
            self.scores = bm25_scores(*sides)

    def mined(self, jd: str, rng: np.random.Generator) -> list[str]:
        if self.scores is None:
            return []
        s, row = self.settings, self.scores[[self.jds.index(jd)]]
        window, drawn = (s.mined_first, s.mined_last), int(rng.integers(2**31))
        return runner_ups(row, [jd], self.cvs, self.graph, *window, s.mined_each, drawn)[0]


def _model(encoder: Encoder, settings: PretrainSettings) -> ContrastiveEncoder:
    tuning: Tuning = "lora" if settings.tuning == "lora" else "full"
    module = trainable_module(encoder, tuning)
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = settings.dropout
    fast = encoder.device.startswith("cuda") or multiplies_bf16()
    bf16 = settings.precision == "bf16" or (settings.precision == "auto" and fast)
    temperature = Temperature(settings.temperature, settings.learned)
    return ContrastiveEncoder(module, encoder, settings.width, temperature, bf16)


@torch.no_grad()
def _look(
    model: ContrastiveEncoder, chunks: Documents, validation: Sequence[Pair]
) -> dict[str, float]:
    """Compute alignment of the Good Fits and uniformity over their documents; {} if too few."""
    good = [(p.jd, p.cv) for p in validation if p.label == GOOD]
    ids = sorted({i for pair in good for i in pair})
    if len(ids) < 3:
        return {}
    z = _represent(model, [chunks[i] for i in ids])
    at = {i: row for row, i in enumerate(ids)}
    pairs = torch.tensor([(at[jd], at[cv]) for jd, cv in good], device=z.device)
    return {"alignment": alignment(z, pairs).item(), "uniformity": uniformity(z).item()}


@torch.no_grad()
def _represent(model: ContrastiveEncoder, documents: Sequence[Sequence[Tokens]]) -> Tensor:
    """Compute the representations of whole documents without dropout, [document width]."""
    model.eval()
    rows = model.rows(documents)
    return model.represent(torch.cat([model.encode(m) for m in rows.micro_batches]), rows)
