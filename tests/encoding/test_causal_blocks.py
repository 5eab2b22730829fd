"""Attention in blocks equals torch's, for every block size and head layout, inside real models."""

import pytest
import torch
from tiny_models import save_gpt2, save_llama
from torch.nn.functional import scaled_dot_product_attention
from transformers import AutoModel

from jdcv_core.encoding import causal_blocks as module
from jdcv_core.encoding.attention_backends import NAME, use_row_attention
from jdcv_core.encoding.causal_blocks import causal_blocks

IDS = torch.arange(3, 63)[None].repeat(2, 1)


@pytest.mark.parametrize("block", [1, 3, 7, 16, 128])
def test_blocks_equal_the_whole_also_on_uneven_tiles(block):
    numbers = torch.Generator().manual_seed(block)
    query, key, value = torch.randn(3, 2, 4, 23, 8, generator=numbers)
    wanted = scaled_dot_product_attention(query, key, value, is_causal=True, scale=0.4)
    ours = causal_blocks(query, key, value, 0.4, block)
    torch.testing.assert_close(ours.transpose(1, 2), wanted, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("save", [save_gpt2, save_llama])  # Llama shares keys between heads
def test_a_decoder_in_bf16_keeps_its_states_to_rounding(save, tmp_path, monkeypatch):
    folder = save(tmp_path)
    exact = AutoModel.from_pretrained(folder).eval()
    ours = AutoModel.from_pretrained(folder).eval()
    use_row_attention(ours)
    assert ours.config._attn_implementation == NAME
    plain = AutoModel.from_pretrained(folder, dtype=torch.bfloat16).eval()
    ours.to(torch.bfloat16)
    calls = []
    monkeypatch.setattr(
        module, "causal_blocks", lambda *a: calls.append(1) or causal_blocks(*a[:4], 16)
    )
    with torch.inference_mode():
        states = [
            m(input_ids=IDS, use_cache=False).last_hidden_state.float()
            for m in (exact, plain, ours)
        ]
    assert len(calls) == 2  # once a layer
    error_plain, error_ours = ((s - states[0]).abs().mean() for s in states[1:])
    assert error_ours < 1.5 * error_plain


def test_elsewhere_a_decoder_runs_on_sdpa(tmp_path, monkeypatch):
    folder = save_gpt2(tmp_path)
    plain, ours = (AutoModel.from_pretrained(folder).eval() for _ in range(2))
    use_row_attention(ours)
    monkeypatch.setattr(module, "causal_blocks", lambda *_: pytest.fail("used in fp32"))
    mask = torch.ones_like(IDS)
    mask[0, 40:] = 0
    with torch.inference_mode():
        for given in ({}, {"attention_mask": mask}):
            wanted = plain(input_ids=IDS, **given).last_hidden_state
            assert torch.equal(ours(input_ids=IDS, **given).last_hidden_state, wanted)
    ours.to(torch.bfloat16)
    ours(input_ids=IDS).last_hidden_state.sum().backward()  # with gradients, too
    with torch.inference_mode():
        ours(input_ids=IDS, attention_mask=mask)
