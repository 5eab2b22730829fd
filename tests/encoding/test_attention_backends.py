"""Every back end computes what the layout says: equal to separate passes, forward and backward."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from random_rows import LENGTHS, PACKED, ROWS
from reference import rows as slow
from tiny_models import save_gpt2, save_llama
from torch.nn.functional import scaled_dot_product_attention

from jdcv_core.encoding.attention_backends import (
    RowPlan,
    float_mask,
    row_arguments,
    row_attention,
)
from jdcv_core.encoding.loaders import causal_lm
from jdcv_core.encoding.row_layout import join, long_row, packed_chunks, shared_prefix

SCALE = 0.3
SAVE = {"gpt2": save_gpt2, "llama": save_llama}  # Llama turns positions and shares keys


@pytest.fixture(scope="module", params=SAVE)
def module(request, tmp_path_factory):
    folder = SAVE[request.param](tmp_path_factory.mktemp(request.param))
    return causal_lm(str(folder), precision="fp32", device="cpu").module


@pytest.fixture(params=["ranges", "float mask"])
def states(request, module):
    """A function from ids and layout to the states [token, dim], by each back end."""

    def run(ids, layout, network=module):
        given = row_arguments(layout, reference=request.param == "float mask")
        return network(input_ids=ids[None], use_cache=False, **given).last_hidden_state[0]

    return run


def random_ids(layout, seed=0):
    return torch.randint(3, 300, (layout.length,), generator=torch.manual_seed(seed))


def random_heads(layout, heads=2, dim=8, dtype=torch.float32):
    numbers = torch.Generator().manual_seed(layout.length)
    return torch.randn(3, 1, heads, layout.length, dim, generator=numbers, dtype=dtype)


def gradients(module, loss):
    parameters = [p.requires_grad_() for p in module.parameters()]
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return torch.cat([g.flatten() for g in found if g is not None])


@given(ROWS)
def test_ranges_and_float_mask_equal_attention_token_by_token(layout):
    query, key, value = random_heads(layout)
    plan, module = RowPlan.of(layout), torch.nn.Module()
    ranges = row_attention(module, query, key, value, plan, SCALE, 0.0)[0]
    mask = float_mask(layout)
    masked = scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=SCALE)[0]
    for head in range(query.shape[1]):
        one = (x[0, head] for x in (query, key, value))
        wanted = slow.attention(*one, layout, SCALE).float()
        torch.testing.assert_close(ranges[:, head], wanted, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(masked[head], wanted, atol=1e-5, rtol=1e-5)


@given(ROWS)
def test_the_gradient_of_ranges_is_that_of_the_float_mask(layout):
    heads = random_heads(layout).requires_grad_()
    ranges = row_attention(torch.nn.Module(), *heads, RowPlan.of(layout), SCALE, 0.0)
    mask = float_mask(layout)
    masked = scaled_dot_product_attention(*heads, attn_mask=mask, scale=SCALE).transpose(1, 2)
    weights = torch.randn(ranges.shape, generator=torch.manual_seed(1))
    found, wanted = (torch.autograd.grad((x * weights).sum(), heads)[0] for x in (ranges, masked))
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


@given(st.one_of(PACKED, st.builds(shared_prefix, st.integers(1, 8), LENGTHS)))
def test_each_chunk_equals_a_separate_pass(module, layout):
    ids = random_ids(layout)
    wanted = slow.separate_states(module, ids, layout)
    for reference in (False, True):
        given = row_arguments(layout, reference=reference)
        found = module(input_ids=ids[None], use_cache=False, **given).last_hidden_state[0]
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "layout", [packed_chunks([5, 9, 5, 1]), shared_prefix(7, [6, 11, 6])], ids=["packed", "shared"]
)
def test_the_gradients_of_weights_equal_those_of_separate_passes(module, states, layout):
    ids = random_ids(layout)
    weights = torch.randn(layout.length, 32, generator=torch.manual_seed(2))
    found = gradients(module, (states(ids, layout) * weights).sum())
    # The prefix is part of every separate pass, but only its own states count.
    wanted = gradients(module, (slow.separate_states(module, ids, layout) * weights).sum())
    assert ((found - wanted).norm() / wanted.norm()).item() < 1e-5


LAYOUTS = {
    "packed": packed_chunks([4, 6, 5]),
    "shared": shared_prefix(4, [6, 5, 6]),
    "reader": shared_prefix(4, [6, 5, 6], reader=3),
    "long": long_row(4, 20, window=5, reader=2),
    "joined": join([shared_prefix(3, [4, 4]), packed_chunks([5])]),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_token_that_is_not_seen_changes_no_bit_and_gets_no_gradient(module, states, layout):
    """Tokens reach others through several layers, so the rule is applied as often."""
    ids, reach = random_ids(layout), torch.from_numpy(layout.visible())
    layers = module.config.num_hidden_layers
    seen = torch.linalg.matrix_power(reach.float(), layers) > 0
    before = states(ids, layout).detach()
    embed = module.get_input_embeddings()
    for token in range(0, layout.length, 3):
        other = ids.clone()
        other[token] = (ids[token] + 7) % 300
        changed = (states(other, layout) != before).any(-1)
        assert not changed[~seen[:, token]].any()
        assert changed[token]
        out = []
        hook = embed.register_forward_hook(lambda *a, out=out: out.append(a[2].requires_grad_()))
        unseen = states(ids, layout)[~seen[:, token]]
        hook.remove()
        if len(unseen):
            gradient = torch.autograd.grad(unseen.sum(), out[0])[0][0]
            assert gradient[token].abs().max() == 0.0
            assert gradient.abs().max() > 0.0


def test_the_order_of_chunks_does_not_change_the_reader(module, states):
    lengths, order = [6, 3, 8, 3], [2, 0, 3, 1]
    layout = shared_prefix(5, lengths, reader=4)
    ids = random_ids(layout)
    prefix, *chunks, reader = ids.split([5, *lengths, 4])
    turned = torch.cat([prefix, *(chunks[i] for i in order), reader])
    first = states(ids, layout)
    second = states(turned, shared_prefix(5, [lengths[i] for i in order], reader=4))
    torch.testing.assert_close(second[-4:], first[-4:], atol=1e-5, rtol=1e-5)
    own = first[:-4].split([5, *lengths])
    wanted = torch.cat([own[0], *(own[1 + i] for i in order)])
    torch.testing.assert_close(second[:-4], wanted, atol=1e-5, rtol=1e-5)
    other = states(torch.cat([ids[:-4], ids[-4:] + 1]), layout)
    assert not torch.allclose(other[-4:], first[-4:], atol=1e-2)


def test_a_blocked_prefix_is_the_same_as_no_prefix(module, states):
    layout = shared_prefix(4, [6, 5])
    blind = replace(layout, blocks=tuple(replace(b, sees=(), start=0) for b in layout.blocks))
    ids = random_ids(layout)
    alone = states(ids[4:], packed_chunks([6, 5]))
    torch.testing.assert_close(states(ids, blind)[4:], alone, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(states(ids, layout)[4:], alone, atol=1e-2)


def test_a_network_that_does_not_read_the_plan_returns_nan(module):
    layout = packed_chunks([3, 4])
    given = row_arguments(layout)
    del given["row_plan"]
    out = module(input_ids=random_ids(layout)[None], use_cache=False, **given)
    assert out.last_hidden_state.isnan().all()


def bf16_bound(layers):
    """The largest relative error of bf16 states: half a unit of the last of 8 bits for each of
    about ten roundings a layer, which add up at worst."""
    return 2**-9 * 10 * layers


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_bf16_is_near_fp32(module, states, layout):
    ids = random_ids(layout)
    exact = states(ids, layout).detach()
    half = type(module)(module.config).to(torch.bfloat16).eval()
    half.load_state_dict(module.state_dict())
    bound = bf16_bound(module.config.num_hidden_layers)
    for no_gradients in (torch.inference_mode, torch.enable_grad):  # blocks of queries, SDPA
        with no_gradients():
            rough = states(ids, layout, half).detach().float()
        error = (rough - exact).norm(dim=-1) / exact.norm(dim=-1)
        assert 0 < error.max() < bound


def test_bf16_without_gradients_uses_blocks_of_queries_also_with_a_prefix():
    layout = shared_prefix(70, [130, 70])
    heads = random_heads(layout, dtype=torch.bfloat16)
    plan = RowPlan.of(layout)
    module = torch.nn.Module().eval()
    with torch.inference_mode():
        found = row_attention(module, *heads, plan, SCALE, 0.0).float()
    mask = float_mask(layout)
    wanted = scaled_dot_product_attention(*heads.float(), attn_mask=mask, scale=SCALE)
    torch.testing.assert_close(found, wanted.transpose(1, 2), atol=2**-6, rtol=2**-6)


def test_dropout_acts_in_training():
    layout = packed_chunks([8, 8])
    heads = random_heads(layout)
    plan = RowPlan.of(layout)
    given = [row_attention(torch.nn.Module(), *heads, plan, SCALE, p) for p in (0.0, 0.0, 0.5)]
    assert torch.equal(given[0], given[1])
    assert not torch.allclose(given[0], given[2])
