import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from jdcv_core.months import as_text
from research.experience.dates import MONTHS, date_ranges


def read(text):
    """Of each range: its text, first month, first month after it or None."""
    return [
        (text[r.at : r.to], as_text(r.start), None if r.end is None else as_text(r.end))
        for r in date_ranges(text)
    ]


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("08/2014-05/2015", "2014-08", "2015-05"),
        ("05/2014toCurrent", "2014-05", None),
        ("05/2014tocurrent", "2014-05", None),
        ("05 2014 to Current", "2014-05", None),
        ("12 2020to08 2022", "2020-12", "2022-08"),
        ("Jan 2010 – Present", "2010-01", None),
        ("2/1/2012 - Current", "2012-02", None),
        ("March 2007 – Jan. 2009", "2007-03", "2009-01"),
        ("2011-13", "2011-01", "2013-01"),
        ("1998-02", "1998-01", "2002-01"),
        ("1985- 86", "1985-01", "1986-01"),
        ("Summer 2015", "2015-06", "2015-09"),
        ("Fall 2004 - Spring 2005", "2004-09", "2005-03"),
        ("2002  2005", "2002-01", "2005-01"),
        ("20132015", "2013-01", "2015-01"),
        ("2016present", "2016-01", None),
        ("2010—2012", "2010-01", "2012-01"),
        ("2010 â\x80\x93 Present", "2010-01", None),
        ("2015/2016", "2015-01", "2016-01"),
        ("Jun - Sept 2009", "2009-06", "2009-09"),
        ("Nov - Feb 2010", "2009-11", "2010-02"),
        ("01st Oct 2015 - till date", "2015-10", None),
        ("10/12-06/13", "2012-10", "2013-06"),
        ("1/90 to 1/91", "1990-01", "1991-01"),
        ("Sept 13  Till Date", "2013-09", None),
        ("Aug ‘09 to Present", "2009-08", None),
        ("Feb '2011-June 2014", "2011-02", "2014-06"),
        ("Dec' 2015 to Sept' 2016", "2015-12", "2016-09"),
        ("January, 1995-May, 1995", "1995-01", "1995-05"),
        ("January 15, 2010 to March 3, 2012", "2010-01", "2012-03"),
        ("2007 June -Oct 2008", "2007-06", "2008-10"),
        ("2014-08 - 2015-03", "2014-08", "2015-03"),
        ("2014-08-01 to 2015-03-31", "2014-08", "2015-03"),
        ("May 2014 onwards", "2014-05", None),
        ("Oct 2006-2007", "2006-10", "2007-01"),
        ("2017 to 2017", "2017-01", "2018-01"),
        ("01/2004-01/2004", "2004-01", "2004-02"),
        ("18/06/2014  Present", "2014-06", None),
        ("04-09-2003 to 19-12-2007", "2003-09", "2007-12"),
        ("août 2010 – sept. 2012", "2010-08", "2012-09"),
        ("de mars 2011 à aujourd'hui", "2011-03", None),
        ("enero de 2010 a marzo de 2012", "2010-01", "2012-03"),
        ("junio 2015 - actualidad", "2015-06", None),
        ("März 2011 bis heute", "2011-03", None),
        ("Oktober 2008 - Dezember 2009", "2008-10", "2009-12"),
        ("ianuarie 2010 - prezent", "2010-01", None),
        ("septembrie 2011 - iulie 2013", "2011-09", "2013-07"),
    ],
)  # fmt: skip
def test_a_range_as_people_write_it(text, start, end):
    found = read(f"Engineer, {text}, Acme")
    assert [f[1:] for f in found] == [(start, end)]


def test_a_range_is_found_where_it_is_glued():
    assert read("ExperienceAccountant,08/2014-05/2015General Electric–King") == [
        ("08/2014-05/2015", "2014-08", "2015-05")
    ]
    assert read("Fault isolation.01/2002to04/2007Electrical engineer") == [
        ("01/2002to04/2007", "2002-01", "2007-04")
    ]
    assert read("Visio 2015.12/2014to07/2015Tester")[-1][1:] == ("2014-12", "2015-07")
    assert read("since 2016")[0][1:] == ("2016-01", None)


@pytest.mark.parametrize(
    "text",
    [
        "the 1990s", "$2,500 to $3,000", "room 2014b5", "20% to 30%", "call 555-2014-333333",
        "5 to 10 people", "may present", "version 2.2014", "1234567890",
    ],
)  # fmt: skip
def test_what_is_no_range(text):
    assert [r for r in date_ranges(text) if r.kind != "point"] == []


def test_versions_are_no_range():
    for text in ("Windows 2000/2003", "SQL Server 2005 2008", "Office 2010 2013"):
        assert [r for r in date_ranges(text) if r.kind == "range"] == [], text


def test_every_month_in_every_language():
    for number, names in enumerate(MONTHS, 1):
        for name in names.split():
            for written in (name, name.capitalize(), name.upper()):
                assert read(f"x {written} 2011 x")[0][1] == f"2011-{number:02d}", written


def test_the_document_says_whether_days_come_first():
    assert [f[1] for f in read("1/3/2012 - 25/4/2013")] == ["2012-03"]
    assert [f[1] for f in read("1/3/2012 - 4/25/2013")] == ["2012-01"]
    (doubtful,) = date_ranges("2/3/2012 - 4/5/2013")
    assert any("other order" in doubt for doubt in doubtful.doubts)


def test_doubts_are_said_and_not_hidden():
    assert date_ranges("2011-12")[0].doubts == ("it might be a year and a month",)
    assert date_ranges("2011-13")[0].doubts == ()
    assert date_ranges("Nov - Feb 2010")[0].doubts


def test_a_dash_that_nothing_follows_is_an_open_end():
    for text in ("August 2014 —\nLed", "August 2014-  Led", "August 2014 –"):
        (found,) = date_ranges(text)
        assert (found.kind, found.end) == ("since", None), text
        assert found.doubts == ("its end is not written",)
    for text in (
        "August 2014 - Led",
        "Server 2014 -\n",
        "2014 -      2016",
        "1/2014 -\n\n\n1/2016",
    ):
        assert all(found.end is not None for found in date_ranges(text)), text


def test_a_reversed_range_is_kept_for_the_parser_to_refuse():
    (found,) = date_ranges("05/2015 - 08/2014")
    assert found.end is not None
    assert found.end < found.start


PIECES = st.sampled_from(
    ["2014", "14", "08", "1", "Jan", "may", "-", " – ", "to", "/", ".", " ", "\n", "present",
     "Summer", "since ", "'", ",", "é", "20132015", "st", "(", ")", "\x00", "٣", "𝟐"]
)  # fmt: skip


@settings(max_examples=examples(133), deadline=None)
@given(st.one_of(st.lists(PIECES, max_size=40).map("".join), st.text(max_size=200)))
def test_no_text_breaks_it(text):
    ends = 0
    for found in date_ranges(text):
        assert ends <= found.at < found.to <= len(text)
        ends = found.to
