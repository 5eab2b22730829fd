"""Tables of simulated systems."""

import numpy as np

COLUMNS = ("seed", "jd", "cv", "label", "predicted", "score")


def systems(rng, how_many=2, seeds=3, jds=6, pairs=5, quality=1.0, of_seed=0.0):
    """Make tables with the same rows.

    Each JD has some of 8 CVs, seeds test the same JDs, and rounded scores give ties.

    quality: quality of the scores, one number for each system or one for all
    of_seed: standard deviation of the quality between the seeds of a system
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
