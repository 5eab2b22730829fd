"""What a person reads is what every reader reads, and offsets stay those of the original text."""

import html
import html.entities
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from jdcv_core.readable_text import readable

DASHES = [c for c in map(chr, range(0x110000)) if unicodedata.category(c) == "Pd"] + ["−", "⁃"]
DECODED = ["latin-1", "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1257", "iso-8859-2"]
DECODED += ["mac-roman", "cp437", "cp850"]

PIECES = {
    "Mar": "Mar",
    "2015 – 2019": "2015 – 2019",
    "développeur": "développeur",
    "Ja\u200bn": "Jan",
    "soft\u00adware": "software",
    "2015\u00a0\u2011\u202f2019": "2015 - 2019",
    "dÃ©cembre": "décembre",
    "aoÃ»t": "août",
    "MÃƒÂ¼nchen": "München",
    "â€“".replace("–", "“"): "–",
    "Jan&nbsp;2015&amp;ndash;2019": "Jan 2015–2019",
    "&#8211;": "–",
    "&#x2014;": "—",
    "R&D": "R&D",
    "AT&T;": "AT&T;",
    "x<5": "x<5",
    "of\ufb01ce": "office",
    "２０１６－２０１９": "2016-2019",
    "cafe\u0301": "café",
    "\u1112\u1161\u11ab\u1100\u116e\u11a8": "한국",
    "工作経歴": "工作経歴",
    "1\u2f49": "1月",
    "𝐒𝐤𝐢𝐥𝐥𝐬": "Skills",
    "👩‍💻": "👩‍💻",
    "❤️": "❤️",
    "می‌خواهم": "می‌خواهم",
    "Опыт": "Опыт",
    "a\u2028b": "a\nb",
    "a\r\nb": "a\nb",
    "\ud83d\ude00": "😀",
    "x\ud800y": "x\ufffdy",
    "a\x07b": "a b",
}
"""What is written, and what a person reads."""

TROUBLE = "ÃÂâ€™“”„éèÐÑŒœ»«\u00a0\u00ad\u200b\u200d\ufe0f\u0301\u0338\x80\x85\x9d\x1a\r\n\t &;#xa0?"
TROUBLE += (
    "\ud83d\ude00\udc80ＡﬁЖ語ᄒ\u1161\u2011\u2212−─🏴\U000e0067\U000e007f❤&amp;ndash≈√‚Ä\ufffd\x00"
)
TEXTS = st.lists(
    st.one_of(
        st.sampled_from([*PIECES, "&amp;", "&nbsp;", "ndash;", "â€", "Ã ", "ΓÇô", 'â€"']),
        st.text(st.sampled_from(TROUBLE), max_size=6),
        st.text(st.characters(exclude_categories=[]), max_size=4),
    ),
    max_size=12,
).map("".join)


@given(st.lists(st.sampled_from(list(PIECES)), max_size=20))
@settings(max_examples=examples(60), deadline=None)
def test_each_piece_is_repaired_and_points_to_where_it_was(pieces):
    found = readable(" | ".join(pieces))
    assert found.text == " | ".join(PIECES[piece] for piece in pieces)
    read, written = 0, 0
    for piece in pieces:
        end = read + len(PIECES[piece])
        assert found.span(read, end) == (written, written + len(piece))
        read, written = end + 3, written + len(piece) + 3


@given(TEXTS)
@settings(max_examples=examples(300), deadline=None)
def test_any_text_is_read_once_and_for_all(text):
    found = readable(text)
    again = readable(found.text)
    assert again.text is found.text
    assert not again.repairs
    assert unicodedata.is_normalized("NFC", found.text)
    size = len(found.text)
    spans = found.spans([(i, i + 1) for i in range(size)])
    if size:
        assert spans[0, 0] == 0
        assert spans[-1, 1] == len(text)
        assert (spans[:, 0] < spans[:, 1]).all()
        assert (np.diff(spans, axis=0) >= 0).all()
        assert (spans[1:, 0] <= spans[:-1, 1]).all(), "no character of the original is lost"
        assert found.span(0, size) == (0, len(text))


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="&")))
def test_plain_text_comes_back_as_the_same_object(text):
    text += "\n\t x"
    assert readable(text).text is text
    assert readable(text).span(1, 3) == (1, 3)


@pytest.mark.parametrize(
    "text",
    [
        "R&D at AT&T, P&L; Q&A; x < 5 && y > 3; a&b=c&copy=1; Marketing &copy writing; R&amplifier",
        "Café – “naïve” façade, «été», l’œuvre, Übergröße; ștefan; niño; £5, 10°, 25 €, ½, m², ©",
        "“Chef”électricien «Études»à Paris; 10€études; CAFÉ”serveur; NESCAFÉ® München",
        "Опыт работы: «Инженер», 2015 – 2019 • №5; Εμπειρία; ניסיון; خبرة",
        "工作经历:2016年1月-2019年10月、软件工程师。マーケティング 경력 ประสบการณ์",
        "👩‍💻 👍🏽 1️⃣ 🏴\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f ─────",
        "हिन्दी क्‍ष می‌خواهم",
        "PĂŞUNE, MĂŞTI, învăţământ, CÂŞTIGĂTOR, ştiinţă, ĆWIERĆ, ŁÓDŹ, zażółć gęślą jaźń",
    ],
)
def test_what_is_right_stays(text):
    assert readable(text).text is text


@pytest.mark.parametrize("dash", sorted(set(DASHES)))
def test_every_dash_is_read(dash):
    text = f"Jan 2015 {dash} Mar 2019"
    expected = dash if dash in "-–—" else "-"
    assert readable(text).text == f"Jan 2015 {expected} Mar 2019"


def decoded(text, encoding):
    """The text as it looks when its UTF-8 is decoded so; None where a byte has no character."""
    try:
        return text.encode().decode(encoding)
    except UnicodeDecodeError:
        return None


@pytest.mark.parametrize(
    ("encoding", "dash"),
    [(encoding, dash) for encoding in DECODED for dash in "–—‑−" if decoded(dash, encoding)],
)
@pytest.mark.parametrize("line", ["Jan 2015 {} Mar 2019", "Café: 2015{}2019, naïve"])
def test_a_dash_is_read_whatever_encoding_it_was_decoded_with(encoding, dash, line):
    wrong = decoded(dash, encoding)
    found = readable(line.format(wrong))
    assert found.text == readable(line.format(dash)).text
    at = found.text.index("2015") + len(line.split("{}")[0].partition("2015")[2]) + 4
    assert found.span(at, at + 1) == (line.index("{}"), line.index("{}") + len(wrong))


@pytest.mark.parametrize(
    "encoding", [e for e in [*DECODED, "cp866", "koi8-r"] if decoded("–łŁóČšßñéû", e)]
)
def test_one_proven_encoding_explains_the_letters_that_do_not_look_wrong(encoding):
    text = "Ingénieur ół 2015 – 2019, Łódź, Čech, š, straße, niño, août"
    assert readable(decoded(text, encoding)).text == text


def test_mojibake_of_mojibake_is_read():
    text = "Müller – août – “x”"
    for _ in range(3):
        text = text.encode().decode("latin-1")
    assert readable(text).text == "Müller – août – “x”"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("P&EACUTE;REZ&NBSP;&NDASH;", "PÉREZ –"),
        ("2015&ndash2019 &#8211 R&eacutesum&eacute &pound500", "2015–2019 – Résumé £500"),
        ("&amp;amp;amp;lt; R&amp;D R&amp D", "< R&D R& D"),
        ("&#150; &#0; &#99999999; &#xD800; &bogus;", "– \ufffd &#99999999; \ufffd &bogus;"),
        ("&Acirc;&nbsp;x", " x"),
        ("&#8203;Jan&shy;&zwnj;", "Jan"),
        ('Jan 2015 â€" 2019', "Jan 2015 – 2019"),
        ("ACME " + "–".encode().decode("cp1252").upper() + " OSLO", "ACME – OSLO"),
        ("voilÃ le travail", "voilà le travail"),
        ("ï‚· Led", "• Led"),
        ("M√§rz, fĂŠvrier, Juli├ín, M├╝nch, espa├▒ol", "März, février, Julián, Münch, español"),
        ("\uf0b7 Led 2015 \uf02d 2019", "• Led 2015 - 2019"),
        ("a\x0bb\x0cc\x85d\u2029e\rf", "a\nb\nc\nd\ne\nf"),
        ("2015\x1e2019\x01x", "2015-2019 x"),
        ("20\x9615", "20–15"),
    ],
)
def test_what_a_person_reads(written, read):
    assert readable(written).text == read


def test_every_named_entity_of_html_is_read():
    for name, characters in html.entities.html5.items():
        if name.endswith(";") and len(name) > 3:
            assert readable(f"x &{name} y").text == readable(f"x {characters} y").text, name
