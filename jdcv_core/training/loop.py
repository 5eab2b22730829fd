"""The training loop. If it is killed and resumed, it ends with the same weights.

An update depends only on the seed, the step, the weights and the optimiser's state: its pairs are
planned in advance (`sampling`), its learning rates are computed from the step (`optimizer`), and
its random numbers (dropout) are seeded for each step. Therefore a checkpoint holds only the
weights, the optimiser's state and the validation results so far, and a resumed training starts
directly at the checkpoint's step.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from jdcv_core.errors import InputError
from jdcv_core.evaluation.classification import (
    apply_thresholds,
    classes_of,
    classification_metrics,
    tune_thresholds,
)
from jdcv_core.training import checkpoints
from jdcv_core.training.distributed import (
    gather_rows,
    gradients_later,
    rank,
    share,
    total,
    world,
    wrap,
)
from jdcv_core.training.optimizer import make_optimizer, set_rate
from jdcv_core.training.sampling import balanced_plan, natural_plan
from jdcv_core.training.settings import TrainingSettings
from jdcv_core.training.state import (
    Trained,
    Weights,
    load_weights,
    restore_training,
    save_training,
    trained_weights,
)
from jdcv_core.training.trainable import Trainable
from jdcv_core.types import TARGETS


class Stopped(KeyboardInterrupt):
    """Raised when Ctrl-C or SIGTERM stopped training, after the checkpoint was written."""


def train(
    model: Trainable,
    train: Tensor,
    validation: Tensor,
    settings: TrainingSettings,
    seed: int,
    folder: Path | None = None,
    config: Mapping[str, Any] | None = None,
    start: Callable[[int], None] = lambda step: None,
    report: Callable[[int, Mapping[str, float]], None] = lambda step, figures: None,
    advance: Callable[..., None] = lambda steps=1, note=None: None,
) -> Trained:
    """Train, and keep the weights with the best validation result.

    model:             is trained in place; afterwards it has the best weights and is in eval mode
    train, validation: int [pair], indices into the model's pairs
    seed:              seed of the order of pairs and of dropout. The states of the global
                       generators are restored at the end
    folder:            folder of checkpoints; if it holds one, training resumes from it. None means
                       that no checkpoints are written
    config:            is written into each checkpoint; a checkpoint with another config is refused
    start:             callback, called once with the first step: 0, or the checkpoint's
    report:            callback, called with step and figures every `log_every` steps and at every
                       validation
    advance:           callback, called after each step, for a progress bar

    The best weights are those with the highest weighted F1 on the validation pairs, where the cuts
    between classes are tuned, too. If several validations have the same F1, the earliest is best.
    The test pairs are not used.

    With several processes (`distributed.processes`), each processes its share of every batch.
    Without dropout, the losses equal those of one process up to rounding.

    Raises InputError for settings out of range and for a checkpoint that is damaged or belongs to
    another training. Raises Stopped on SIGINT or SIGTERM, after it has written a checkpoint.
    """
    settings.check()
    if settings.batch < world():
        what = f"{world()} processes cannot share so few pairs"
        raise InputError(
            f"training.batch={settings.batch}", what, f"give training.batch={world()} or more"
        )
    plan = make_plan(model, train.numpy(), settings, seed)
    whole = wrap(model, settings.sharded)
    optimizer = make_optimizer(whole, settings)
    trained, best = Trained(unit=model.unit), cast(Weights, {})
    kept = {"settings": asdict(settings), "seed": seed, **(config or {})}
    with _own_randomness(), _signals() as stop:
        if folder is not None and (found := checkpoints.latest_checkpoint(folder)):
            trained, best = restore_training(found, whole, model, optimizer, kept)
            advance(trained.step, "resumed")
        start(trained.step)
        while not trained.finished(settings):
            started = time.perf_counter()
            torch.manual_seed(_step_seed(seed, trained.step))
            rate = set_rate(optimizer, trained.step, settings)
            batches = batches_of(model, plan[trained.step], settings.batch)
            done, norm, asked = _update(whole, model, batches, optimizer, settings, bool(stop))
            _check_finite(done, trained.step)
            trained.step += 1
            work = sum(model.work(batch) for batch in batches)
            trained.work += work
            trained.losses.append(done)
            seconds = time.perf_counter() - started
            last = trained.step == settings.steps
            speed = work / seconds
            advance(1, f"loss {done:.3f}  rate {rate:.1e}  {speed:,.0f} {model.unit}/s")
            if trained.step % settings.log_every == 0 or last:
                line = {
                    "step": trained.step,
                    "train_loss": float(np.mean(trained.losses)),
                    "learning_rate": rate,
                    "gradient_norm": norm,
                }
                trained.course.append(line)
                trained.losses = []
                report(trained.step, {**line, f"{model.unit}_per_second": speed})
            if trained.step % settings.evaluate_every == 0 or last:
                if _look(whole, model, validation, trained):
                    best = trained_weights(whole)
                report(trained.step, trained.course[-1])
            trained.seconds += time.perf_counter() - started
            due = trained.step % settings.checkpoint_every == 0 or trained.finished(settings)
            if folder is not None and (due or asked):
                save_training(folder, whole, optimizer, trained, best, kept)
            if asked:
                raise Stopped if folder is not None else KeyboardInterrupt
        load_weights(whole, best)
    whole.eval()
    return trained


def make_plan(
    model: Trainable, train: np.ndarray, settings: TrainingSettings, seed: int
) -> list[np.ndarray]:
    """Plan the pairs of each update from labels, settings and seed; see `sampling`."""
    size = settings.batch * settings.accumulation
    if settings.balance is None:
        return natural_plan(train, model.costs(), size, settings.steps, seed)
    return balanced_plan(
        train,
        model.labels.numpy(),
        size,
        settings.steps,
        seed,
        settings.balance,
        settings.balance_until,
    )


def batches_of(model: Trainable, index: np.ndarray, size: int) -> tuple[Tensor, ...]:
    """Split one update's pairs into batches of `size`, pairs that share documents together."""
    pairs = torch.from_numpy(index)
    return pairs[model.arrange(pairs)].split(size)


@torch.no_grad()
def score_pairs(model: Trainable, index: Tensor) -> np.ndarray:
    """Score the pairs at `index`: float64 [pair] in [0, 1]. Leaves `model` in eval mode.

    With several processes, each scores a part of the pairs, and every process gets all scores.
    """
    model.eval()
    order = model.arrange(index)
    mine = order.tensor_split(world())[rank()]
    scores = np.zeros(len(index))
    logits = model(index[mine if len(mine) else order[:1]])  # every process makes this call
    scores[mine.numpy()] = torch.sigmoid(logits.double()).cpu().numpy()[: len(mine)]
    return gather_rows(scores)


def _update(
    whole: nn.Module,
    model: Trainable,
    batches: Sequence[Tensor],
    optimizer: torch.optim.Optimizer,
    settings: TrainingSettings,
    stop: bool,
) -> tuple[float, float, bool]:
    """Update the weights once by the mean loss of the pairs in all batches.

    Returns this loss, the norm of the gradient before clipping, and whether any process must stop.
    """
    whole.train()
    optimizer.zero_grad()
    pairs, loss = sum(map(len, batches)), 0.0
    for at, batch in enumerate(batches):
        mine, real = share(batch)
        with gradients_later(whole, later=at + 1 < len(batches)):
            losses = whole(mine, model.labels[mine])  # [pair]
            # Gradients are averaged over the processes, so each sum is multiplied by `world`.
            (losses.sum() * (world() / pairs * real)).backward()
        loss += losses.detach().double().sum().item() * real
    norm: Any = nn.utils.clip_grad_norm_(whole.parameters(), settings.clip)
    optimizer.step()
    loss, stops = total([loss, float(stop)])
    norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
    return loss / pairs, float(norm), stops > 0


def _check_finite(loss: float, step: int) -> None:
    if not np.isfinite(loss):
        raise InputError(
            f"training, step {step + 1}",
            f"the loss is {loss}",
            "give a lower training.learning_rate, or training.precision=fp32",
        )


def _look(whole: nn.Module, model: Trainable, validation: Tensor, trained: Trained) -> bool:
    """Score the validation pairs and log a line to the course; return whether F1 is a new best."""
    scores = score_pairs(model, validation)
    labels = model.labels[validation].numpy()
    classes = classes_of(model.labels)
    cuts = tune_thresholds(scores, labels, classes)
    figures = classification_metrics(labels, apply_thresholds(scores, cuts), scores, classes)
    trained.course.append(
        {
            "step": trained.step,
            "validation_loss": float(np.mean((scores - np.array(TARGETS)[labels]) ** 2)),
            "validation_weighted_f1": figures["weighted_f1"],
        }
    )
    trained.looks_without_better += 1
    if figures["weighted_f1"] <= trained.validation_weighted_f1:
        return False
    trained.validation_weighted_f1, trained.thresholds = figures["weighted_f1"], cuts
    trained.best_step, trained.looks_without_better = trained.step, 0
    return True


def _step_seed(seed: int, step: int) -> int:
    """Compute the seed of the random numbers of one update in one process."""
    return int(np.random.SeedSequence([seed, step, rank()]).generate_state(1, np.uint64)[0])


@contextmanager
def _own_randomness() -> Iterator[None]:
    """Restore the global generators at the end."""
    kept = checkpoints.random_state()
    try:
        yield
    finally:
        checkpoints.restore_random_state(kept)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Yield a list that gets the number of each SIGINT or SIGTERM; a second SIGINT interrupts."""
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return

    def note(number: int, frame: Any) -> None:
        if came and number == signal.SIGINT:
            raise KeyboardInterrupt
        came.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
