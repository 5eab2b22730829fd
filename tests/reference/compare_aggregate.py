"""`research.compare_aggregate` in plain loops over one pair."""

import math

from reference.scorers import dot, sigmoid, softmax, times

TITLE_CHUNKS = 3


def unit(vector):
    length = math.sqrt(dot(vector, vector))
    return [x / length for x in vector]


def cosine_of_words(one, other):
    """one, other: [(token, weight)], weight 0 where there is no token."""
    weights = {int(t): w for t, w in other if w}
    return sum(w * weights.get(int(t), 0.0) for t, w in one if w)


def value(fast):
    """The number or list that a `Fast` stands for."""
    return (fast.start + fast.pace * fast.moved).tolist()


def logit(model, jd, cv, saturate, importance, months, level, words, maximum):
    u, v = jd["vectors"], cv["vectors"]
    a = [unit(times(model.jd.weight.tolist(), x)) for x in u]
    b = [unit(times(model.cv.weight.tolist(), x)) for x in v]
    total, asked = 0.0, []
    for i in range(len(u)):
        s = [dot(a[i], b[k]) for k in range(len(v))]
        if words:
            weight = value(model.word_weight)
            s = [
                s[k] + weight * cosine_of_words(jd["words"][i], cv["words"][k])
                for k in range(len(v))
            ]
        p = s
        if saturate:
            scale, threshold = value(model.squash.scale), value(model.squash.threshold)
            p = [sigmoid(scale * (x - threshold)) for x in s]
        covered = strongest(s, p, range(len(v)), maximum, model)
        if months:
            covered = month_coverage(model.months, s, p, cv["months"], maximum, model)
        asked.append((sigmoid(dot(u[i], value(model.importance))) if importance else 1.0, covered))
    for gate, covered in asked:
        total += gate / sum(g for g, _ in asked) * covered
    return value(model.gain) * total + value(model.bias) - (level_gap(model, u, v) if level else 0)


def strongest(s, p, chosen, maximum, model):
    chosen = list(chosen)
    if maximum == "hard":
        return max(p[k] for k in chosen)
    shares = softmax([value(model.temperature) * s[k] for k in chosen])
    return sum(share * p[k] for share, k in zip(shares, chosen, strict=True))


def month_coverage(module, s, p, months, maximum, model):
    half_life = module.decay.half_life.item()
    need = math.exp(value(module.need))
    experiences = {}
    for k, (_, _, _, place) in enumerate(months):
        experiences.setdefault(None if math.isnan(place) else place, []).append(k)
    total = 0.0
    for place, chunks in experiences.items():
        duration, recency = months[chunks[0]][:2]
        credit = duration * 2 ** (-recency / half_life)
        if place is None:
            credit = math.exp(value(module.undated))
        total += strongest(s, p, chunks, maximum, model) * credit
    return 1 - math.exp(-total / need)


def level_gap(model, u, v):
    def reading(chunks, weights):
        return sum(dot(x, w) for x, w in zip(chunks[:TITLE_CHUNKS], weights, strict=False))

    gap = reading(u, value(model.level.asked)) - reading(v, value(model.level.has))
    return value(model.level.step) * math.log1p(math.exp(gap + value(model.level.margin)))
