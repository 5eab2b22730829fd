"""A CV that was damaged on its way is read like the CV itself, at its own offsets."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from jdcv_core.data.demo.generate import demo_corpus
from jdcv_core.types import Document
from research.experience.experience_chunking import ExperienceChunker
from research.experience.parsing import parse_cv

CV = """Ana Pop
Summary
Accountant since 2009, 6+ years of experience in audits.
Work Experience
Senior Accountant, 08/2014-Current, Acme Group
Led the close – with Excel 2010 and SQL Server 2008.
Accountant, 05/2009 – 07/2014, Beta Services
Booked invoices.
Education
Bachelor of Science, 2005 - 2009, University of Graz
Skills
IFRS, payroll"""
DAMAGE = {
    " ": ["\u00a0", "&nbsp;", "\u2003", "&#160;", "Â\u00a0"],
    "–": ["&ndash;", "&#8211;", "&amp;ndash;", "–".encode().decode("latin-1"), "â€“"[:2] + "“"],
    "-": ["\u2011", "\u2010", "\uff0d", "\u2212", "&#45;"],
    "2": ["２", "2\u200b", "&#50;"],
    "0": ["０", "0\u00ad", "\u20600"],
    "e": ["e\u200d", "ｅ"],
    "\n": ["\r\n", "\u2028", "\r"],
}
CHOICES = st.lists(st.integers(0, 30), min_size=40, max_size=40)


def damaged(text, choices):
    """The damaged text, and where each character of the text begins in it."""
    parts, places, at = [], [], 0
    for i, character in enumerate(text):
        ways = DAMAGE.get(character, [])
        choice = choices[i % len(choices)]
        parts.append(ways[choice % len(ways)] if ways and choice < 15 else character)
        if parts[-1].startswith("\u2060"):  # it vanishes, and belongs to what stands before it
            places.append(at + 1)
        else:
            places.append(at)
        at += len(parts[-1])
    places[0] = 0
    return "".join(parts), [*places, at]


def shape(parsed, text, places=None):
    """All that was read, with offsets by way of `places`."""
    where = places or list(range(len(text) + 1))
    return (
        [(s.kind, where[s.start], where[s.end], s.experience) for s in parsed.segments],
        [
            (e.title, e.employer, e.fault, where[e.start], where[e.end], where[e.header_end])
            + (where[e.dates.at], where[e.dates.to], e.dates.start, e.dates.end, e.dates.doubts)
            for e in parsed.experiences
        ],
        [(where[d.at], where[d.to], d.months, d.at_least) for d in parsed.stated],
        parsed.reference,
    )


@pytest.fixture(scope="module")
def demo():
    return [d.text for d in demo_corpus(cvs=32, jds=32, pairs_per_cv=4).side("cv")[:6]]


@settings(max_examples=examples(25), deadline=None)
@given(choices=CHOICES, which=st.integers(-1, 5))
def test_a_damaged_cv_is_read_like_the_cv_at_its_own_offsets(demo, choices, which):
    text = CV if which < 0 else demo[which]
    wrong, places = damaged(text, choices)
    parsed = parse_cv(wrong)
    assert shape(parsed, wrong) == shape(parse_cv(text), text, places)
    assert [e.written for e in parsed.experiences] == [
        wrong[e.dates.at : e.dates.to] for e in parsed.experiences
    ]
    assert parsed.segments[0].start == 0
    assert parsed.segments[-1].end == len(wrong)
    for one, two in zip(parsed.segments, parsed.segments[1:], strict=False):
        assert one.end == two.start


@pytest.mark.parametrize(
    "dates",
    [
        "Jan 2015 \u2011 Mar 2019",
        "Jan 2015 \u2010 Mar 2019",
        "Jan 2015 － Mar 2019",
        "Jan 2015 " + "–".encode().decode("cp1252") + " Mar 2019",
        "Jan 2015 " + "–".encode().decode("mac-roman") + " Mar 2019",
        "Jan 2015 " + "–".encode().decode("cp1252").encode().decode("cp1252") + " Mar 2019",
        "Jan 2015 &ndash; Mar 2019",
        "Jan&nbsp;2015&nbsp;&#8211;&nbsp;Mar&nbsp;2019",
        "J\u200ban 20\u200c15 \ufeff– Mar\u00ad 2019\u200b",
        "Ｊａｎ　２０１５　－　Ｍａｒ　２０１９",
        "𝐉𝐚𝐧 𝟐𝟎𝟏𝟓 − 𝐌𝐚𝐫 𝟐𝟎𝟏𝟗",
    ],
)
def test_fifty_months_however_they_were_exported(dates):
    parsed = parse_cv(f"EXPERIENCE\n{dates}\nWelder, Tarn Ltd\n")
    (only,) = parsed.experiences
    assert only.months(parsed.reference) == 50
    assert not parsed.unread


def test_a_segment_of_entities_alone_has_no_chunk():
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator([CV], trainers.WordLevelTrainer(special_tokens=["[UNK]"]))
    text = "&nbsp;&nbsp;\n" + CV.partition("Summary\n")[2].partition("\n")[2]
    (chunks,) = ExperienceChunker(64).cut([Document("cv:1", text)], tokenizer, 64).chunks
    assert chunks[0].start == 0
    assert chunks[-1].end == len(text)
