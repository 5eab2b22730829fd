"""One of two processes that pretrain an encoder together; `test_pretraining` starts it.

python gloo_pretrain.py FOLDER   (input: FOLDER/gpt2, output: FOLDER/found.safetensors)
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import torch
from safetensors.torch import save_file
from topics import TOGETHER, corpus

from jdcv_core.encoding.loaders import causal_lm
from jdcv_core.training.distributed import processes, rank
from research.contrastive.pretraining import pretrain

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    with processes():
        torch.set_num_threads(1)
        encoder = causal_lm(str(folder / "gpt2"), pooling="mean", precision="fp32", batch_tokens=96)
        chunks, train, test = corpus()
        module, course = pretrain(encoder, chunks, train, test, TOGETHER, 0)
        weights = {name: p.detach().contiguous() for name, p in module.named_parameters()}
        weights["loss"] = torch.tensor([line["loss"] for line in course if "loss" in line])
        save_file(weights, folder / f"found-{rank()}.safetensors")
    sys.stdout.flush()
    os._exit(0)
