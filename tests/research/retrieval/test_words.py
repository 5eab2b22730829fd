"""Words are found in any language, and forms of the same word are equal."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from jdcv_core.readable_text import readable
from research.retrieval.words import words

EUROPEAN = ["Straße", "Łódź", "naïve", "Ærø", "þing", "Għarb", "ISPARTA", "İzmir", "a", "C", "9_9"]


@given(st.lists(st.sampled_from([*EUROPEAN, " ", "-", ". ", "2015–19", "œuvre", "É"])).map("".join))
def test_words_of_european_text_are_those_of_scikit_learn(text):
    """Of the repaired text, up to the forms of letters that are made one."""
    wide = unicodedata.normalize("NFKC", readable(text).text)
    plain = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", wide.casefold()))
    bare = "".join(c for c in plain if unicodedata.category(c) != "Mn")
    for letters in ("łl", "øo", "đd", "ðd", "ħh", "ıi", "æae", "œoe", "þth"):
        bare = bare.replace(letters[0], letters[1:])
    assert words(text) == CountVectorizer().build_analyzer()(bare)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Schweißer, ÜBERPRÜFUNG", ["schweisser", "uberprufung"]),
        ("STRASSE Straße", ["strasse", "strasse"]),
        ("inginer și țesător", ["inginer", "si", "tesator"]),
        ("inginer şi ţesător", ["inginer", "si", "tesator"]),
        (unicodedata.normalize("NFD", "și țesător über"), ["si", "tesator", "uber"]),
        ("İstanbul ığdır Łódź Kjøkken", ["istanbul", "igdir", "lodz", "kjokken"]),
        ("软件工程", ["软", "软件", "件", "件工", "工", "工程", "程"]),
        (
            "5年Java開発、チーム",
            ["年", "java", "開", "開発", "発", "チ", "チー", "ー", "ーム", "ム"],
        ),
        ("データ", ["デ", "デー", "ー", "ータ", "タ"]),
        ("ﾃﾞｰﾀ", ["デ", "デー", "ー", "ータ", "タ"]),
        ("소프트웨어 팀 개발", ["소프", "프트", "트웨", "웨어", "팀", "개발"]),
        ("инженер ещё Ποιότητα", ["инженер", "еще", "ποιοτητα"]),
        ("วิศวกร 5 ปี", ["วิศว", "ศวก", "วกร", "ปี"]),
        ("सॉफ्टवेयर इंजीनियर", ["सॉफ्टवेयर", "इंजीनियर"]),
        ("أحمد مُهَندِس", ["احمد", "مهندس"]),
        ("מְהַנְדֵּס", ["מהנדס"]),
        ("a C++ b・。", []),
        ("D\u200béve\u00adloppeur&nbsp;Zürich", ["developpeur", "zurich"]),
        ("août à Zürich".encode().decode("latin-1"), ["aout", "zurich"]),
        ("", []),
    ],
)
def test_words_of_other_languages(text, expected):
    assert words(text) == [unicodedata.normalize("NFC", word) for word in expected]


@given(st.text(st.characters(min_codepoint=0x250, categories=["L", "M", "N", "Zs"]), max_size=30))
def test_forms_of_a_text_have_equal_words(text):
    """Of Latin-1, one form may look like text that was decoded wrongly, and is repaired."""
    form = unicodedata.normalize("NFD", text)
    assert words(form) == words(unicodedata.normalize("NFC", form))
    assert all(word == word.strip() and word for word in words(text))
