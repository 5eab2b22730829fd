"""Floors: what a scorer must beat before it has shown anything. Each returns a score per pair."""

from collections.abc import Mapping, Sequence

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from jdcv_core.types import TARGETS, Document, Pair, Side


def majority(pairs: Sequence[Pair], train: Sequence[int]) -> np.ndarray:
    """The target of the commonest class in train, for every pair: [pair]."""
    labels = [pairs[i].label for i in train]
    return np.full(len(pairs), TARGETS[int(np.bincount(labels).argmax())])


def tfidf_cosine(
    pairs: Sequence[Pair], train: Sequence[int], documents: Mapping[str, Document]
) -> np.ndarray:
    """Cosine of the two documents' TF-IDF vectors, in [0, 1]: [pair].

    Words as scikit-learn splits them, 1 + log term frequency; document frequencies of the
    training documents only. It learns nothing from labels.
    """
    vectorizer = TfidfVectorizer(sublinear_tf=True)
    vectorizer.fit([documents[i].text for i in _documents(pairs, train)])
    ids = sorted({i for p in pairs for i in (p.cv, p.jd)})
    row = {document: at for at, document in enumerate(ids)}
    vectors = vectorizer.transform([documents[i].text for i in ids])
    cvs, jds = (vectors[[row[getattr(p, side)] for p in pairs]] for side in ("cv", "jd"))
    return np.asarray(cvs.multiply(jds).sum(1)).ravel()


def one_side_probe(
    pairs: Sequence[Pair], train: Sequence[int], matrices: Mapping[str, np.ndarray], side: Side
) -> np.ndarray:
    """The target that a model expects which reads only the CV, or only the JD: [pair] in [0, 1].

    Logistic regression (three classes, inverse regularisation 0.01) on the mean of the document's
    chunk vectors. Clearly above chance, it shows that labels can be guessed without a match.
    """
    vectors = np.stack([matrices[getattr(p, side)].mean(0) for p in pairs])
    labels = np.array([p.label for p in pairs])
    index = np.asarray(train)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    model.fit(vectors[index], labels[index])
    targets = np.array(TARGETS)[model.classes_]
    return model.predict_proba(vectors) @ targets


def _documents(pairs: Sequence[Pair], index: Sequence[int]) -> list[str]:
    return sorted({i for at in index for i in (pairs[at].cv, pairs[at].jd)})
