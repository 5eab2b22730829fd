"""Experiments: `run.py` composes a configuration and runs a recipe on it."""

import os

# Before torch is imported. OpenMP's threads wait by spinning; where other work shares the cores,
# 25 training steps took 127 s that way and 15 s with a short wait.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
