"""Slow rivals of chunk attention: they compute the logit of one pair with scalar loops.

They share no code with the toolkit. A document is a list of chunk vectors, which are lists of
numbers; nothing is padded. `weights` maps the names of a scorer's parameters to nested lists.
"""

import hashlib
import math

from reference.scorers import dot, head, layer_norm, pooled, sigmoid, softmax, times


def plus(*vectors):
    return [sum(each) for each in zip(*vectors, strict=True)]


def mean(vectors):
    return [sum(each) / len(vectors) for each in zip(*vectors, strict=True)]


def weighted(shares, vectors):
    scaled = [[share * x for x in v] for share, v in zip(shares, vectors, strict=True)]
    return plus(*scaled)


def cosine(weights, jd, cv):
    return head({**weights, "head.scale": [1.0], "head.bias": [0.0]}, jd, cv)


def scaled(weights, value):
    (scale,), (bias,) = weights["head.scale"], weights["head.bias"]
    return scale * value + bias


def first(weights, jd, cv):
    return head(weights, jd[0], cv[0])


def random(weights, jd, cv, jd_id, cv_id, seed):
    def one(document, name):
        digest = hashlib.sha256(f"{seed} {name}".encode()).hexdigest()
        return document[int(digest[:8], 16) % len(document)]

    return head(weights, one(jd, jd_id), one(cv, cv_id))


def mean_vectors(weights, jd, cv):
    return head(weights, mean(jd), mean(cv))


def attention_pooling(weights, jd, cv):
    return head(weights, pooled(weights, "pool_jd", jd), pooled(weights, "pool_cv", cv))


def poly_codes(weights, jd, cv):
    u = mean(jd)
    found = [weighted(softmax([dot(c, v) for v in cv]), cv) for c in weights["codes"]]
    return head(
        weights, u, weighted(softmax([dot(u, y) / math.sqrt(len(u)) for y in found]), found)
    )


def best_pairs(weights, jd, cv, k):
    best = sorted((cosine(weights, u, v) for u in jd for v in cv), reverse=True)[:k]
    return scaled(weights, sum(best) / len(best))


def sum_pairs(weights, jd, cv):
    cosines = [cosine(weights, u, v) for u in jd for v in cv]
    return scaled(weights, sum(cosines) / math.sqrt(len(cosines)))


def max_sim(weights, jd, cv):
    from_jd = [max(cosine(weights, u, v) for v in cv) for u in jd]
    from_cv = [max(cosine(weights, u, v) for u in jd) for v in cv]
    return scaled(weights, (sum(from_jd) / len(jd) + sum(from_cv) / len(cv)) / 2)


def histogram(weights, jd, cv, width):
    total = 0.0
    for centre, weight in zip(weights["centres"], weights["weight"], strict=True):
        for u in jd:
            distances = [cosine(weights, u, v) - centre for v in cv]
            frequency = sum(math.exp(-(d**2) / (2 * width**2)) for d in distances)
            total += weight * math.log(1 + frequency) / len(jd)
    return scaled(weights, total)


def parade(weights, jd, cv, heads):
    return head(weights, _transformed(weights, jd, heads), _transformed(weights, cv, heads))


def recurrent(weights, jd, cv):
    return head(weights, _recurred(weights, jd), _recurred(weights, cv))


def widened(weights, document):
    """Compute x + W2 gelu(W1 norm(x)) of every chunk."""
    wide = []
    for x in document:
        hidden = [gelu(h) for h in times(weights["up.weight"], layer_norm(x))]
        wide.append(plus(x, times(weights["down.weight"], hidden)))
    return wide


def gelu(x):
    return x * (1 + math.erf(x / math.sqrt(2))) / 2


def _linear(weights, name, x):
    return plus(times(weights[f"{name}weight"], x), weights[f"{name}bias"])


def _normed(weights, name, x):
    scale, shift = weights[f"{name}.weight"], weights[f"{name}.bias"]
    return [s * n + b for s, n, b in zip(scale, layer_norm(x), shift, strict=True)]


def _transformed(weights, document, heads):
    states, layer = [weights["first"], *document], 0
    while f"layers.layers.{layer}.norm1.weight" in weights:
        states = _transformer_layer(weights, f"layers.layers.{layer}", states, heads)
        layer += 1
    return plus(mean(document), times(weights["out.weight"], states[0]))


def _transformer_layer(weights, name, states, heads):
    normed = [_normed(weights, f"{name}.norm1", x) for x in states]
    dim = len(states[0])
    mixed = [_linear(weights, f"{name}.self_attn.in_proj_", x) for x in normed]
    read = []
    for one in mixed:
        gathered = []
        for h in range(heads):
            part = slice(h * dim // heads, (h + 1) * dim // heads)
            size = math.sqrt(dim // heads)
            shares = softmax([dot(one[:dim][part], k[dim : 2 * dim][part]) / size for k in mixed])
            gathered += weighted(shares, [v[2 * dim :][part] for v in mixed])
        read.append(_linear(weights, f"{name}.self_attn.out_proj.", gathered))
    states = [plus(x, r) for x, r in zip(states, read, strict=True)]
    result = []
    for x in states:
        hidden = _linear(weights, f"{name}.linear1.", _normed(weights, f"{name}.norm2", x))
        result.append(plus(x, _linear(weights, f"{name}.linear2.", [gelu(h) for h in hidden])))
    return result


def _recurred(weights, document):
    size = len(weights["lstm.weight_hh_l0"][0])
    state, cell = [0.0] * size, [0.0] * size
    for x in document:
        gates = plus(
            times(weights["lstm.weight_ih_l0"], x),
            weights["lstm.bias_ih_l0"],
            times(weights["lstm.weight_hh_l0"], state),
            weights["lstm.bias_hh_l0"],
        )
        enter, keep, new, show = (gates[g * size : (g + 1) * size] for g in range(4))
        cell = [
            sigmoid(k) * c + sigmoid(e) * math.tanh(n)
            for k, c, e, n in zip(keep, cell, enter, new, strict=True)
        ]
        state = [sigmoid(s) * math.tanh(c) for s, c in zip(show, cell, strict=True)]
    return plus(mean(document), times(weights["out.weight"], state))
