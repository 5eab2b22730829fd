"""The truth of the demo corpus: people, jobs, and how well one fits the other. Ours.

A person is a list of experiences, each with its months and the skills that it exercised. A job has
a level and requires skills, each with a number of months. An experience e of d_e months that ended
a_e months before NOW gives the credit

    credit(e) = d_e * 2 ** (-a_e / half_life)                                    [months]

and the fit is how far the union of the experiences covers the requirements:

    coverage_r = min(1, sum of credit(e) over the experiences e that exercised skill r / months_r)
    fit = mean of coverage_r over the requirements r  *  LEVEL_PENALTY ** max(0, levels missing)

So evidence is summed over the whole document: four skills in four chunks fit a job better than one
skill in four chunks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

NOW = 12 * 2024 + 5
"""The reference month of every demo corpus, June 2024, in months from year 0."""

LEVEL_PENALTY = 0.85
SKILLS_SHOWN = 6
"""Number of skills that a person exercised, of the twelve of a sector."""
SKILLS_ASKED = 4
OWN_FAMILY = 4.0
MONTHS_ASKED = (6, 12, 18, 24)


@dataclass(frozen=True)
class Experience:
    """One job in a CV, in [start, end) months from year 0."""

    title: str
    employer: str
    start: int
    end: int
    skills: tuple[int, ...]

    def credit(self, half_life: float) -> float:
        """Return its months, discounted by the months since it ended."""
        return (self.end - self.start) * 2.0 ** (-(NOW - self.end) / half_life)


@dataclass(frozen=True)
class Person:
    """A career, the newest experience first; `level` is the highest level reached."""

    sector: int
    level: int
    experiences: tuple[Experience, ...]


@dataclass(frozen=True)
class Job:
    """A job; `required` maps each required skill to its months."""

    sector: int
    family: int
    level: int
    required: dict[int, int]


@dataclass(frozen=True)
class World:
    """The values from which people and jobs are drawn.

    titles:    titles of each job family
    levels:    words before a title, from the lowest level
    employers: names of employers
    skills:    int [family, skill]: the skills of each family
    sectors:   the families of each sector
    """

    titles: Sequence[str]
    levels: Sequence[str]
    employers: Sequence[str]
    skills: np.ndarray
    sectors: Sequence[Sequence[int]]

    def sector_skills(self, sector: int) -> np.ndarray:
        """Return all skills of the sector's families."""
        return self.skills[list(self.sectors[sector])].ravel()

    def title(self, family: int, level: int) -> str:
        """Return the title of a job of the family at the level: "senior cost accountant"."""
        return f"{self.levels[level]} {self.titles[family]}".strip()


def fit(person: Person, job: Job, half_life: float) -> float:
    """Compute the noise-free fit in [0, 1] by the module's formula; half_life is in months."""
    credit = dict.fromkeys(job.required, 0.0)
    for experience in person.experiences:
        for skill in experience.skills:
            if skill in credit:
                credit[skill] += experience.credit(half_life)
    coverage = [min(1.0, credit[skill] / months) for skill, months in job.required.items()]
    return float(np.mean(coverage)) * LEVEL_PENALTY ** max(0, job.level - person.level)


def draw_person(world: World, sector: int, spread: float, rng: np.random.Generator) -> Person:
    """Draw a career of 3 to 8 jobs that exercised SKILLS_SHOWN skills of its sector.

    spread: probability that a skill is placed in one to three experiences drawn at random;
            otherwise it is placed in the main experience of the career. So with 0 all evidence is
            in one experience, and with 1 it is scattered
    """
    family = int(rng.choice(world.sectors[sector]))
    jobs = int(rng.integers(3, 9))
    heart = int(rng.integers(jobs))
    shown: list[set[int]] = [set() for _ in range(jobs)]
    for skill in _draw_skills(world, sector, family, SKILLS_SHOWN, rng):
        scattered = rng.random() < spread
        places = rng.choice(jobs, size=rng.integers(1, 4), replace=False) if scattered else [heart]
        for place in places:
            shown[place].add(skill)
    top = int(rng.integers(len(world.levels)))
    experiences, end = [], NOW
    for place in range(jobs):
        start = end - int(rng.integers(8, 49))
        level = max(0, top - place // 2)
        title = world.title(family, level)
        employer = world.employers[int(rng.integers(len(world.employers)))]
        experiences.append(Experience(title, employer, start, end, tuple(sorted(shown[place]))))
        end = start - int(rng.integers(0, 5))
    return Person(sector, top, tuple(experiences))


def draw_job(world: World, sector: int, rng: np.random.Generator) -> Job:
    """Draw a job that requires SKILLS_ASKED skills of its sector, 6 to 24 months each."""
    family = int(rng.choice(world.sectors[sector]))
    skills = _draw_skills(world, sector, family, SKILLS_ASKED, rng)
    months = rng.choice(MONTHS_ASKED, size=len(skills)).tolist()
    return Job(
        sector, family, int(rng.integers(len(world.levels))), dict(zip(skills, months, strict=True))
    )


def _draw_skills(
    world: World, sector: int, family: int, count: int, rng: np.random.Generator
) -> list[int]:
    """Draw distinct skills of the sector; those of the family are OWN_FAMILY times as likely."""
    skills = world.sector_skills(sector)
    weight = np.where(np.isin(skills, world.skills[family]), OWN_FAMILY, 1.0)
    return rng.choice(skills, size=count, replace=False, p=weight / weight.sum()).tolist()
