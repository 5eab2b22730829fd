"""Slow metrics of classification, with loops over pairs. They share no code with `jdcv_core`."""


def f1(labels, predicted, which):
    hits = misses = false_alarms = 0
    for label, guess in zip(labels, predicted, strict=True):
        if label == which and guess == which:
            hits += 1
        elif label == which:
            misses += 1
        elif guess == which:
            false_alarms += 1
    if hits == 0:
        return 0.0
    precision, recall = hits / (hits + false_alarms), hits / (hits + misses)
    return 2 * precision * recall / (precision + recall)


def precision(labels, predicted, which):
    named = [label for label, guess in zip(labels, predicted, strict=True) if guess == which]
    return named.count(which) / len(named) if named else 0.0


def recall(labels, predicted, which):
    return precision(predicted, labels, which)


def mean_distance(labels, predicted):
    return sum(abs(a - b) for a, b in zip(labels, predicted, strict=True)) / len(labels)


def distant(labels, predicted):
    both = list(zip(labels, predicted, strict=True))
    return (both.count((0, 2)) + both.count((2, 0))) / len(both)


def weighted_f1(labels, predicted):
    return sum(f1(labels, predicted, label) for label in labels) / len(labels)


def macro_f1(labels, predicted):
    return sum(f1(labels, predicted, which) for which in (0, 1, 2)) / 3


def quadratic_kappa(labels, predicted):
    """Compute the kappa; chance agreement compares every label with every prediction."""
    n = len(labels)
    observed = sum((a - b) ** 2 for a, b in zip(labels, predicted, strict=True)) / n
    chance = sum((a - b) ** 2 for a in labels for b in predicted) / n**2
    return 1 - observed / chance if chance else 0.0


def auc(labels, scores, which=2):
    """Compute the AUC; it is None if one side is empty."""
    wins = comparisons = 0
    for label, score in zip(labels, scores, strict=True):
        for other, lower in zip(labels, scores, strict=True):
            if label == which and other != which:
                comparisons += 1
                wins += 1 if score > lower else 0.5 if score == lower else 0
    return wins / comparisons if comparisons else None


def classes(scores, low, high):
    return [2 if score >= high else 1 if score >= low else 0 for score in scores]


def best_weighted_f1(labels, scores):
    """Try every way to cut the sorted scores in three; a cut is a score or above all scores."""
    cuts = sorted(set(scores)) + [2.0]
    return max(
        weighted_f1(labels, classes(scores, low, high))
        for low in cuts
        for high in cuts
        if low <= high
    )
