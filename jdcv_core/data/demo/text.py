"""Write the demo corpus: a CV for each person and a JD for each job, as long as real ones. Ours.

A text states the truth of `latent` among sentences that are unrelated to it. The label cannot be
found by counting words: some keywords of a CV and some remarks of a JD name skills that are no
evidence, a skill has two names, months and dates count, and the length of a document is independent
of the fit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jdcv_core.data.demo.latent import Job, Person
from jdcv_core.months import year_and_month

MONTH_NAMES = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip

Bank = dict[str, Any]


def _numeric(month: int) -> str:
    year, m = year_and_month(month)
    return f"{m:02d}/{year}"


def _spaced(month: int) -> str:
    year, m = year_and_month(month)
    return f"{m:02d} {year}"


def _short(month: int) -> str:
    year, m = year_and_month(month)
    return f"{MONTH_NAMES[m - 1][:3]} {year}"


def _long(month: int) -> str:
    year, m = year_and_month(month)
    return f"{MONTH_NAMES[m - 1]} {year}"


def _day(month: int) -> str:
    year, m = year_and_month(month)
    return f"{m}/1/{year}"


DATE_FORMATS: tuple[tuple[Callable[[int], str], str, str], ...] = (
    (_numeric, "-", "Current"),
    (_numeric, "to", "Current"),  # without spaces, as in some real CVs: 05/2014toCurrent
    (_spaced, " to ", "Current"),
    (_short, " – ", "Present"),
    (_long, " – ", "present"),
    (_day, " - ", "Current"),
)
"""Ways to write [start, end): format of a month, text between the months, word for no end."""


def tokens_of(text: str) -> float:
    """Estimate GPT-2 tokens: about 0.222 per character of such texts. Used to aim at a length."""
    return 0.222 * len(text)


class Writer:
    """Fills the bank's sentences; one generator draws every choice.

    skills:     name, paraphrase and technical terms of each skill
    paraphrase: probability that a mention uses the paraphrase
    seed:       one or several whole numbers
    """

    def __init__(
        self,
        bank: Bank,
        skills: Sequence[Sequence[str]],
        paraphrase: float,
        seed: int | Sequence[int],
    ) -> None:
        self.bank, self.skills, self.paraphrase = bank, skills, paraphrase
        self.rng = np.random.default_rng(seed)

    def one(self, words: Sequence[str]) -> str:
        return words[int(self.rng.integers(len(words)))]

    def skill(self, skill: int) -> str:
        """Return the name of a skill or its paraphrase."""
        return self.skills[skill][int(self.rng.random() < self.paraphrase)]

    def say(self, sentence: str, **slots: Any) -> str:
        """Fill the slots of a sentence with the given words, and other slots from the bank."""
        bank = self.bank
        return sentence.format(
            n=int(self.rng.integers(2, 10)),
            p=5 * int(self.rng.integers(1, 7)),
            year=int(self.rng.integers(2005, 2024)),
            place=self.one(bank["places"]),
            unit=self.one(bank["units"]),
            branch=self.one(bank["branches"]),
            season=self.one(bank["seasons"]),
            city=self.one(bank["cities"]),
            **slots,
        )

    def show(self, kind: str, skill: int, **slots: Any) -> str:
        """Write a sentence about a skill, with two of its technical terms."""
        t, u = self.rng.permutation(self.skills[skill][2:])[:2].tolist()
        return self.say(self.one(self.bank[kind]), s=self.skill(skill), t=t, u=u, **slots)

    def fill(self, kind: str, tokens: float) -> list[str]:
        """Write about `tokens` tokens of sentences of a kind; none repeats before all were used."""
        sentences: list[str] = []
        deck: list[str] = []
        while tokens > 0:
            deck = deck or self.shuffled(self.bank[kind])
            sentences.append(self.say(deck.pop()))
            tokens -= tokens_of(sentences[-1])
        return sentences

    def shuffled(self, lines: Sequence[str]) -> list[str]:
        return [lines[i] for i in self.rng.permutation(len(lines))]


@dataclass(frozen=True)
class WrittenCV:
    """The lines of a CV.

    head:        name, title and summary
    experiences: header, paragraphs that show skills, filler sentences, of each experience
    keywords:    the line of keywords
    education, extras: the sections of these names
    text:        the CV, in its usual order
    """

    head: list[str]
    experiences: list[tuple[str, list[str], list[str]]]
    keywords: str
    education: list[str]
    extras: list[str]
    text: str


def write_cv(
    writer: Writer, person: Person, sector_skills: Sequence[int], tokens: float
) -> WrittenCV:
    """Write a CV of about `tokens` GPT-2 tokens, or more if the evidence alone is longer.

    An experience is a header with title, dates and employer, followed by its duties in random
    order: a paragraph of three to five lines for each skill, and filler sentences, which are spread
    unevenly over the experiences. A line of six keywords is placed between two sections; three of
    the keywords are no evidence.
    """
    rng, bank = writer.rng, writer.bank
    write_month, between, still = DATE_FORMATS[int(rng.integers(len(DATE_FORMATS)))]
    headers, duties = [], []
    for place, job in enumerate(person.experiences):
        until = still if place == 0 else write_month(job.end)
        dates = f"{write_month(job.start)}{between}{until}"
        headers.append(f"{job.title.title()}, {dates}, {job.employer}")
        paragraph = int(rng.integers(3, 6))
        duties.append(
            ["\n".join(writer.show("evidence", s) for _ in range(paragraph)) for s in job.skills]
        )
    title = person.experiences[0].title
    head = [
        f"{writer.one(bank['first_names'])} {writer.one(bank['last_names'])}",
        title.title(),
        "Summary",
        writer.say(writer.one(bank["summary"]), title=title),
        writer.one(bank["strengths"]),
    ]
    known = [skill for job in person.experiences for skill in job.skills]
    keywords = [*rng.choice(sector_skills, 3, replace=False), *rng.choice(known, 3)]
    keyword_line = ", ".join(writer.skill(int(s)) for s in writer.rng.permutation(keywords))
    school = year_and_month(person.experiences[-1].start)[0]
    degree = f"{writer.one(bank['degrees'])}, {writer.one(bank['cities'])}, {school}"
    extras = ["Additional information", *writer.fill("extras", 40)]
    written = [*headers, *(line for lines in duties for line in lines), *head, keyword_line]
    spare = tokens - 60 - sum(tokens_of(line) for line in written)
    experience, fillers = ["Experience"], []
    for header, lines, share in zip(
        headers, duties, rng.dirichlet(np.ones(len(duties))), strict=True
    ):
        fillers.append(writer.fill("filler", share * spare))
        experience += [header, *writer.shuffled([*lines, *fillers[-1]])]
    sections = [head, experience, ["Education", degree], extras]
    keyword_intro = writer.one(bank["keywords_intro"])
    keyword_line = f"{keyword_intro} {keyword_line}"
    sections.insert(int(rng.integers(1, 5)), [keyword_line])
    text = "\n".join(line for section in sections for line in section)
    experiences = list(zip(headers, duties, fillers, strict=True))
    return WrittenCV(head, experiences, keyword_line, ["Education", degree], extras, text)


def write_jd(
    writer: Writer, job: Job, title: str, other_skills: Sequence[int], tokens: float
) -> str:
    """Write a JD of about `tokens` GPT-2 tokens, or more if the requirements alone are longer.

    Each required skill has three lines about the role and one line that states its months. These
    last lines form one or two lists, with remarks about the employer before and between them. Two
    remarks name skills of other teams, which are not required.
    """
    rng = writer.rng
    role = ["\n".join(writer.show("duty", s) for _ in range(3)) for s in job.required]
    asks = [writer.show("requirement", s, m=months) for s, months in job.required.items()]
    others = rng.choice(other_skills, size=2, replace=False)
    remarks = [writer.show("neighbours", int(s)) for s in others]
    spare = tokens - sum(tokens_of(line) for line in [*role, *asks, *remarks])
    remarks = writer.shuffled([*remarks, *writer.fill("company", spare)])
    cut = int(rng.integers(0, len(remarks)))
    split = int(rng.integers(1, len(asks) + 1))
    head = [f"{title.title()} wanted", f"Location: {writer.one(writer.bank['cities'])}"]
    parts = [head, remarks[:cut], ["Your role", *writer.shuffled(role)]]
    parts += [["Requirements", *asks[:split]], remarks[cut:]]
    if asks[split:]:
        parts.append(["Also needed", *asks[split:]])
    return "\n".join(line for part in parts for line in part)
