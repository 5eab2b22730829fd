"""Months relative to the reference, and jobs of several intervals."""

import pytest

from jdcv_core.months import month_of
from research.experience.parsing import parse_cv
from research.experience.reference import reference_for_a_person, reference_month
from research.experience.timeline import timeline
from research.experience.weights import Decay

NOW = month_of(2026, 11)


def one(line, reference=NOW):
    (found,) = parse_cv(f"EXPERIENCE\nWelder, Tarn Ltd\n{line}\nWelded.", reference).experiences
    assert found.title == "Welder, Tarn Ltd"
    return found


@pytest.mark.parametrize(
    ("line", "months"),
    [
        ("Jan 2015 \u2011 Mar 2019", 50), ("Jan 2015 \u2010 Mar 2019", 50),
        ("Jan 2015 － Mar 2019", 50), ("Jan 2015 ? Mar 2019", 50), ("Summer 2013, 2014", 6),
        ("Summers 2015 & 2016", 6), ("2016/17 - 2018/19", 36),
        ("Between March 2016 and July 2018", 28), ("Fall 2018 and Spring 2019", 6),
        ("Jan 2025 - Dec 2027", 22), ("Every summer 2013-2015", 9),
    ],
)  # fmt: skip
def test_the_months_of_one_job(line, months):
    parsed = parse_cv(f"EXPERIENCE\nWelder, Tarn Ltd\n{line}\nWelded.", NOW)
    (entry,) = timeline("", parsed, Decay())
    assert (entry["title"], entry["months"]) == ("Welder, Tarn Ltd", months)
    assert parsed.total_months == months
    assert entry["weight"] == 1


def test_three_jobs_in_chinese_have_their_own_titles():
    text = (
        "工作经历\n腾讯 工程师\n2016年1月 - 2019年10月\n写代码\n阿里 经理\n2019年11月 - 至今\n"
        "管理\n百度 实习\n2012.03-2015.12\n测试\n"
    )
    parsed = parse_cv(text, NOW)
    found = [(e.title, e.months(NOW)) for e in parsed.experiences]
    assert found == [("腾讯 工程师", 45), ("阿里 经理", 84), ("百度 实习", 45)]
    assert parsed.unread == ()


def test_an_end_long_after_the_reference_is_a_typing_error():
    assert "typing error" in one("March 2015 - June 2071").fault
    assert "typing error" in one("March 2015 - Dec 2031").fault
    assert one("March 2015 - Nov 2031").fault == ""
    parsed = parse_cv("EXPERIENCE\nWelder, March 2015 - June 2071\nCook, 2010 - 2012\n", NOW)
    assert parsed.total_months == 24
    assert [e["weight"] for e in timeline("", parsed, Decay())] == [None, 1]


def test_a_contract_in_progress_counts_to_the_reference_and_is_said():
    for line in ("Jan 2025 - Dec 2027", "01/2025-12/2026", "2025 - 2028"):
        assert one(line).months(NOW) == 22
        assert one(line, NOW - 12).months(NOW - 12) == 10
        (note,) = parse_cv(f"EXPERIENCE\nWelder, {line}\n", NOW).notes
        assert note.endswith("a contract in progress; its months count to 2026-11")
    assert parse_cv("EXPERIENCE\nWelder, Jan 2025 - Dec 2027\n", month_of(2027, 12)).notes == ()


def test_a_job_that_begins_in_the_reference_month_is_said():
    text = "EXPERIENCE\nWelder, Mar 2021 - Present\nCutter, Jun 2017 - Feb 2021\n"
    parsed = parse_cv(text)
    assert [e.months(parsed.reference) for e in parsed.experiences] == [1, 44]
    assert any("counts 1 month" in note for note in parsed.notes)
    assert parse_cv(text, NOW).notes == ()


def test_the_reference_of_a_person():
    current = parse_cv("EXPERIENCE\nWelder, Mar 2021 - Present\nCutter, Jun 2017 - Feb 2021\n")
    ended = parse_cv("EXPERIENCE\nWelder, Mar 2021 - Oct 2022\n")
    contract = parse_cv("EXPERIENCE\nWelder, Mar 2021 - Oct 2027\n")
    assert reference_for_a_person(current, NOW) == (NOW, "today")
    assert reference_for_a_person(contract, NOW) == (NOW, "today")
    assert reference_for_a_person(parse_cv("Cook"), NOW) == (NOW, "today")
    assert reference_for_a_person(ended, NOW) == (month_of(2022, 10), "newest date in the CV")


def test_a_cv_that_is_newer_than_the_model_keeps_its_months():
    text = "EXPERIENCE\nWelder, Mar 2025 - Present\nCutter, Jun 2017 - Feb 2025\n"
    model = month_of(2024, 6)
    seen = parse_cv(text).seen_from(model)
    assert (seen.reference, seen.newer_than) == (month_of(2025, 3), model)
    assert [e.fault for e in seen.experiences] == ["", ""]
    assert [e.months(seen.reference) for e in seen.experiences] == [1, 92]
    assert "newer than the reference 2024-06" in seen.faults[0]
    assert parse_cv(text).seen_from(NOW) == parse_cv(text, NOW)
    misprint = parse_cv(text.replace("2025 - Present", "2049 - Present")).seen_from(model)
    assert (misprint.reference, misprint.newer_than) == (model, None)
    assert misprint.experiences[0].fault.startswith("future")


def test_masked_years_move_no_reference():
    masked = parse_cv("EXPERIENCE\nWelder, 03/20XX - 05/20XX\nCutter, Jun 2017 - Feb 2021\n")
    assert masked.reference == reference_month([masked]) == month_of(2021, 2)
    assert [bool(e.fault) for e in masked.experiences] == [True, False]
    (unknown, known) = timeline("", masked, Decay())
    assert (unknown["from"], unknown["to"], unknown["months"]) == ("unknown", "unknown", 0)
    assert (unknown["weight"], known["weight"]) == (None, 1)


PUBLICATIONS = "".join(
    f"{n}. Smith, J. and Doe, A. ({1990 + n % 30}). On welding, part {n}. Journal of Metals "
    f"{n}({n % 4}), {120 + n}-{130 + n}. Oslo, 10-12 May {1990 + n % 30}, pp. 1-10.\n"
    for n in range(1, 301)
)


@pytest.mark.parametrize("heading", ["Publications\n", ""])
def test_publications_before_the_employment_hide_nothing(heading):
    """A cap was reached, and "no dated experience was found" was said."""
    text = (
        f"Ana Pop\n{heading}{PUBLICATIONS}Employment\nProfessor, Tarn University, Jan 2015 - "
        "Present\nTaught.\nLecturer, Oslo, 09/2010 - 12/2014\n"
    )
    parsed = parse_cv(text, NOW)
    assert [e.months(NOW) for e in parsed.experiences] == [142, 51]
    assert parsed.skipped == ()


def test_where_a_cap_is_reached_it_is_said_and_nothing_is_denied():
    texts = ["1 " * 10_001, "since 2016. " * 1_501, "Skills\n" * 1_001, "Cook, 2010-2011\n" * 501]
    for text in texts:
        parsed = parse_cv(text, NOW)
        assert any("are not read" in note for note in parsed.notes), text[:12]
        assert not any("no dated experience was found" in note for note in parsed.notes)
        assert parsed.segments[-1].end == len(text)
