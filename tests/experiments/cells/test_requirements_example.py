"""The pair that an experiment draws by requirements."""

import numpy as np
import pytest

from experiments.cells.explain import requirements_example
from jdcv_core.data.splits import Split
from jdcv_core.scoring import MeanPairs
from jdcv_core.training.pairs import PairTensors
from jdcv_core.training.trainable import OnVectors
from jdcv_core.types import Dataset, Document, Pair
from research.compare_aggregate import CompareAggregate

AXES = np.eye(6, dtype=np.float32)
VECTORS = {
    "jd:short": AXES[:2],
    "jd:long": AXES[:4],
    "cv:all": AXES,
    "cv:half": AXES[:1],
    "cv:none": AXES[5:],
}
PAIRS = [
    Pair("cv:half", "jd:short", 1),
    Pair("cv:all", "jd:short", 2),
    Pair("cv:none", "jd:short", 2),
    Pair("cv:half", "jd:long", 2),
    Pair("cv:half", "jd:short", 2),
]
DATASET = Dataset("few", {i: Document(i, "abcdef") for i in VECTORS}, PAIRS)


def example(test, scorer=None):
    model = OnVectors(scorer or CompareAggregate(6), PairTensors.of(PAIRS, VECTORS)).eval()
    found = requirements_example(model, DATASET, Split("jd", (), (), tuple(test)))
    return found.get("requirements", {})


@pytest.mark.parametrize(
    ("test", "chosen"),
    [
        ((0, 1, 2, 3), ("cv:half", "jd:long")),  # the only Good Fit with both
        ((1, 2, 3, 4), ("cv:half", "jd:short")),  # the one with fewer lines
        ((2, 1), ("cv:all", "jd:short")),  # none has both: the first by id
    ],
)
def test_it_is_a_good_fit_that_also_lacks_something(test, chosen):
    found = example(test)
    assert (found["cv"], found["jd"]) == chosen
    assert len(found["covered"]) == len(VECTORS[chosen[1]])
    parts = sum(a * c for a, c in zip(found["importance"], found["covered"], strict=True))
    logit = found["gain"] * parts + found["bias"] - found["level"]
    assert found["score"] == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-6)


def test_there_is_none_without_a_good_fit_and_for_other_scorers():
    assert example((0,)) == {}
    assert example((1,), MeanPairs(6)) == {}
