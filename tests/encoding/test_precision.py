"""The precision is chosen once per machine and model, and kept."""

import numpy as np
import pytest
import torch
from tiny_models import save_gpt2

from jdcv_core.encoding import precision as module
from jdcv_core.encoding.loaders import gpt2
from jdcv_core.encoding.precision import measure_precisions, settle_precision
from jdcv_core.encoding.vector_store import VectorStore

CHUNKS = [[5, 6, 7], [8, 9]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(save_gpt2(tmp_path_factory.mktemp("gpt2")))


@pytest.fixture
def measured(monkeypatch):
    """Replace measurements by given seconds, and count them."""

    def choose(fp32, bf16):
        calls = []

        def measure(encoder):
            calls.append(encoder)
            return {"fp32": fp32, "bf16": bf16}

        monkeypatch.setattr(module, "measure_precisions", measure)
        return calls

    return choose


@pytest.mark.parametrize(
    ("fp32", "bf16", "wanted"), [(2.0, 1.0, "bf16"), (1.0, 2.0, "fp32"), (1.05, 1.0, "fp32")]
)
def test_bf16_is_chosen_only_where_it_is_clearly_faster(folder, measured, fp32, bf16, wanted):
    measured(fp32, bf16)
    encoder = gpt2(path=folder)
    assert settle_precision(encoder) == encoder.precision == wanted


def test_the_first_choice_of_a_machine_is_kept(folder, measured, tmp_path):
    with VectorStore(tmp_path / "vectors.db") as store:
        measured(2.0, 1.0)
        assert settle_precision(gpt2(path=folder), store) == "bf16"
        calls = measured(1.0, 2.0)
        assert settle_precision(gpt2(path=folder), store) == "bf16"
        assert not calls
        assert settle_precision(gpt2(path=folder, pooling="last"), store) == "fp32"


def test_a_precision_that_was_asked_for_is_not_measured(folder, measured):
    calls = measured(2.0, 1.0)
    assert settle_precision(gpt2(path=folder, precision="fp32")) == "fp32"
    assert not calls


def test_a_real_measurement_leaves_the_encoder_as_it_was(folder):
    encoder = gpt2(path=folder, device="cpu")
    seconds = measure_precisions(encoder)
    assert seconds.keys() == {"fp32", "bf16"}
    assert all(0 < s < float("inf") for s in seconds.values())
    assert (encoder.precision, encoder.calls, encoder.chunks_encoded) == ("auto", 0, 0)
    assert next(encoder.module.parameters()).dtype == torch.float32


def test_bf16_is_near_fp32_and_fp32_is_restored_exactly(folder):
    encoder = gpt2(path=folder, precision="fp32", device="cpu")
    exact = encoder.encode_chunks(CHUNKS)
    encoder.set_precision("bf16")
    rounded = encoder.encode_chunks(CHUNKS)
    assert next(encoder.module.parameters()).dtype == torch.bfloat16
    assert rounded.dtype == np.float32
    assert not np.array_equal(rounded, exact)
    np.testing.assert_allclose(rounded, exact, atol=0.1)
    encoder.set_precision("fp32")
    np.testing.assert_array_equal(encoder.encode_chunks(CHUNKS), exact)
