"""Nothing that looks like a date of an experience vanishes."""

import pytest

from jdcv_core.months import month_of
from research.experience.parsing import parse_cv

NOW = month_of(2026, 11)


def cv(line):
    return (
        "Ana Pop\nEXPERIENCE\nWelder, Tarn Ltd\nJan 2015 - Mar 2019\nWelded pipes in 2016.\n"
        f"Fitter, Lune Ltd\n{line}\nFitted pipes.\nEDUCATION\nBSc, 2010, Graz\n"
    )


def unread(line):
    return [(u.text, u.line) for u in parse_cv(cv(line), NOW).unread]


@pytest.mark.parametrize(
    "date",
    [
        "2013, 2014", "Winter 20XX", "2012", "March to June", "06.12 07.13 2014", "2010 or 2011",
        "Fall of 20XX", "2009/2011", "2013(Jan) - 2014(Mar)",
    ],
)  # fmt: skip
def test_a_date_that_is_not_read_is_listed_with_its_line(date):
    parsed = parse_cv(cv(date), NOW)
    assert [e.months(NOW) for e in parsed.experiences] == [50]
    (found,) = parsed.unread
    assert found.line == 7
    assert cv(date)[found.at : found.to] == found.text
    assert found.text in date
    assert any(c.isdigit() or c.isalpha() for c in found.text)
    assert f'unread: "{found.text}" (line 7)' in parsed.faults[0]
    assert parsed.faults[0] in parsed.notes


def test_columns_of_dates_are_listed():
    """Whose they are cannot be told; before, nobody was told."""
    assert unread("2001-2003  2003-2005  2005-2009") == [
        ("2001-2003  2003-2005  2005-2009", 7),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "In 2015 we moved to Java 8 and in 2016 to Kubernetes.",
        "- Raised sales from 2015 to 2016 levels of 3,000 units.",
        "Used Windows Server 2012 and Office 2016",
        "Updated 2016",
        "Employee of the year award, 2016",
        "Room 2015, call 555-2016",
    ],
)
def test_a_year_in_a_sentence_is_none(line):
    assert unread(line) == []


def test_a_date_that_an_experience_uses_is_none():
    for line in (
        "Summer 2013, 2014",
        "Apr 2019 - present",
        "2016/17 - 2018/19",
        "03/20XX - 05/20XX",
    ):
        parsed = parse_cv(cv(line), NOW)
        assert len(parsed.experiences) == 2, line
        assert parsed.unread == (), line


def test_every_date_is_used_or_listed():
    """A layout that nobody knows: the year is in an experience or in the list."""
    for before in ("", "approx ", "(", "~", "ca ", "est. ", "№ "):
        for after in ("", " (est.)", "?", "!", " ff", ")", " Q5", "-ish"):
            for year in ("2009", "20XX", "2009 2011 2013"):
                parsed = parse_cv(cv(f"{before}{year}{after}"), NOW)
                assert parsed.unread or len(parsed.experiences) > 1, (before, year, after)


def test_without_a_heading_the_whole_text_is_looked_at():
    parsed = parse_cv("Ana Pop\nWelder, Tarn Ltd\n2013, 2014\nWelded pipes.", NOW)
    assert [u.text for u in parsed.unread] == ["2013, 2014"]
    assert parsed.notes[-1].startswith("no dated experience was read")


def test_a_year_in_chinese_characters_is_reported():
    parsed = parse_cv("工作经历\n二〇一六年一月至今 工程师\n开发\n")
    assert [str(u) for u in parsed.unread] == [
        'unread: "二〇一六" (line 2): dates in Chinese numeral years are not read'
    ]
