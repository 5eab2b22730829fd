"""The demo corpus: a seeded Dataset with known truth, for a first run without downloads. Ours.

Each CV is paired with JDs of its sector so that the labels of every CV and of every JD are
distributed as random draws with the requested class shares. Therefore a model that reads only one
side cannot beat chance, and must learn the fit.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import partial
from importlib.resources import files
from typing import Any

import numpy as np
import yaml
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_flow

from jdcv_core.data.demo.latent import NOW, Job, Person, World, draw_job, draw_person, fit
from jdcv_core.data.demo.placing import ANYWHERE, FAR, PLACES, place
from jdcv_core.data.demo.text import Bank, Writer, write_cv, write_jd
from jdcv_core.data.normalise import Row, assemble, document_id
from jdcv_core.errors import InputError, nearest
from jdcv_core.months import as_text
from jdcv_core.types import Dataset

CV_TOKENS = (1000, 0.44)
"""Median and log-sd of a CV's length in GPT-2 tokens: p90 about 1,750, as in the hub dataset."""
JD_TOKENS = (400, 0.63)
"""Median and log-sd of a JD's length in GPT-2 tokens: p90 about 900."""


@dataclass(frozen=True)
class DemoSettings:
    """Settings of the corpus.

    cvs, jds:        numbers of documents
    pairs_per_cv:    largest number of labelled pairs of a CV
    evidence_spread: probability in [0, 1] that a skill's evidence is scattered over the CV, instead
                     of being in one experience
    half_life:       an experience counts half if it ended this many months ago
    label_noise:     standard deviation of the Gaussian added to the fit before it is cut into
                     classes; 0 gives labels without noise
    balance:         shares of No, Potential and Good Fit
    paraphrase:      probability that a mention of a skill uses its second name
    length:          length of the documents, as a multiple of the hub dataset's
    level_stated:    whether the title of a JD states the level of the job ("Senior Cost Accountant
                     wanted"). The fit depends on the level; without it, no JD says so. All draws
                     and labels, and all lines but the first of each JD, are the same either way
    evidence_at:     where in a CV the experiences stand: "anywhere" is the usual CV; "early",
                     "spread" or a number of tokens are long CVs in which filler surrounds them,
                     see `placing`. Labels and JDs are the same
    seed:            seed of all random draws
    """

    cvs: int = 360
    jds: int = 400
    pairs_per_cv: int = 24
    evidence_spread: float = 1.0
    half_life: float = 96.0
    label_noise: float = 0.05
    balance: tuple[float, float, float] = (0.5, 0.25, 0.25)
    paraphrase: float = 0.25
    length: float = 1.0
    level_stated: bool = False
    evidence_at: str | int = ANYWHERE
    seed: int = 0


def demo_corpus(**settings: Any) -> Dataset:
    """Generate the corpus; the arguments are the fields of DemoSettings.

    The same settings give the same texts and labels. Each pair has its noise-free `fit`;
    facts["demo"] holds the settings and `cuts`, the two values of fit + noise that separate the
    classes; facts["reference"] is the month to which "current" refers.
    Raises InputError for an unknown setting or one out of range.
    """
    chosen = _settings(settings)
    people, jobs, world, bank = draw_world(chosen)
    fits, labels, cuts, rng = _label(chosen, people, jobs)
    chosen_pairs = balanced_pairs(labels, np.array(chosen.balance), chosen.pairs_per_cv, rng)
    cvs, jds = write_documents(chosen, people, jobs, world, bank)
    rows: list[Row] = [
        {
            "cv": cvs[c],
            "jd": jds[j],
            "label": int(labels[c, j]),
            "fit": float(fits[c, j]),
            "origin": f"demo corpus, CV {c}, JD {j}",
        }
        for c, j in chosen_pairs
    ]
    about = {**asdict(chosen), "cuts": cuts.tolist()}
    facts = {"demo": about, "reference": as_text(NOW)}
    return assemble("demo", rows, facts)


def demo_grades(**settings: Any) -> dict[str, dict[str, int]]:
    """Return the label of every CV for every JD, JD id → CV id → 0 to 2.

    The result includes combinations that are no labelled pair. A CV of another sector has 0. The
    arguments are those of `demo_corpus`.
    """
    chosen = _settings(settings)
    people, jobs, world, bank = draw_world(chosen)
    _, labels, _, _ = _label(chosen, people, jobs)
    cvs, jds = write_documents(chosen, people, jobs, world, bank)
    names = [document_id("cv", text) for text in cvs]
    return {
        document_id("jd", jds[j]): dict(
            zip(names, np.maximum(labels[:, j], 0).tolist(), strict=True)
        )
        for j in range(len(jds))
    }


def _settings(settings: Mapping[str, Any]) -> DemoSettings:
    known = [field.name for field in fields(DemoSettings)]
    for name in settings:
        if name not in known:
            raise InputError(f"data.{name}", "there is no such setting", nearest(name, known))
    chosen = DemoSettings(**settings)
    _check(chosen)
    return chosen


def _label(
    chosen: DemoSettings, people: list[Person], jobs: list[Job]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.random.Generator]:
    """Return noise-free fits [cv jd], labels [cv jd] (-1 for another sector), the cuts between
    classes, and the generator for later draws."""
    fits = np.array([[fit(p, j, chosen.half_life) for j in jobs] for p in people])
    near = np.equal.outer([p.sector for p in people], [j.sector for j in jobs])
    rng = np.random.default_rng([chosen.seed, 1])
    noisy = fits + rng.normal(0, chosen.label_noise, fits.shape)
    cuts = np.quantile(noisy[near], np.cumsum(chosen.balance)[:2])
    return fits, np.where(near, np.searchsorted(cuts, noisy), -1), cuts, rng


def draw_world(settings: DemoSettings) -> tuple[list[Person], list[Job], World, Bank]:
    """Draw people and jobs for each sector in turn; return them, the world and the word bank."""
    rng = np.random.default_rng([settings.seed, 0])
    bank = yaml.safe_load(files(__package__).joinpath("bank.yaml").read_text(encoding="utf-8"))
    families = [family for sector in bank["sectors"].values() for family in sector.items()]
    sizes = [len(sector) for sector in bank["sectors"].values()]
    ends = np.cumsum(sizes)
    syllables = rng.choice(bank["syllables"], size=(60, 3))
    suffixes = rng.choice(bank["suffixes"], size=60)
    world = World(
        titles=[title for title, _ in families],
        levels=bank["levels"],
        employers=[
            f"{''.join(s).capitalize()} {x}" for s, x in zip(syllables, suffixes, strict=True)
        ],
        skills=np.arange(sum(len(skills) for _, skills in families)).reshape(len(families), -1),
        sectors=[range(end - size, end) for end, size in zip(ends, sizes, strict=True)],
    )
    sectors = len(sizes)
    spread = settings.evidence_spread
    people = [draw_person(world, i % sectors, spread, rng) for i in range(settings.cvs)]
    jobs = [draw_job(world, i % sectors, rng) for i in range(settings.jds)]
    return people, jobs, world, bank


def write_documents(
    settings: DemoSettings, people: list[Person], jobs: list[Job], world: World, bank: Bank
) -> tuple[list[str], list[str]]:
    """Write the texts of the CVs and of the JDs."""
    skills = [skill for sector in bank["sectors"].values() for f in sector.values() for skill in f]
    rng = np.random.default_rng([settings.seed, 2])
    writer = Writer(bank, skills, settings.paraphrase, settings.seed)
    cvs, jds = [], []
    for number, person in enumerate(people):
        length = settings.length * CV_TOKENS[0] * np.exp(CV_TOKENS[1] * rng.normal())
        cv = write_cv(writer, person, world.sector_skills(person.sector).tolist(), length)
        own = Writer(bank, skills, settings.paraphrase, [settings.seed, 3, number])
        cvs.append(place(cv, own, settings.evidence_at))
    for job in jobs:
        length = settings.length * JD_TOKENS[0] * np.exp(JD_TOKENS[1] * rng.normal())
        others = [s for s in world.sector_skills(job.sector).tolist() if s not in job.required]
        plain, stated = world.titles[job.family], world.title(job.family, job.level)
        title = stated if settings.level_stated else plain
        jds.append(write_jd(writer, job, title, others, length))
    return cvs, jds


def balanced_pairs(
    labels: np.ndarray, balance: np.ndarray, per_cv: int, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Choose (CV, JD) pairs so that the labels of each CV and each JD look drawn from `balance`.

    labels: int [cv, jd], -1 for pairs that must not be chosen
    For each CV, the number of pairs of each class is drawn (`per_cv` in total); for each JD, an
    upper bound is drawn. Each class is a separate bipartite graph, in which a maximum flow chooses
    as many of the CVs' pairs as the bounds of the JDs allow. The numbers are drawn and not fixed:
    if every CV had the same numbers, a Good Fit in train would make a Good Fit of that CV in test
    less likely, and a model that memorises CVs would do worse than chance.
    """
    cvs, jds = labels.shape
    wanted = rng.multinomial(per_cv, balance, size=cvs)  # [cv label]
    most = rng.multinomial(-(-per_cv * cvs // jds), balance, size=jds)  # [jd label]
    taken = [_flow(labels == c, wanted[:, c], most[:, c], rng) for c in range(len(balance))]
    return [(int(cv), int(jd)) for t in taken for cv, jd in zip(*np.nonzero(t), strict=True)]


def _flow(
    allowed: np.ndarray, row_caps: np.ndarray, column_caps: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Choose as many allowed cells as possible within the caps of rows and columns; return bools.

    Rows and columns are shuffled first, because the solver favours the first ones.
    """
    rows, columns = rng.permutation(allowed.shape[0]), rng.permutation(allowed.shape[1])
    n, m = allowed.shape
    capacity = np.zeros((n + m + 2, n + m + 2), dtype=np.int32)  # source, rows, columns, sink
    capacity[0, 1 : n + 1] = row_caps[rows]
    capacity[1 : n + 1, n + 1 : n + m + 1] = allowed[np.ix_(rows, columns)]
    capacity[n + 1 : n + m + 1, -1] = column_caps[columns]
    flow = maximum_flow(csr_matrix(capacity), 0, n + m + 1).flow
    used = np.zeros_like(allowed)
    used[np.ix_(rows, columns)] = flow[1 : n + 1, n + 1 : n + m + 1].toarray() > 0
    return used


def _check(settings: DemoSettings) -> None:
    refuse = partial(InputError, cure="give a value in that range")
    for name in ("cvs", "jds", "pairs_per_cv", "seed"):
        if not isinstance(getattr(settings, name), int):
            raise refuse(f"data.{name}", "it must be a whole number")
    if min(settings.cvs, settings.jds) < 32:
        raise refuse("data.cvs, data.jds", "there must be at least 32 of each")
    if settings.seed < 0:
        raise refuse("data.seed", "it must not be below 0")
    if settings.pairs_per_cv < 4:
        raise refuse("data.pairs_per_cv", "it must be at least 4")
    for name in ("evidence_spread", "paraphrase"):
        if not 0 <= getattr(settings, name) <= 1:
            raise refuse(f"data.{name}", "it must lie between 0 and 1")
    if not isinstance(settings.level_stated, bool):
        raise InputError("data.level_stated", "it must be true or false", "write true or false")
    if isinstance(settings.evidence_at, bool) or settings.evidence_at not in (
        *PLACES,
        *range(1, FAR + 1),
    ):
        what = f"it must be {', '.join(PLACES)}, or a number of tokens up to {FAR}"
        raise InputError("data.evidence_at", what, "give one of them")
    if not settings.length > 0:
        raise refuse("data.length", "it must be above 0")
    if not (settings.half_life > 0 and settings.label_noise >= 0):
        raise refuse("data.half_life, data.label_noise", "they must be above 0, and not below 0")
    balance = settings.balance
    if len(balance) != 3 or min(balance) <= 0 or abs(sum(balance) - 1) > 1e-6:
        raise refuse("data.balance", "it must be three shares above 0 whose sum is 1")
