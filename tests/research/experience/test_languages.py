"""Every month, every "until now" and every dash, in generated sentences."""

import sys
import unicodedata

import pytest

from jdcv_core.months import month_of
from research.experience.dates import date_ranges
from research.experience.languages import AMBIGUOUS, MONTHS, NOT_READ, PRESENT, plain
from research.experience.parsing import parse_cv

LAYOUTS = (
    "{} 2015 - {} 2019", "{}. 2015 – {}. 2019", "{} 2015 to {} 2019", "{}, 2015 bis {}, 2019",
    "{} de 2015 à {} de 2019", "{}-2015 – {}-2019", "1 {} 2015 - 30 {} 2019", "{}/2015-{}/2019",
    "{} 2015  {} 2019", "({} 2015 — {} 2019)", "from {} 2015 until the end of {} 2019",
    "2015 {} - 2019 {}",
)  # fmt: skip
DASHES = [c for c in map(chr, range(sys.maxunicode)) if unicodedata.category(c) == "Pd"]


def forms(name):
    """The spellings that people use: cases, and without accents."""
    return {name, name.capitalize(), name.upper(), plain(name), plain(name).capitalize()}


@pytest.mark.parametrize("language", MONTHS)
def test_every_month_in_every_layout(language):
    """The language stands before, since `set 2015` is a month in Italian text alone. All layouts
    for the five languages that the documentation names first."""
    months = [line.split() for line in MONTHS[language].split(",")]
    layouts = LAYOUTS if language in list(MONTHS)[:5] else LAYOUTS[:3]
    assert len(months) == 12
    context = "".join(f"{names[0]} 2001\n" for names in months)
    for number, names in enumerate(months, 1):
        for written in sorted(set().union(*map(forms, names))):
            lines = [f"Engineer, {layout.format(written, written)}, Acme\n" for layout in layouts]
            found = date_ranges(context + "".join(lines))[len(months) :]
            expected = (month_of(2015, number), month_of(2019, number), "range")
            for line, one in zip(lines, found, strict=True):
                assert (one.start, one.end, one.kind) == expected, line


@pytest.mark.parametrize("language", PRESENT)
def test_every_word_for_until_now(language):
    line, *phrases = PRESENT[language].split("|")
    spaced = language not in ("Chinese", "Japanese", "Korean")
    for word in [*line.split(), *phrases]:
        for written in {word, plain(word), word.capitalize(), word.upper()}:
            for layout in ("03/2015 - {}", "03/2015 – {}", "03/2015 to {}", "03/2015-{}"):
                found = date_ranges(f"Engineer, {layout.format(written)}, Acme" * (1 + spaced))[-1]
                assert (found.start, found.end) == (month_of(2015, 3), None), (layout, written)


@pytest.mark.parametrize("dash", [*DASHES, "−", "～", "〜", "\ufffd", "?", "→", "--"])
def test_every_dash_is_a_dash(dash):
    for text in (
        f"Jan 2015 {dash} Mar 2019", f"Jan 2015{dash}Mar 2019", f"01/2015 {dash} 03/2019",
        f"01/2015{dash}03/2019", f"2015年1月{dash}2019年3月",
    ):  # fmt: skip
        (found,) = date_ranges(text)
        assert (found.start, found.end) == (month_of(2015, 1), month_of(2019, 3)), text
        assert (found.at, text[found.to :].strip()) == (0, "")
    (found,) = date_ranges(f"Jan 2015 {dash} present")
    assert (found.start, found.end) == (month_of(2015, 1), None)


def test_every_space_is_a_space():
    for space in (c for c in map(chr, range(sys.maxunicode)) if unicodedata.category(c) == "Zs"):
        (found,) = date_ranges(f"Jan{space}2015{space}-{space}Mar{space}2019")
        assert (found.start, found.end) == (month_of(2015, 1), month_of(2019, 3)), hex(ord(space))
        (found,) = date_ranges(f"Engineer\n2015{space}2019")  # a dash was lost
        assert (found.start, found.end) == (month_of(2015, 1), month_of(2019, 1)), hex(ord(space))


def test_an_ordinary_word_is_no_month():
    for word in sorted(AMBIGUOUS):
        (found,) = date_ranges(f"Engineer at Acme, {word} 2015 - 2016, tools")
        assert (found.start, found.end) == (month_of(2015, 1), month_of(2016, 1)), word


@pytest.mark.parametrize("language", [n for n in NOT_READ if "years" not in n])
def test_a_language_that_is_not_read_is_named(language):
    """No date in it is read without its month, and it is reported."""
    name = NOT_READ[language].split()[0]
    for layout in ("{0} 2015 - {0} 2019", "{0} 2015 - present", "2015. {0} - 2019. {0}"):
        parsed = parse_cv(f"EXPERIENCE\nWelder, Tarn Ltd\n{layout.format(name)}\nWelded.")
        assert parsed.experiences == ()
        assert any(f"dates in {language} are not read" in note for note in parsed.notes), layout


@pytest.mark.parametrize(
    "text", ["平成28年4月～2019年3月", "令和元年5月～現在", "民國105年1月 - 108年3月"]
)
def test_years_of_an_era_are_refused_by_name(text):
    parsed = parse_cv(f"EXPERIENCE\nWelder, Tarn Ltd\n{text}\nWelded.")
    assert parsed.experiences == ()
    assert "are not read" in parsed.notes[0]
