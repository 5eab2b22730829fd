import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from jdcv_core.errors import InputError
from research.experience.weights import FAMILY, Decay, Linear, make_f

MONTHS = torch.arange(0, 481, 3.0)


@pytest.mark.parametrize("name", list(FAMILY))
@given(seed=st.integers(0, 10**6), scale=st.sampled_from([0.0, 0.03, 0.3]))
def test_longer_never_counts_less_and_older_never_more(name, seed, scale):
    """Whatever training may do to the parameters."""
    f = make_f(name)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in f.parameters():
            parameter += scale * torch.randn(parameter.shape, generator=generator)
        still = torch.full_like(MONTHS, 30.0)
        by_duration, by_age = f(MONTHS, still), f(still, MONTHS)
    assert (by_duration.diff() >= -1e-6 * by_duration[1:].abs()).all()
    assert (by_age.diff() <= 1e-6 * by_age[1:].abs()).all()
    assert (by_age >= 0).all()
    assert by_age[0] > 0


@pytest.mark.parametrize("half_life", [6.0, 60.0, 240.0])
@pytest.mark.parametrize("kind", ["exponential", "hyperbolic"])
def test_after_a_half_life_it_is_half(half_life, kind):
    f = Decay(half_life, kind)
    months = torch.tensor([36.0, 36.0])
    now, then = f(months, torch.tensor([0.0, half_life])).tolist()
    assert then / now == pytest.approx(0.5, rel=1e-5)


def test_the_formulas():
    d, a = torch.tensor([24.0]), torch.tensor([60.0])
    log3 = torch.tensor(3.0).log()
    assert Decay(60.0)(d, a).item() == pytest.approx(float(log3 / 2), rel=1e-5)
    assert Linear(120.0)(d, a).item() == pytest.approx(1.0)
    assert Decay(60.0, by="recency")(d, a).item() == pytest.approx(0.5, rel=1e-5)
    assert Decay(60.0, by="duration")(d, a).item() == pytest.approx(float(log3), rel=1e-5)
    assert make_f("uniform")(d, a).item() == 1


def test_only_what_is_used_is_learnt():
    assert not Decay(by="duration").moved.requires_grad
    assert Decay().moved.requires_grad


@pytest.mark.parametrize("choice", [{"kind": "exp"}, {"by": "age"}])
def test_an_unknown_choice_is_refused(choice):
    with pytest.raises(InputError, match="no such choice"):
        Decay(**choice)
    with pytest.raises(InputError, match="no such weight"):
        make_f("halflife")
