"""FlashAttention for several lengths equals ranges and the float mask, on CUDA only."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from jdcv_core.encoding import attention_backends
from jdcv_core.encoding.attention_backends import (
    RowPlan,
    float_mask,
    row_arguments,
    row_attention,
    varlen,
    varlen_kernel,
)
from jdcv_core.encoding.row_layout import long_row, packed_chunks, shared_prefix

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
LAYOUTS = {
    "packed": packed_chunks([40, 7, 40, 1, 130]),
    "both ways": packed_chunks([40, 7, 40, 1, 130], causal=False),
    "shared": shared_prefix(70, [33, 128, 33]),
    "reader": shared_prefix(70, [33, 128, 33], reader=9),
}
SCALE = 0.11


def heads(layout, dtype):
    numbers = torch.Generator("cuda").manual_seed(0)
    shape = (3, 1, 4, layout.length, 64)
    return torch.randn(shape, generator=numbers, device="cuda").to(dtype)


def reference(given, layout):
    """The attention of the float mask in fp32, [1, token, head, dim]."""
    mask = float_mask(layout).cuda()
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        out = scaled_dot_product_attention(*given.float(), attn_mask=mask, scale=SCALE)
    return out.transpose(1, 2)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_flash_attention_equals_the_float_mask_forward_and_backward(layout, monkeypatch):
    """bf16 keeps 8 bits; each output is a mean of values of size about 1."""
    if varlen_kernel() is None:
        pytest.skip("needs torch 2.10")
    used = []
    monkeypatch.setattr(
        attention_backends, "varlen", lambda *given: used.append(1) or varlen(*given)
    )
    given = heads(layout, torch.bfloat16).requires_grad_()
    plan = RowPlan.of(layout, "cuda")
    found = row_attention(torch.nn.Module(), *given, plan, SCALE, 0.0)
    assert used
    wanted = reference(given, layout)
    torch.testing.assert_close(found.float(), wanted, atol=2**-6, rtol=2**-6)
    weights = torch.randn_like(wanted)
    ours, exact = (torch.autograd.grad((x * weights).sum(), given)[0] for x in (found, wanted))
    error = (ours.float() - exact.float()).norm() / exact.float().norm()
    assert error < 2**-6


@pytest.mark.parametrize(
    "layout", [*LAYOUTS.values(), long_row(20, 100, window=16, reader=3)], ids=[*LAYOUTS, "long"]
)
def test_ranges_equal_the_float_mask_in_fp32_and_with_a_window(layout):
    given = heads(layout, torch.float32).requires_grad_()
    found = row_attention(torch.nn.Module(), *given, RowPlan.of(layout, "cuda"), SCALE, 0.0)
    wanted = reference(given, layout)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    weights = torch.randn_like(wanted)
    ours, exact = (torch.autograd.grad((x * weights).sum(), given)[0] for x in (found, wanted))
    torch.testing.assert_close(ours, exact, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_token_that_is_not_seen_gets_exactly_no_gradient(layout):
    given = heads(layout, torch.bfloat16).requires_grad_()
    out = row_attention(torch.nn.Module(), *given, RowPlan.of(layout, "cuda"), SCALE, 0.0)
    seen = torch.from_numpy(layout.visible()).cuda()
    for token in (0, layout.length // 2, layout.length - 1):
        gradient = torch.autograd.grad(out[0, token].float().sum(), given, retain_graph=True)[0]
        for part in gradient[1:]:  # keys and values
            reached = part[0].abs().amax((0, 2)) > 0
            assert not reached[~seen[token]].any()
            assert reached.any()


def test_gpt2_in_bf16_packs_as_separate_passes(tmp_path):
    from tiny_models import save_gpt2

    from jdcv_core.encoding.loaders import gpt2

    encoder = gpt2(path=str(save_gpt2(tmp_path)), precision="bf16", device="cuda")
    chunks = [tuple(range(5, 5 + n)) for n in (40, 7, 40, 1, 60)]
    assert encoder.plan(chunks).packed
    exact = gpt2(path=str(tmp_path), precision="fp32", device="cuda")
    wanted = torch.from_numpy(exact.encode_chunks(chunks))
    found = torch.from_numpy(encoder.encode_chunks(chunks))
    assert encoder.calls == 1
    error = (found - wanted).norm(dim=1) / wanted.norm(dim=1)
    assert 0 < error.max() < 2**-9 * 10 * 2  # ten roundings in each of two layers, at worst


def test_a_row_of_a_network_has_no_value_that_is_nan(tmp_path):
    from tiny_models import save_llama

    from jdcv_core.encoding.loaders import causal_lm

    module = causal_lm(str(save_llama(tmp_path)), precision="bf16", device="cuda").module
    layout = shared_prefix(9, [5, 12])
    ids = torch.arange(5, 5 + layout.length, device="cuda")[None]
    with torch.inference_mode():
        states = [
            module(input_ids=ids, use_cache=False, **row_arguments(layout, "cuda", reference=r))
            for r in (False, True)
        ]
    ours, wanted = (s.last_hidden_state.float() for s in states)
    assert not ours.isnan().any()
    assert (ours - wanted).norm() / wanted.norm() < 2**-9 * 10 * 2
