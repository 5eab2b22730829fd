import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from jdcv_core.months import as_text
from research.experience.dates import date_ranges


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


def parts(text):
    """The parts of the one list in a text, as first month and number of months."""
    (found,) = date_ranges(text)
    assert found.kind == "list"
    assert (found.start, found.end) == (found.parts[0][0], found.parts[-1][1])
    return [(as_text(start), end - start) for start, end in found.parts]


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        ("Summer 2013, 2014", ["2013-06", "2014-06"]),
        ("Summers 2015 & 2016", ["2015-06", "2016-06"]),
        ("Fall 2018 and Spring 2019", ["2018-09", "2019-03"]),
        ("Spring 2019, Fall 2018", ["2018-09", "2019-03"]),
        ("Summers of 2013, 2014, and 2015", ["2013-06", "2014-06", "2015-06"]),
        ("Summers 2013-2015", ["2013-06", "2014-06", "2015-06"]),
        ("every summer 2013-2015", ["2013-06", "2014-06", "2015-06"]),
        ("Summers 2013 - 15", ["2013-06", "2014-06", "2015-06"]),
        ("Summer '13, '14", ["2013-06", "2014-06"]),
        ("Spring/Fall 2015", ["2015-03", "2015-09"]),
        ("Spring, Summer and Fall 2015", ["2015-03", "2015-06", "2015-09"]),
        ("Summer 2013; Summer 2014", ["2013-06", "2014-06"]),
        ("étés 2015 et 2016", ["2015-06", "2016-06"]),
        ("Sommer 2015 und 2016", ["2015-06", "2016-06"]),
        ("verano 2015 y 2016", ["2015-06", "2016-06"]),
        ("vara 2015 și 2016", ["2015-06", "2016-06"]),
        ("printemps 2015, 2016", ["2015-03", "2016-03"]),
        ("Q1 2015, Q3 2015", ["2015-01", "2015-07"]),
    ],
)
def test_seasons_in_a_list(text, starts):
    """Three months for each; before, the second and later ones were lost."""
    assert parts(f"Engineer, {text}, Acme") == [(start, 3) for start in starts]


def test_months_in_a_list_share_a_year():
    assert parts("June & July 2014") == [("2014-06", 1), ("2014-07", 1)]
    assert parts("May, June/July 2014") == [("2014-05", 1), ("2014-06", 1), ("2014-07", 1)]
    assert parts("December, January 2015") == [("2014-12", 1), ("2015-01", 1)]


def test_a_list_with_an_end_is_a_range():
    assert [f[1:] for f in read("Jan/Feb 2015 - Mar 2016")] == [("2015-02", "2016-03")]
    assert [f[1:] for f in read("May, June 2015 to present")] == [("2015-06", None)]


def test_what_is_no_list():
    for text in ("May 2013, June 2014", "2013, 2014", "Summer 2013, $2014", "Fall in 2013, 2014"):
        assert [r for r in date_ranges(text) if r.kind == "list"] == [], text


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2016/17 - 2018/19", "2016-01", "2019-01"),
        ("2016-17 to 2018-19", "2016-01", "2019-01"),
        ("2016/2017–2018/2019", "2016-01", "2019-01"),
        ("2016/17 - 2020", "2016-01", "2020-01"),
        ("2016/17 - present", "2016-01", None),
        ("2007-08 - 2010-11", "2007-08", "2010-11"),  # or academic years: as it was read before
        ("2011-12 - present", "2011-12", None),
        ("2011-12 to 2013-14", "2011-01", "2014-01"),
        ("Between March 2016 and July 2018", "2016-03", "2018-07"),
        ("From March 2016 until the end of July 2018", "2016-03", "2018-07"),
        ("From March 2016 up to and including July 2018", "2016-03", "2018-07"),
        ("March 2016 through July 2018", "2016-03", "2018-07"),
        ("entre mars 2016 et juillet 2018", "2016-03", "2018-07"),
        ("zwischen 2016 und 2018", "2016-01", "2018-01"),
        ("entre marzo de 2016 y julio de 2018", "2016-03", "2018-07"),
        ("între martie 2016 și iulie 2018", "2016-03", "2018-07"),
        ("von März 2016 bis zum Juli 2018", "2016-03", "2018-07"),
        ("din martie 2016 până în iulie 2018", "2016-03", "2018-07"),
        ("mid-2016 - late 2018", "2016-01", "2018-01"),
        ("c. 2016 to c. 2018", "2016-01", "2018-01"),
        ("Q1 2015 - Q3 2016", "2015-01", "2016-07"),
        ("Summer - Fall 2015", "2015-06", "2015-09"),
        ("'15 - '18", "2015-01", "2018-01"),
        ("2015 Jan - 2018 Mar", "2015-01", "2018-03"),
        ("March 2015 - (ongoing)", "2015-03", None),
        ("XX/2015 - XX/2018", "2015-01", "2018-01"),
        ("2016年1月 - 2019年10月", "2016-01", "2019-10"),
        ("2019年11月 - 至今", "2019-11", None),
        ("2019年11月至今", "2019-11", None),
        ("2016年1月到2019年10月", "2016-01", "2019-10"),
        ("2012.03-2015.12", "2012-03", "2015-12"),
        ("2016年4月1日～現在", "2016-04", None),
        ("2016年1月から2019年10月まで", "2016-01", "2019-10"),
        ("2016년 1월 ~ 현재", "2016-01", None),
        ("2016년 1월 5일 ~ 2018년 3월 2일", "2016-01", "2018-03"),
        ("2016年-2019年", "2016-01", "2019-01"),
        ("2016年起", "2016-01", None),
    ],
)
def test_a_range_that_was_lost_before(text, start, end):
    assert [f[1:] for f in read(f"Engineer, {text}, Acme")] == [(start, end)]


def test_a_question_mark_is_a_lost_dash_and_not_the_end_of_a_sentence():
    assert [f[1:] for f in read("2015 ? 2018")] == [("2015-01", "2018-01")]
    for text in ("Why 2015? 2018 was better", "2018 ? 2015", "Windows 2003 ?? 2000"):
        assert [r for r in date_ranges(text) if r.kind == "range"] == [], text


@pytest.mark.parametrize(
    "text",
    [
        "03/20XX - 05/20XX", "03/2015 - 05/20XX", "Jan 20XX – Mar 2016", "20xx - Present",
        "April - August 20XX", "201X-2018", "2015 - 20XX", "05/yyyy - 06/yyyy", "19** - 20**",
        "January, 20xx-June, 20xx",
    ],
)  # fmt: skip
def test_a_masked_year_has_no_months(text):
    """Before, `April - August 20XX` was read as 2020, and 03/2015 as a job of one month."""
    (found,) = date_ranges(f"Engineer, {text}, Acme")
    assert (found.start, found.end, found.unknown) == (0, 0, "the year is masked")


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
