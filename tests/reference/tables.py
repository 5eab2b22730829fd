"""Tables of simulated systems."""

import numpy as np

COLUMNS = ("seed", "jd", "cv", "label", "predicted", "score")


def systems(rng, how_many=2, seeds=3, jds=6, pairs=5, quality=1.0, of_seed=0.0):
    """Tables on the same rows: each JD's CVs are out of 8, seeds test the same JDs, and scores are
    rounded, so that some are equal.

    quality: of the scores, one number for each system or the same for all
    of_seed: standard deviation of what each seed of each system adds to it
    """
    cv = np.stack([rng.permutation(8)[:pairs] for _ in range(jds)])
    labels = rng.integers(0, 3, (jds, pairs))
    seed, jd, place = (grid.ravel() for grid in np.indices((seeds, jds, pairs)))
    label = labels[jd, place]
    tables = []
    for mean in np.broadcast_to(quality, how_many):
        own = mean + rng.normal(0, of_seed, seeds)
        score = np.round(own[seed] * (label - 1) + rng.normal(size=len(seed)), 1)
        columns = seed, jd, cv[jd, place], label, np.digitize(score, [-0.5, 0.5]), score
        tables.append(dict(zip(COLUMNS, columns, strict=True)))
    return tables
