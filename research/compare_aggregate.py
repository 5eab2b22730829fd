"""Attend, compare, aggregate: each requirement is compared with what it finds in the CV, and only
then are the requirements added up.

`research.chunk_attention` pools each side to one vector and compares once, so it cannot say that
one requirement is met twice over and another one not at all. Here the order is that of decomposable
attention (Parikh et al. 2016, sections 3.1 to 3.3), for the chunks of `RequirementChunker`.
"""

from __future__ import annotations

import torch
from einops import einsum, rearrange, repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import normalize, softplus

from jdcv_core.errors import InputError, nearest
from jdcv_core.masking import real_only
from jdcv_core.requirements import Evidence
from jdcv_core.types import ChunkVectors
from research.experience.experience_chunking import DURATION, PLACE, RECENCY
from research.experience.weights import PACE, Decay

MAXIMUM = ("hard", "soft")
VECTOR_PACE = 10.0
LEVEL_PACE = 2.0
"""Vectors learn this many times as fast as a matrix; single numbers learn `PACE` times as fast."""
TITLE_CHUNKS = 3
"""The first chunks of a document, in which its title stands."""


class CompareAggregate(nn.Module):
    """Compare each JD chunk with the CV chunks that answer it, then add up over JD chunks. Ours.

        s_ik  = cos(A u_i, B v_k) + weight · cos(words_i, words_k)    attend
        p_ik  = sigmoid(scale (s_ik - threshold))                     compare
        c_i   = max_k p_ik, or `MonthCoverage` with months
        logit = gain sum_i a_i c_i + bias - level                     aggregate

    a_i = sigmoid(w . u_i) / sum_i sigmoid(w . u_i), and level a `LevelGap`. A and B start as the
    identity and w as 0, so an untrained logit rises with the best cosine of each JD chunk. A gate
    and not a softmax, so that all requirements can have the same weight, and all other lines none.

    dim:        width of the chunk vectors
    saturate:   without it, p_ik = s_ik
    importance: without it, a_i = 1 / number of JD chunks
    maximum:    "hard": max; "soft": the mean of p_ik weighted by a softmax of temperature · s_ik
    months:     add up the months of the experiences that answer a JD chunk
    level:      subtract the level that the CV lacks; without it, 0
    words:      compare the words of the chunks, too (`encoding.term_weights`); without it, weight 0

    Returns [pair]. Padding never changes it; the order of chunks has no effect, except that `level`
    reads the first ones. Raises InputError for an unknown maximum and for months without
    saturation, ValueError for CVs without months if `months`.

    >>> jd = ChunkVectors.pad({"jd:1": torch.eye(2)}, ["jd:1"])
    >>> cv = ChunkVectors.pad({"cv:1": torch.eye(2)[:1]}, ["cv:1"])
    >>> scorer = CompareAggregate(2, saturate=False)
    >>> scorer(jd, cv).tolist()  # the best cosines of the two JD chunks are 1 and 0: 4 * 0.5 - 2
    [0.0]
    """

    def __init__(
        self,
        dim: int,
        saturate: bool = True,
        importance: bool = True,
        maximum: str = "hard",
        months: bool = False,
        level: bool = False,
        words: bool = False,
    ) -> None:
        super().__init__()
        if maximum not in MAXIMUM:
            cure = nearest(maximum, list(MAXIMUM))
            raise InputError(f"maximum={maximum}", "there is no such maximum", cure)
        if months and not saturate:
            what = "months are added up by shares, and without saturation there are none"
            raise InputError("months=true", what, "write saturate: true, or months: false")
        self.jd, self.cv = (nn.Linear(dim, dim, bias=False) for _ in range(2))
        for layer in (self.jd, self.cv):
            nn.init.eye_(layer.weight)
        self.squash = Squash() if saturate else nn.Identity()
        self.temperature = number(10.0) if maximum == "soft" else None
        self.importance = zeros(dim) if importance else None
        self.months = MonthCoverage() if months else None
        self.level = LevelGap(dim) if level else None
        self.reads_words = words
        self.word_weight = number(0.5) if words else None
        self.gain, self.bias = number(4.0), number(-2.0)

    def forward(self, jd: ChunkVectors, cv: ChunkVectors) -> Float[Tensor, " pair"]:
        parts = self.evidence(jd, cv)
        return self.gain() * (parts.importance * parts.covered).sum(1) + self.bias() - parts.level

    def evidence(self, jd: ChunkVectors, cv: ChunkVectors) -> Evidence:
        """The parts of the logit of each pair; numbers of padded chunks in `share` mean nothing."""
        u, v = real_only(jd), real_only(cv)  # [pair i dim], [pair k dim]
        a, b = normalize(self.jd(u), dim=-1), normalize(self.cv(v), dim=-1)
        s = einsum(a, b, "pair i dim, pair k dim -> pair i k")
        if self.word_weight is not None:
            s = s + self.word_weight() * word_cosines(jd, cv)
        p = self.squash(s)

        temperature = None if self.temperature is None else self.temperature()
        if self.months is None:
            one = torch.zeros_like(cv.mask, dtype=torch.long)
            covered = strongest(s, p, cv.mask, one, temperature)[..., 0]  # [pair i]
        else:
            place = places_of(cv)  # [pair k]
            best = strongest(s, p, cv.mask, place, temperature)  # [pair i e]
            covered = self.months(best, cv, place)  # [pair i]

        asked = jd.mask.to(u.dtype)
        if self.importance is not None:
            asked = asked * (u @ self.importance()).sigmoid()
        importance = asked / asked.sum(1, keepdim=True)  # [pair i]
        level = u.new_zeros(len(u)) if self.level is None else self.level(u, v)
        chunk = s.masked_fill(~cv.mask[:, None], -torch.inf).argmax(2)  # [pair i]
        covered = covered.masked_fill(~jd.mask, 0)
        return Evidence(importance, covered, chunk, level, p, self.gain(), self.bias())

    def learnt(self) -> dict[str, float]:
        """The learned half-life in months, if there is one."""
        return {} if self.months is None else {"half_life": self.months.decay.half_life.item()}


class Squash(nn.Module):
    """p = sigmoid(scale (s - threshold)): a cosine becomes the share to which a chunk answers."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.threshold = number(10.0), number(0.35)

    def forward(self, s: Float[Tensor, "pair i k"]) -> Float[Tensor, "pair i k"]:
        return (self.scale() * (s - self.threshold())).sigmoid()


class MonthCoverage(nn.Module):
    """How far the months of a CV cover each JD chunk; evidence of several experiences adds up.

        credit_e = duration_e · 2^(-recency_e / half-life)           months
        c_i      = 1 - exp(-sum_e p_ie credit_e / need)

    p_ie is the largest p_ik in experience e. The chunks that belong to no dated experience count as
    one experience, whose credit is learnt. This is W(E) = f(duration, recency) P(E, J) inside the
    saturation. The half-life, the need and that credit are learnt. All JD chunks have one need: if
    each had its own, read from its vector, the needs would take up a part of the decay, and the
    half-life would come out too short (docs/results/full_stack.md).
    """

    def __init__(self) -> None:
        super().__init__()
        self.decay = Decay(by="recency")
        self.need = number(2.5)  # the logarithm of its months
        self.undated = number(1.0)  # the logarithm of its months

    def forward(
        self, best: Float[Tensor, "pair i e"], cv: ChunkVectors, place: Int[Tensor, "pair k"]
    ) -> Float[Tensor, "pair i"]:
        assert cv.months is not None
        duration, recency = cv.months[..., (DURATION, RECENCY)].nan_to_num().unbind(-1)
        each = duration * self.decay(duration, recency)
        each = torch.where(place > 0, each, self.undated().exp())  # [pair k]
        credit = each.new_zeros(len(each), best.shape[2])
        credit = credit.scatter_reduce(1, place, each, "amax", include_self=False)  # [pair e]
        months = einsum(best, credit, "pair i e, pair e -> pair i")
        return -torch.expm1(-months / self.need().exp())


class LevelGap(nn.Module):
    """level = step · softplus(sum_n asked_n . u_n - sum_n has_n . v_n + margin).

    n counts the title chunks, the first TITLE_CHUNKS of each side, in order. `asked` and `has`, the
    readings of a level from each of them, start as 0. A document has one level, so these learn from
    few examples and more slowly than other vectors.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.asked, self.has = (Fast(torch.zeros(TITLE_CHUNKS, dim), LEVEL_PACE) for _ in range(2))
        self.step, self.margin = number(1.0), number(0.3)

    def forward(
        self, u: Float[Tensor, "pair i dim"], v: Float[Tensor, "pair k dim"]
    ) -> Float[Tensor, " pair"]:
        """u, v: chunk vectors, 0 where padded."""
        asked, has = (
            einsum(x[:, :TITLE_CHUNKS], reading()[: x.shape[1]], "pair n dim, n dim -> pair")
            for x, reading in ((u, self.asked), (v, self.has))
        )
        return self.step() * softplus(asked - has + self.margin())


def places_of(cv: ChunkVectors) -> Int[Tensor, "pair k"]:
    """The experience of each CV chunk, from 1; 0 for a chunk of none.

    Raises ValueError without months.
    """
    if cv.months is None:
        raise ValueError(
            "this scorer counts months, and the CVs have none: chunking.by=requirement gives them, "
            "to rows whose encoder is not trained"
        )
    dated = ~cv.months.isnan().any(-1) & cv.mask
    return torch.where(dated, cv.months[..., PLACE].nan_to_num() + 1, 0).long()


def strongest(
    s: Float[Tensor, "pair i k"],
    p: Float[Tensor, "pair i k"],
    mask: Bool[Tensor, "pair k"],
    place: Int[Tensor, "pair k"],
    temperature: Float[Tensor, ""] | None = None,
) -> Float[Tensor, "pair i e"]:
    """The largest p of each JD chunk among the CV chunks of each place; 0 where there is no chunk.

    s:           cosines
    mask:        of the CV chunks
    place:       of each CV chunk, from 0 on; e is from 0 to the largest place
    temperature: None: the maximum. Else the mean of p, weighted by a softmax of temperature · s
    """
    at = repeat(place, "pair k -> pair i k", i=s.shape[1])
    empty = p.new_zeros(*s.shape[:2], int(place.max()) + 1)
    padded = repeat(~mask, "pair k -> pair i k", i=s.shape[1])
    if temperature is None:
        p = p.masked_fill(padded, -torch.inf)
        if empty.shape[2] == 1:
            return p.amax(2, keepdim=True)  # every CV has a chunk; faster than scatter_reduce
        found = empty.scatter_reduce(2, at, p, "amax", include_self=False)
        return found.masked_fill(found.isneginf(), 0)
    real = s.detach().masked_fill(padded, -torch.inf)
    top = empty.scatter_reduce(2, at, real, "amax", include_self=False).gather(2, at)
    share = (temperature * (s - top).masked_fill(padded, 0)).exp().masked_fill(padded, 0)
    total = empty.scatter_add(2, at, share)
    return empty.scatter_add(2, at, share * p) / total.masked_fill(total == 0, 1)


@torch.no_grad()
def word_cosines(jd: ChunkVectors, cv: ChunkVectors) -> Float[Tensor, "pair i k"]:
    """The cosine of the weighted words of every (JD chunk, CV chunk); 0 where there are none.

    Raises ValueError without words.
    """
    if jd.words is None or cv.words is None:
        raise ValueError("this scorer reads words, and the chunk vectors have none")
    asked, row, w = _terms(jd.words)
    said, line, v = _terms(cv.words)
    count, i_count, k_count = len(jd.ids), jd.words.shape[1], cv.words.shape[1]
    found = jd.vectors.new_zeros(count * k_count, i_count)  # [pair·k, i]
    if not len(asked) or not len(said):
        return jd.vectors.new_zeros(count, i_count, k_count)
    step = int(torch.maximum(asked.max(), said.max())) + 1
    # A token counts within its own pair only, so its key is pair · step + token.
    asked, said = asked + row // i_count * step, said + line // k_count * step
    known, column = asked.unique(return_inverse=True)
    table = found.new_zeros(len(known), i_count)  # [key, i]
    table[column, row % i_count] = w.to(found.dtype)
    at = torch.searchsorted(known, said).clamp_max(len(known) - 1)
    common = known[at] == said
    weighted = table[at[common]] * v[common, None].to(found.dtype)
    found = found.index_add(0, line[common], weighted)
    return rearrange(found, "(pair k) i -> pair i k", pair=count)


def _terms(words: Float[Tensor, "pair chunk term 2"]) -> tuple[Tensor, Tensor, Tensor]:
    """The tokens of all chunks, the number of each one's chunk among all, and its weight."""
    flat = words.flatten(0, 1)  # [pair·chunk, term, 2]
    chunk, term = flat[..., 1].nonzero(as_tuple=True)
    token, weight = flat[chunk, term].unbind(-1)
    return token.long(), chunk, weight


class Fast(nn.Module):
    """A number or vector that learns `pace` times as fast as a matrix: start + pace · moved.

    Adam moves every element of a parameter by about the learning rate in an update. That suits a
    matrix, whose many elements add up, and is far too slow for a threshold.
    """

    def __init__(self, start: Tensor, pace: float) -> None:
        super().__init__()
        self.pace = pace
        self.start: Tensor
        self.register_buffer("start", start, persistent=False)
        self.moved = nn.Parameter(torch.zeros_like(start))

    def forward(self) -> Float[Tensor, "*shape"]:
        return self.start + self.pace * self.moved


def number(start: float) -> Fast:
    """A single number."""
    return Fast(torch.tensor(start), PACE)


def zeros(dim: int) -> Fast:
    """A vector of zeros."""
    return Fast(torch.zeros(dim), VECTOR_PACE)
