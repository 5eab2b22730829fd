"""Slow scorers of one pair, with scalar loops. They share no code with the toolkit.

A document is a list of chunk vectors, which are lists of numbers; nothing is padded. `weights` maps
the names of a scorer's parameters to nested lists; a term without weights is switched off.
"""

import math

from reference import losses


def times(matrix, vector):
    return [sum(w * x for w, x in zip(row, vector, strict=True)) for row in matrix]


def dot(u, v):
    return sum(a * b for a, b in zip(u, v, strict=True))


def softmax(logits):
    exponentials = [math.exp(x - max(logits)) for x in logits]
    return [e / sum(exponentials) for e in exponentials]


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def layer_norm(vector):
    mean = sum(vector) / len(vector)
    variance = sum((x - mean) ** 2 for x in vector) / len(vector)
    return [(x - mean) / math.sqrt(variance + 1e-5) for x in vector]


def head(weights, jd, cv):
    """Compute scale * cos(A jd, B cv) + bias."""
    u, v = times(weights["head.jd.weight"], jd), times(weights["head.cv.weight"], cv)
    cosine = dot(u, v) / math.sqrt(dot(u, u) * dot(v, v))
    (scale,), (bias,) = weights["head.scale"], weights["head.bias"]
    return scale * cosine + bias


def head_outputs(weights, jd, cv, shared):
    """Compute a logit for each bias; without `shared`, each has its block of rows and its scale."""
    logits = []
    for k, bias in enumerate(weights["head.bias"]):
        rows = slice(0, len(jd)) if shared else slice(k * len(jd), (k + 1) * len(jd))
        own = {f"head.{side}.weight": weights[f"head.{side}.weight"][rows] for side in ("jd", "cv")}
        scale = weights["head.scale"][0 if shared else k]
        logits.append(head({**own, "head.scale": [scale], "head.bias": [bias]}, jd, cv))
    return logits


def chunk_pairs(weights, objective, jd, cv):
    """Compute the logits of each chunk pair, one list per pair."""
    if objective == "mse":
        return [[head(weights, a, b)] for a in jd for b in cv]
    return [head_outputs(weights, a, b, objective == "coral") for a in jd for b in cv]


def mean_pairs(weights, jd, cv, objective="mse"):
    """Compute the score, not the logit."""
    scores = [losses.score(objective, x) for x in chunk_pairs(weights, objective, jd, cv)]
    return sum(scores) / len(scores)


def mean_pairs_loss(weights, jd, cv, objective, train_on, label):
    if train_on == "mean":
        return (mean_pairs(weights, jd, cv) - label / 2) ** 2
    each = [losses.loss(objective, x, label) for x in chunk_pairs(weights, objective, jd, cv)]
    return sum(each) / len(each)


def place(weights, document):
    """Add the position of each chunk; chunks after the last position share it."""
    if "position" not in weights:
        return document
    last = len(weights["position"]) - 1
    return [
        [x + p for x, p in zip(chunk, weights["position"][min(index, last)], strict=True)]
        for index, chunk in enumerate(document)
    ]


def normed(weights, name, chunk):
    scale, shift = weights[f"terms.{name}.norm.weight"], weights[f"terms.{name}.norm.bias"]
    return [s * x + b for s, x, b in zip(scale, layer_norm(chunk), shift, strict=True)]


def attention(weights, name, heads, chunk, source):
    """Compute the attention of one chunk to each chunk of the source, one list per head."""
    query = times(weights[f"terms.{name}.query.weight"], normed(weights, name, chunk))
    matrix = weights[f"terms.{name}.key.weight"]
    keys = [times(matrix, normed(weights, name, other)) for other in source]
    width = len(query) // heads
    shares = []
    for at in range(0, len(query), width):
        part = slice(at, at + width)
        shares.append(softmax([dot(query[part], key[part]) / math.sqrt(width) for key in keys]))
    return shares


def term(weights, name, heads, document, source):
    """Compute x + O sum_k weight_k V norm(source_k) for every chunk x, or x if the term is off."""
    if f"terms.{name}.query.weight" not in weights:
        return document
    matrix = weights[f"terms.{name}.value.weight"]
    values = [times(matrix, normed(weights, name, other)) for other in source]
    result = []
    for chunk in document:
        shares = attention(weights, name, heads, chunk, source)
        width = len(chunk) // heads
        gathered = [
            sum(share * value[d] for share, value in zip(shares[d // width], values, strict=True))
            for d in range(len(chunk))
        ]
        change = times(weights[f"terms.{name}.out.weight"], gathered)
        result.append([x + c for x, c in zip(chunk, change, strict=True)])
    return result


def pooled(weights, name, document):
    """Compute sum_k a_k x_k with a = softmax of w . tanh(V x_k + b)."""
    logits = []
    for chunk in document:
        hidden = times(weights[f"{name}.hidden.weight"], chunk)
        bias = weights[f"{name}.hidden.bias"]
        squashed = [math.tanh(h + b) for h, b in zip(hidden, bias, strict=True)]
        logits.append(dot(weights[f"{name}.importance.weight"][0], squashed))
    shares = softmax(logits)
    return [
        sum(share * chunk[d] for share, chunk in zip(shares, document, strict=True))
        for d in range(len(document[0]))
    ]


def own_side_read(weights, heads, jd, cv):
    """Compute both sides after positions and self attention."""
    jd, cv = place(weights, jd), place(weights, cv)
    return term(weights, "self_jd", heads, jd, jd), term(weights, "self_cv", heads, cv, cv)


def chunk_attention(weights, heads, jd, cv):
    """Compute the logit."""
    x_jd, x_cv = own_side_read(weights, heads, jd, cv)
    y_jd = term(weights, "cross_jd", heads, x_jd, x_cv)
    y_cv = term(weights, "cross_cv", heads, x_cv, x_jd)
    return head(weights, pooled(weights, "pool_jd", y_jd), pooled(weights, "pool_cv", y_cv))


def cross_attention(weights, heads, jd, cv):
    """Average cross_jd's weights over heads: [JD chunk][CV chunk]."""
    x_jd, x_cv = own_side_read(weights, heads, jd, cv)
    rows = []
    for chunk in x_jd:
        shares = attention(weights, "cross_jd", heads, chunk, x_cv)
        rows.append([sum(one[k] for one in shares) / heads for k in range(len(x_cv))])
    return rows
