"""LoRA and full training of an encoder: what is trained, what is not, and merging."""

import pytest
import tiny_models
import torch
from peft.tuners.lora import LoraLayer

from jdcv_core.encoding.loaders import causal_lm, sentence_transformer
from jdcv_core.encoding.lora_tuning import matrices, merge, trainable_module, with_module
from jdcv_core.errors import InputError

CHUNKS = [[5, 6, 7, 8], [9, 10, 11], [5, 6, 7, 8, 9, 10]]


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def encoder(request, tmp_path_factory):
    folder = getattr(tiny_models, f"save_{request.param}")(tmp_path_factory.mktemp("model"))
    return causal_lm(str(folder), pooling="mean", precision="fp32")


def vectors(encoder, module):
    ids, mask, own = encoder.rows(CHUNKS)
    return encoder.network.vectors(module, ids, mask, own)


def test_lora_adapts_every_matrix_and_trains_nothing_else(encoder):
    module = trainable_module(encoder, "lora", rank=2)
    bare = trainable_module(encoder, "frozen")
    # GPT-2 has c_attn, c_proj, c_fc and c_proj in a layer; Llama q, k, v, o, gate, up and down.
    a_layer = {"gpt2": 4, "llama": 7}[encoder.network.identity["model_type"]]
    adapted = [m for m in module.modules() if isinstance(m, LoraLayer)]
    assert len(adapted) == len(matrices(bare)) == 2 * a_layer
    trained = {n for n, p in module.named_parameters() if p.requires_grad}
    assert trained
    assert all("lora_" in name for name in trained)
    sizes = [layer.get_base_layer().weight.shape for layer in adapted]
    numbers = sum(p.numel() for p in module.parameters() if p.requires_grad)
    assert numbers == sum(2 * (rows + columns) for rows, columns in sizes)


def test_adapters_change_nothing_before_the_first_step_and_everything_after(encoder):
    bare = vectors(encoder, trainable_module(encoder, "frozen"))
    module = trainable_module(encoder, "lora", rank=2)
    torch.testing.assert_close(vectors(encoder, module), bare)
    rate = 0.5
    optimizer = torch.optim.SGD([p for p in module.parameters() if p.requires_grad], rate)
    vectors(encoder, module).square().sum().backward()
    optimizer.step()
    assert not torch.allclose(vectors(encoder, module), bare, atol=1e-3)


def test_merging_leaves_a_plain_module_with_the_same_vectors(encoder):
    torch.manual_seed(0)
    module = trainable_module(encoder, "lora", rank=2, alpha=5)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.3)
    before = vectors(encoder, module)
    merged = merge(module)
    assert not any(isinstance(m, LoraLayer) for m in merged.modules())
    assert merged.state_dict().keys() == trainable_module(encoder, "frozen").state_dict().keys()
    torch.testing.assert_close(vectors(encoder, merged), before, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(before, vectors(encoder, trainable_module(encoder, "frozen")))


def test_full_trains_every_weight_and_frozen_none(encoder):
    full, frozen = trainable_module(encoder, "full"), trainable_module(encoder, "frozen")
    assert all(p.requires_grad for p in full.parameters())
    assert not any(p.requires_grad for p in frozen.parameters())


def test_a_trained_encoder_has_another_fingerprint(encoder):
    """Otherwise the store would return the vectors of the untrained encoder."""
    same = with_module(encoder, trainable_module(encoder, "full"))
    again = with_module(encoder, trainable_module(encoder, "full"))
    assert same.weights_fingerprint == again.weights_fingerprint
    module = trainable_module(encoder, "full")
    with torch.no_grad():
        next(module.parameters()).view(-1)[0] += 1e-3
    assert with_module(encoder, module).weights_fingerprint != same.weights_fingerprint
    torch.testing.assert_close(
        torch.tensor(same.encode_chunks(CHUNKS)), torch.tensor(encoder.encode_chunks(CHUNKS))
    )


def test_a_sentence_transformer_can_be_adapted_too():
    encoder = sentence_transformer(precision="fp32")
    module = trainable_module(encoder, "lora", rank=2)
    assert sum(isinstance(m, LoraLayer) for m in module.modules()) == len(
        matrices(trainable_module(encoder, "frozen"))
    )


def test_an_unknown_tuning_and_an_empty_adapter_are_refused(encoder):
    with pytest.raises(InputError, match="(?i)did you mean 'lora'"):
        trainable_module(encoder, "lara")
    with pytest.raises(InputError, match="rank 0"):
        trainable_module(encoder, "lora", rank=0)
