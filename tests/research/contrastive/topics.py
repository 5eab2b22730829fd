"""Documents whose topics can only be learned from pairs, for the tests of pretraining in one
process and in several.
"""

from dataclasses import replace

import numpy as np

from jdcv_core.types import Pair
from research.contrastive.pretrain_settings import PretrainSettings

TOPICS, EACH = 6, 8
SETTINGS = PretrainSettings(
    documents=24, steps=80, learning_rate=3e-3, look=20, precision="fp32", chunks=None
)
TOGETHER = replace(SETTINGS, steps=6, dropout=0.0)
"""Settings without dropout, which differs between processes, to compare two processes with one."""


def corpus():
    """Make JDs and CVs that share no words within a topic, so that only pairs show the topic."""
    rng = np.random.default_rng(0)
    chunks, pairs = {}, []
    for topic in range(TOPICS):
        for i in range(EACH):
            for side, start in (("jd", 10), ("cv", 150)):
                words = rng.integers(start + 20 * topic, start + 20 * topic + 20, 20)
                chunks[f"{side}:{topic}-{i}"] = [words.tolist()]
    ids = [i for i in chunks if i.startswith("jd")]
    for jd in ids:
        for cv in (i for i in chunks if i.startswith("cv")):
            same = jd.split(":")[1][0] == cv.split(":")[1][0]
            if rng.random() < (0.6 if same else 0.15):
                pairs.append(Pair(cv, jd, 2 if same else 0))
    held = {f"{side}:{t}-{i}" for side in ("jd", "cv") for t in range(TOPICS) for i in (6, 7)}
    train = [p for p in pairs if p.jd not in held and p.cv not in held]
    test = [p for p in pairs if p.jd in held and p.cv in held]
    return chunks, train, test
