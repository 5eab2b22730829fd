"""Floors: simple scores that a scorer must beat. Each function returns a score for each pair."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler

from jdcv_core.types import TARGETS, Document, Pair, Side


def majority(pairs: Sequence[Pair], train: Sequence[int]) -> np.ndarray:
    """Return the target of the most frequent class in train for every pair: [pair]."""
    labels = [pairs[i].label for i in train]
    return np.full(len(pairs), TARGETS[int(np.bincount(labels).argmax())])


def tfidf_cosine(
    pairs: Sequence[Pair], train: Sequence[int], documents: Mapping[str, Document]
) -> np.ndarray:
    """Compute the cosine of the two documents' TF-IDF vectors, in [0, 1]: [pair].

    Words are split as in scikit-learn, and weighted by 1 + log term frequency and by document
    frequencies of the training documents only. Labels are not used.
    """
    vectorizer = TfidfVectorizer(sublinear_tf=True)
    vectorizer.fit([documents[i].text for i in _documents(pairs, train)])
    jd, cv = _rows(vectorizer, pairs, documents)
    return np.asarray(jd.multiply(cv).sum(1)).ravel().clip(0, 1)  # rounding may exceed 1


def random_scores(pairs: Sequence[Pair], seed: int) -> np.ndarray:
    """Draw uniform scores in [0, 1) that depend only on the seed: [pair]."""
    return np.random.default_rng([seed, 20]).random(len(pairs))


def tfidf_logistic(
    pairs: Sequence[Pair], train: Sequence[int], documents: Mapping[str, Document]
) -> np.ndarray:
    """Predict the expected target by logistic regression on TF-IDF: [pair] in [0, 1].

    The features are the JD's and the CV's vectors, their product word by word, and their cosine,
    for words in at least three training documents. There are three classes. The inverse
    regularisation is 1, on features divided by their largest value in train.
    """
    vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=3, dtype=np.float32)
    vectorizer.fit([documents[i].text for i in _documents(pairs, train)])
    jd, cv = _rows(vectorizer, pairs, documents)
    both = jd.multiply(cv)
    features = hstack([jd, cv, both, csr_matrix(both.sum(1))], format="csr")
    index = np.asarray(train)
    labels = np.array([pairs[i].label for i in train])
    model = make_pipeline(MaxAbsScaler(), LogisticRegression(C=1.0, max_iter=200, tol=1e-3))
    model.fit(features[index], labels)
    return model.predict_proba(features) @ np.array(TARGETS)[model.classes_]


def bm25(
    pairs: Sequence[Pair],
    train: Sequence[int],
    documents: Mapping[str, Document],
    k1: float = 1.2,
    b: float = 0.75,
) -> np.ndarray:
    """Compute Okapi BM25 with the JD as query, as s / (s + median of train): [pair] in [0, 1).

        s = Σ over the JD's words w of  n_w idf(w) f (k1 + 1) / (f + k1 (1 - b + b length / mean))
        idf(w) = ln(1 + (N - df + 0.5) / (df + 0.5))

    f and n_w are the counts of w in the CV and in the JD. N, df and the mean length are those of
    the CVs in train. Source: Robertson et al. 1994, with Lucene's idf.
    """
    known = [documents[i].text for i in _documents(pairs, train) if i.startswith("cv:")]
    ids = sorted({i for p in pairs for i in (p.cv, p.jd)})
    row = {document: at for at, document in enumerate(ids)}
    texts = [documents[i].text for i in ids]
    words, weights = bm25_weights(known, texts, texts, k1, b)
    words, weights = words[[row[p.jd] for p in pairs]], weights[[row[p.cv] for p in pairs]]
    scores = np.asarray(words.multiply(weights).sum(1), dtype=float).ravel()
    return scores / (scores + max(float(np.median(scores[np.asarray(train)])), 1e-9))


def bm25_weights(
    known: Sequence[str],
    queries: Sequence[str],
    texts: Sequence[str],
    k1: float = 1.2,
    b: float = 0.75,
    analyzer: str | Callable[[str], list[str]] = "word",
) -> tuple[csr_matrix, csr_matrix]:
    """n [query word] and the rest of `bm25`'s sum [text word]: n @ rest.T has all BM25 scores.

    known: the texts whose N, df and mean length count. Sparse; a library such as bm25s answers
    queries over a whole index and would score every CV for each pair.
    analyzer: text → words; "word": as scikit-learn splits them
    """
    counter = CountVectorizer(dtype=np.float32, analyzer=analyzer)
    counts = counter.fit_transform(known)
    df, mean = np.bincount(counts.indices, minlength=counts.shape[1]), counts.sum() / len(known)
    idf = np.log1p((len(known) - df + 0.5) / (df + 0.5))
    found = csr_matrix(counter.transform(texts))
    length = np.asarray(found.sum(1)).ravel()
    norm = np.repeat(k1 * (1 - b + b * length / mean), np.diff(found.indptr))
    found.data = found.data * (k1 + 1) / (found.data + norm) * idf[found.indices]
    return csr_matrix(counter.transform(queries)), found


def one_side_probe(
    pairs: Sequence[Pair], train: Sequence[int], matrices: Mapping[str, np.ndarray], side: Side
) -> np.ndarray:
    """Predict the expected target from only the CV, or only the JD: [pair] in [0, 1].

    Logistic regression (three classes, inverse regularisation 0.01) on the mean of the document's
    chunk vectors. If it is clearly above chance, labels can be guessed without a comparison.
    """
    vectors = np.stack([matrices[getattr(p, side)].mean(0) for p in pairs])
    labels = np.array([p.label for p in pairs])
    index = np.asarray(train)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    model.fit(vectors[index], labels[index])
    targets = np.array(TARGETS)[model.classes_]
    return model.predict_proba(vectors) @ targets


def _rows(
    vectorizer: CountVectorizer, pairs: Sequence[Pair], documents: Mapping[str, Document]
) -> tuple[csr_matrix, csr_matrix]:
    """The vectors of the JD and of the CV of each pair, [pair word] twice; each text read once."""
    ids = sorted({i for p in pairs for i in (p.cv, p.jd)})
    row = {document: at for at, document in enumerate(ids)}
    vectors = csr_matrix(vectorizer.transform([documents[i].text for i in ids]))
    return vectors[[row[p.jd] for p in pairs]], vectors[[row[p.cv] for p in pairs]]


def _documents(pairs: Sequence[Pair], index: Sequence[int]) -> list[str]:
    return sorted({i for at in index for i in (pairs[at].cv, pairs[at].jd)})
