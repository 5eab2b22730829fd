"""One process of several that train together; `test_distributed` starts it as torchrun does.

python worker.py FOLDER KIND TUNING...   (KIND: ddp or fsdp; FOLDER has the model, and gets the
results; TUNING: full, lora, or a name in `tuned.ROWS`)
"""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import safetensors.torch
import torch
import tuned

from jdcv_core.encoding.loaders import causal_lm
from jdcv_core.training.distributed import from_first, processes, rank, world
from jdcv_core.training.loop import score_pairs, train
from jdcv_core.training.state import trained_weights

SETTINGS = replace(tuned.SETTINGS, steps=6, log_every=1, evaluate_every=3, checkpoint_every=2)


def work(folder: Path, kind: str, tunings: list[str]) -> None:
    encoder = causal_lm(str(folder / "model"), pooling="mean", precision="fp32")
    data = tuned.tokens()
    for tuning in tunings:
        model = tuned.model(encoder, data, tuning, dropout=0.0)
        settings = replace(SETTINGS, sharded=kind == "fsdp")
        place = folder / f"{kind}-{world()}-{tuning}"
        for stop in (3, None):  # stop with an error, then resume from the checkpoint
            try:
                trained = train(model, *tuned.parts(data), settings, 5, place, advance=dying(stop))
            except ZeroDivisionError:
                model = tuned.model(encoder, data, tuning, dropout=0.0)
        scores = score_pairs(model, torch.arange(len(data.labels)))
        weights = trained_weights(model)
        assert from_first("only process 0 decides" if rank() == 0 else None)
        if rank() == 0:
            safetensors.torch.save_file(
                {name: w.contiguous() for name, w in weights.items()}, f"{place}.safetensors"
            )
            facts = {"course": trained.course, "scores": scores.tolist()}
            Path(f"{place}.json").write_text(json.dumps(facts))


def dying(after: int | None):
    steps = 0

    def advance(count: int = 1, note: str | None = None) -> None:
        nonlocal steps
        steps += count
        if steps == after:
            raise ZeroDivisionError

    return advance


if __name__ == "__main__":
    with processes():
        torch.set_num_threads(1)
        work(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
    sys.stdout.flush()
    os._exit(0)  # gloo's threads sometimes abort the interpreter's regular exit
