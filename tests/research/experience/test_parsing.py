import csv
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from jdcv_core.data.demo.generate import DemoSettings, draw_world, write_documents
from jdcv_core.data.demo.latent import NOW
from jdcv_core.months import as_text, month_of
from research.experience.dates import date_ranges
from research.experience.parsing import parse_cv
from research.experience.reference import newest_month, reference_month
from research.experience.stated import stated_durations

NOW_TEXT = month_of(2024, 6)

CV = """Ana Pop
Summary
Accountant since 2009, 6+ years of experience in audits.
Work Experience
Senior Accountant, 08/2014-Current, Acme Group
Led the close. Used Excel 2010 and SQL Server 2008.
Accountant, 05/2009 to 07/2014, Beta Services
Booked invoices.
Education
Bachelor of Science, 2005 - 2009, University of Graz
Skills
IFRS, payroll
Copyright 2024"""


def months(parsed, reference=NOW_TEXT):
    return [
        (as_text(i.start), i.months) for i in (e.interval(reference) for e in parsed.experiences)
    ]


def test_a_plain_cv():
    parsed = parse_cv(CV, NOW_TEXT)
    assert months(parsed) == [("2014-08", 118), ("2009-05", 62)]
    assert [e.title for e in parsed.experiences] == ["Senior Accountant", "Accountant"]
    assert [e.employer for e in parsed.experiences] == ["Acme Group", "Beta Services"]
    assert [s.kind for s in parsed.segments] == [
        "summary", "experience", "experience", "experience", "education", "skills",
    ]  # fmt: skip
    assert [(d.months, d.at_least) for d in parsed.stated] == [(72, True)]
    assert parsed.notes == ()


def test_a_glued_cv():
    text = (
        "SummaryCareful engineer.SkillsJava, SQL\nWork HistoryStaff Engineer,08/2016toCurrent"
        "Acme–Oslo,NO,Led a teamBuilt toolsSr Engineer,07/2015to08/2016Beta–Bergen,NO,Wrote code."
        "EducationExpected in05/2014totoBachelor of Science:MathsGraz"
    )
    parsed = parse_cv(text)
    assert months(parsed, month_of(2016, 8)) == [("2016-08", 1), ("2015-07", 13)]
    assert [e.title for e in parsed.experiences] == ["Staff Engineer", "Sr Engineer"]
    kinds = [s.kind for s in parsed.segments]
    assert kinds.count("education") == kinds.count("skills") == 1


def test_what_is_no_experience():
    for text in (
        "Education\nMaster of Arts, 2005 - 2009, Graz",
        "Born 04/1980. Summary\nAccountant.",
        "© 2010 - 2012 Example Ltd",
        "Work Experience\nCook\nEducation\nBSc, University of Oslo, 2010-2013",
        "Publications\nOn audits, 2011-2012",
    ):
        assert parse_cv(text, NOW_TEXT).experiences == (), text


@pytest.mark.parametrize("heading", ["Academic Background", "ACADEMIC PROJECTS"])
def test_a_heading_with_a_name_of_its_own_is_what_it_names(heading):
    text = f"Work Experience\nCook, 2010-2012, A\n{heading}\nLaws, Nairobi, 2005-2008\n"
    parsed = parse_cv(text, NOW_TEXT)
    assert [s.kind for s in parsed.segments] == ["experience", "experience", "education"]
    assert len(parsed.experiences) == 1


def test_a_date_alone_beside_a_title_is_an_experience():
    for text in ("Acme, Oslo\n2014\nSoftware Engineer", "August 2014  Secretary", "2014: Tutor"):
        parsed = parse_cv(f"Experience\n{text}\nBuilt tools.", NOW_TEXT)
        assert [e.interval(NOW_TEXT).start // 12 for e in parsed.experiences] == [2014], text
    for text in (
        "Experience\nMoved to Oslo\n2014\nSaw the fjords",
        "Experience\nMigrated the engineer's tools in 2014 to Java",
        "CURRICULUM VITAE (January 2016)\nAna Pop",
        "Projects done:  Ticket system (2014)  Chose the vendor",
    ):
        assert parse_cv(text, NOW_TEXT).experiences == (), text


def test_what_is_given_to_a_person_is_no_experience():
    for text in (
        "Experience\nAcademic Honor Roll: 2002 - 2006",
        "Experience\nHonors Society Member, Oslo Chapter (2011-2013)",
        "Experience\nScholarship of the city, 2011-2013",
        "Memberships\nNational Association of Social Workers, 1984 - present",
        "MEMBERSHIPS\nLEGAL ASSISTANTS OF OHIO, 1984 - 1990",
    ):
        assert parse_cv(text, NOW_TEXT).experiences == (), text
    for text in (
        "Experience\nAward-winning chef, Acme, 2010-2012",
        "Experience\nManager of the Honors Program, 2010-2012",
        "Memberships\nSocial Worker, Oslo, 1984 - 1990",
    ):
        assert len(parse_cv(text, NOW_TEXT).experiences) == 1, text


def test_a_title_on_the_line_beside_makes_it_an_experience():
    text = "Languages\nFrench\n\nSoftware Engineer\n\nJanuary 2013 to December 2013\n\nWrote C"
    assert len(parse_cv(text, NOW_TEXT).experiences) == 1
    assert parse_cv(text.replace("Software Engineer", "German"), NOW_TEXT).experiences == ()


def test_dates_that_cannot_be_are_reported_and_weigh_nothing():
    text = (
        "Experience\nCook, 05/2015 - 08/2014, A\nWaiter, 01/2031 - 02/2032, B\nChef, 2010-2012, C"
    )
    parsed = parse_cv(text, NOW_TEXT)
    assert [bool(e.fault) for e in parsed.experiences] == [True, True, False]
    assert parsed.total_months == 24
    assert sum("it has no weight" in note for note in parsed.notes) == 2


def test_a_cv_without_dates_says_so():
    parsed = parse_cv("Cook with a passion for soup.")
    assert parsed.experiences == ()
    assert any("no dated experience" in note for note in parsed.notes)
    assert [(s.start, s.end) for s in parse_cv("").segments] == [(0, 0)]


def test_columns_of_dates_belong_to_nobody():
    text = "Experience\n2001-2003  2003-2005  2005-2009\nCook, Waiter, Chef"
    assert parse_cv(text, NOW_TEXT).experiences == ()


def test_overlapping_jobs_count_once():
    text = "Experience\nCook, 01/2010 - 01/2012, A\nWaiter, 01/2011 - 01/2013, B"
    assert parse_cv(text, NOW_TEXT).total_months == 36


def test_current_depends_on_the_corpus_and_not_on_the_clock():
    texts = [f"Experience\nCook, 01/2010 - {m:02d}/2019, A" for m in (3, 5, 9)]
    misprint = "Experience\nCook, 01/2010 - 02/2049, A"
    assert reference_month(map(parse_cv, texts)) == month_of(2019, 9)
    assert reference_month(map(parse_cv, [*(texts * 40), misprint])) == month_of(2019, 9)
    assert reference_month([parse_cv("no dates")]) == 0


def test_another_reference_needs_no_second_reading():
    for text in (CV, "Experience\nCook, 05/2015 - 08/2014, A\nChef, 01/2019 - 01/2020, B"):
        for reference in (NOW_TEXT, NOW_TEXT - 60, NOW_TEXT + 60):
            once = parse_cv(text, reference)
            assert parse_cv(text).at(reference) == once
            assert parse_cv(text).at(reference).notes == once.notes
    future = parse_cv("Experience\nChef, 01/2019 - 01/2020, B").at(month_of(2018, 1))
    assert future.experiences[0].fault.startswith("future")


def test_shifting_the_dates_and_the_reference_changes_no_duration():
    base = parse_cv(CV, NOW_TEXT)
    later = CV
    for year in range(2024, 2004, -1):
        later = later.replace(str(year), f"<{year + 7}>")
    later = later.replace("<", "").replace(">", "")
    moved = parse_cv(later, NOW_TEXT + 84)
    assert [e.interval(NOW_TEXT + 84).months for e in moved.experiences] == [
        e.interval(NOW_TEXT).months for e in base.experiences
    ]


@pytest.mark.parametrize("seed", [0, 1])
def test_the_demo_corpus_is_read_back(seed):
    """At least 99% of its experiences, in all of its date formats."""
    chosen = DemoSettings(cvs=120, seed=seed)
    people, jobs, world, bank = draw_world(chosen)
    texts, _ = write_documents(chosen, people, jobs, world, bank)
    right = total = 0
    for person, text in zip(people, texts, strict=True):
        found = [e.interval(NOW) for e in parse_cv(text, NOW).experiences]
        truth = [(e.start, e.end) for e in person.experiences]
        total += max(len(truth), len(found))
        right += sum((i.start, i.end) == t for i, t in zip(found, truth, strict=False))
    assert total > 500
    assert right / total >= 0.99


def test_real_cvs_have_dated_experiences(shared_data):
    rows = raw_rows(shared_data)
    assert len(rows) == 100
    assert sum(bool(parse_cv(row["resume_text"]).experiences) for row in rows) >= 95


def test_real_experiences_equal_those_read_by_hand(shared_data):
    """30 CVs; an experience that is missing, wrong or too many is a mistake."""
    rows = raw_rows(shared_data)
    labels = json.loads(Path(__file__).with_name("raw_months.json").read_text(encoding="utf-8"))
    right = total = 0
    for row, written in labels["rows"].items():
        truth = [as_written(w) for w in written]
        found = [
            f"{as_text(e.dates.start)}/{'current' if e.dates.end is None else as_text(e.dates.end)}"
            for e in parse_cv(rows[int(row)]["resume_text"]).experiences
        ]
        both = sum(w in found for w in truth)
        right += both
        total += len(truth) + len(found) - both
    assert len(labels["rows"]) == 30
    assert right / total >= 0.93


def as_written(label):
    """2010/2012-05 → 2010-01/2012-05; a range within one month ends with it."""
    start, _, end = label.partition("/")
    start, end = (f"{x}-01" if len(x) == 4 else x for x in (start, end))
    if start == end:
        year, month = map(int, end.split("-"))
        end = as_text(month_of(year, month) + 1)
    return f"{start}/{end}"


def raw_rows(folder):
    csv.field_size_limit(10**9)
    with (folder / "resume_job_fit" / "raw_100.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("text", "months", "at_least"),
    [
        ("6+ years of experience", 72, True),
        ("over ten years of experience", 120, True),
        ("Experience: 2 Years and 4 Months", 28, False),
        ("3.5 years of experience", 42, False),
        ("21 months of experience", 21, False),
        ("Five years of professional experience", 60, False),
        ("4 yrs. of solid .NET experience", 48, False),
        ("(10+ years) of experience", 120, True),
        ("30+ years in the IT industry", 360, True),
        ("8 years in publishing work", 96, False),
        ("10+ years as a teacher", 120, True),
        ("two years of dedicated service", 24, False),
    ],
)
def test_durations_in_words(text, months, at_least):
    assert [(d.months, d.at_least) for d in stated_durations(f"He has {text}.")] in (
        [(months, at_least)],
    )


def test_an_age_is_no_duration():
    assert stated_durations("He is 35 years old and has 3 children") == []


@pytest.mark.parametrize(
    "text",
    [
        "raised the average over an eight month period  • Gained real-world experience",
        "JavaScript 6 years    Experienced Shell scripting 1 year",
        "For 5 years, he broadened what he knew; experience in Dubai",
        "Taught for 10 years. As a result he has gained much",
        "Lived for two years in Oslo. Industry awards",
    ],
)
def test_a_duration_ends_with_its_sentence(text):
    assert stated_durations(text) == []


PIECES = st.sampled_from(
    ["Experience", "Education\n", "Work History", "Skills", "2010", "-", "2012", "to", "Current",
     "Engineer, ", "01/2010", ". ", "\n", "  ", "(", ")", "5 years of experience", "SKILLS", "é",
     "since ", "Jan ", "2010-2012\n", "present", "\x00", "Summary:"]
)  # fmt: skip


@settings(max_examples=examples(133), deadline=None)
@given(st.one_of(st.lists(PIECES, max_size=60).map("".join), st.text(max_size=300)))
def test_no_text_breaks_it_and_segments_cover_it(text):
    for reference in (None, NOW_TEXT):
        parsed = parse_cv(text, reference)
        ends = [0, *(s.end for s in parsed.segments)]
        assert [s.start for s in parsed.segments] == ends[:-1]
        assert ends[-1] == len(text)
        places = [s.experience for s in parsed.segments if s.experience is not None]
        assert places == sorted(places)
        assert set(places) <= set(range(len(parsed.experiences)))
        assert parsed.reference == (reference or newest_month(date_ranges(text)))
        assert parsed.total_months >= 0
        assert parse_cv(text, reference) == parsed


@pytest.mark.parametrize(
    "heading", ["工作经历", "【工作经验】", "一、工作经历:", "職務経歴", "경력 사항"]
)
def test_headings_and_titles_of_east_asian_cvs(heading):
    """A date begins its line, and the title follows: on the line, or on the next one."""
    jobs = "2019年11月 - 至今  高级工程师  甲公司\n负责开发\n2016年1月 - 2019年10月\n工程师\n开发\n"
    parsed = parse_cv(
        f"张三\n{heading}\n{jobs}教育背景\n2008年9月 - 2012年6月 乙大学\n", month_of(2026, 11)
    )
    assert [(e.title, e.months(parsed.reference)) for e in parsed.experiences] == [
        ("高级工程师", 84),
        ("工程师", 45),
    ]


def test_a_title_stays_above_its_date_where_one_stands_there():
    text = "EXPERIENCE\nWelder, Tarn Ltd\nJan 2015 - Mar 2019\nWelded pipes.\n"
    (job,) = parse_cv(text).experiences
    assert job.title == "Welder, Tarn Ltd"
