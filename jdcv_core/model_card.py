"""The model card, README.md of a saved model: what it is, how good it is, its limits.

A pure function of plain values, in the form of the hub's model cards (Mitchell et al. 2019, "Model
cards for model reporting"). A fact that is not given is shown as "not recorded".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from jdcv_core.errors import nearest

UNKNOWN = "not recorded"
KEYS = (
    "name", "base", "parameters", "mode", "scorer", "chunks", "precision", "data", "label_origin",
    "languages", "split", "seed", "cuts", "metrics", "interval", "baseline", "license",
    "base_license", "experiment", "config_hash", "git", "versions",
)  # fmt: skip
MODES = {
    "frozen": "frozen: only the scorer was trained",
    "lora": "lora: low-rank changes of the encoder, merged into its weights, and the scorer",
    "full": "full: all weights of the encoder, and the scorer",
}
USE = """\
```python
from jdcv_core.matcher import Matcher

matcher = Matcher.from_pretrained("FOLDER")
score = matcher.score(cv=cv_text, jd=jd_text)  # in [0, 1]
matcher.label(score)  # its class
matcher.score_pairs(cvs=[cv_text, other_cv], jds=[jd_text, jd_text])
```

```bash
jdcv score --model FOLDER --cv cv.txt --jd jd.txt
jdcv score --model FOLDER --pairs pairs.csv --out scored.csv
```
"""
INTENDED = """\
Research on matching CVs with job descriptions (JDs): comparing ways to read long texts, and
ordering candidates for a person who then reads them. Score and class are one opinion of several.
"""
LIMITS = """\
- **It ranks people. Do not use it to reject anyone automatically**, nor as the only ground of a
  decision about a person. Where the law calls such systems high-risk, its duties are the user's.
- Bias was not audited: nobody measured how it treats groups by gender, origin, age, disability or
  gaps in a career. CVs and labels carry the habits of those who wrote them.
- Its labels say what their makers took for a fit, not who did well in a job.
- A score is no probability: calibration is not claimed. The cuts between classes were tuned on
  validation pairs and hold for data like those only.
- What it does on other sectors, countries and languages, and on texts taken out of PDFs in another
  way, is not known.
"""
DEMO = """\
- **The training corpus is generated.** Its CVs and JDs are invented and its labels come from a
  formula, so this model is worthless on real CVs. It shows that the training works, nothing more.
"""


def model_card(facts: Mapping[str, Any]) -> str:
    """README.md, with the hub's YAML front matter.

    facts: any of KEYS; plain values (JSON's types), None like a missing one
      name          title
      base          the encoder before training; `parameters`: numbers in it
      mode          frozen, lora or full
      scorer        import path of the scorer's class
      chunks        {"size", "overlap"} in tokens
      precision     fp32 or bf16
      data          {"name", **dataset.facts}: source, fingerprint, pairs, cvs, jds, label_counts;
                    with the key "demo" the corpus counts as generated
      label_origin  who labelled, and how; languages: of the texts, ISO 639-1 codes
      split         `splits.split_summary`: kind, train, validation, test, test_cvs_in_train, …;
                    `seed`: of split and training
      cuts          (low, high), scores from which a pair is Potential and Good Fit; equal for two
                    classes
      metrics       of test pairs: name → {"value", "low", "high"}, {"mean", "sd"} or {"value"}
      interval      what low and high (or sd) are, such as "95% bootstrap over JDs"
      baseline      {"name", "metrics"}: the same metrics of the row to compare with
      license, base_license: SPDX ids, of what training made (apache-2.0 if not given) and of `base`
      experiment, config_hash, git, versions: as in a record

    Raises ValueError for an unknown key: otherwise a misspelt fact would be shown as not recorded.
    """
    for key in facts:
        if key not in KEYS:
            raise ValueError(f"the model card knows no fact {key!r}; {nearest(key, list(KEYS))}")
    data = _part(facts, "data")
    parts = [
        _front_matter(facts),
        f"# {_text(facts.get('name'), 'A matcher of CVs with job descriptions')}",
        "A model of the toolkit jdcv. It reads a CV and a job description chunk by chunk and gives "
        f"a score in [0, 1] and a class: {_classes(facts)}.",
        _list("What it is", _model(facts)),
        _list("Data", _data(facts, data)),
        _list("Split", _split(facts)),
        f"## How well it does\n{_metrics(facts)}",
        f"## How to use it\n{USE}",
        f"## Intended use\n{INTENDED}",
        f"## Limits and risks\n{DEMO if 'demo' in data else ''}{LIMITS}"
        f"- Languages of the training texts: {_listed(facts.get('languages'))}.",
        _list("Where it comes from", _provenance(facts)),
        f"## Licence\n{_license(facts)} for what the training made; base encoder: "
        f"{_text(facts.get('base_license'))}. The licences of base encoder and data hold, too.",
        "This file is listed in manifest.json: to change it, set `matcher.card` and save it again.",
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _two_classes(facts: Mapping[str, Any]) -> bool:
    low, high = facts.get("cuts") or (None, None)
    return low is not None and low == high


def _classes(facts: Mapping[str, Any]) -> str:
    return "No Fit or Good Fit" if _two_classes(facts) else "No Fit, Potential Fit or Good Fit"


def _front_matter(facts: Mapping[str, Any]) -> str:
    head: dict[str, Any] = {
        "license": _license(facts).lower(),
        "library_name": "jdcv",
        "tags": ["resume-matching", "text-ranking", "long-documents", "jdcv"],
    }
    if facts.get("languages"):
        head["language"] = [str(code) for code in facts["languages"]]
    return f"---\n{yaml.safe_dump(head, sort_keys=False)}---"


def _license(facts: Mapping[str, Any]) -> str:
    return _text(facts.get("license"), "Apache-2.0")


def _model(facts: Mapping[str, Any]) -> dict[str, str]:
    chunks, mode = _part(facts, "chunks"), _text(facts.get("mode"))
    low, high = facts.get("cuts") or (None, None)
    return {
        "Base encoder": _text(facts.get("base")),
        "Parameters of the encoder": _text(facts.get("parameters")),
        "Trained": MODES.get(mode, mode),
        "Scorer": _code(facts.get("scorer")),
        "Chunk size in tokens (a longer text has more chunks)": _text(chunks.get("size")),
        "Overlap of chunks in tokens": _text(chunks.get("overlap")),
        "Precision": _text(facts.get("precision")),
        **({} if _two_classes(facts) else {"Potential Fit from a score of": _text(low)}),
        "Good Fit from a score of": _text(high),
    }


def _data(facts: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, str]:
    counts = _part(data, "label_counts")
    return {
        "Name": _text(data.get("name")),
        "Source": _text(data.get("source")),
        "Fingerprint": _code(data.get("fingerprint")),
        "Labelled pairs": _text(data.get("pairs")),
        "CVs": _text(data.get("cvs")),
        "JDs": _text(data.get("jds")),
        "Labels": _listed(f"{_text(n)} {name}" for name, n in counts.items()),
        "Origin of the labels": _text(facts.get("label_origin")),
    }


def _split(facts: Mapping[str, Any]) -> dict[str, str]:
    split, seed = _part(facts, "split"), facts.get("seed")
    sizes = {part: _part(split, part).get("pairs") for part in ("train", "validation", "test")}
    return {
        "Kind": _text(split.get("kind")),
        "Seed": UNKNOWN if seed is None else str(seed),
        **{f"Pairs for {part}": _text(pairs) for part, pairs in sizes.items()},
        "Test CVs that are also in train": _share(split.get("test_cvs_in_train")),
        "Test JDs that are also in train": _share(split.get("test_jds_in_train")),
    }


def _metrics(facts: Mapping[str, Any]) -> str:
    metrics = _part(facts, "metrics")
    if not metrics:
        return f"Metrics on test pairs: {UNKNOWN}."
    baseline = _part(facts, "baseline")
    theirs = _part(baseline, "metrics")
    rows = [
        f"| {_text(name)} | {_figure(figure)} | {_figure(theirs.get(name))} |"
        for name, figure in metrics.items()
    ]
    head = f"| on test pairs | this model | baseline: {_text(baseline.get('name'))} |"
    spread = f"Spread of each figure: {_text(facts.get('interval'))}."
    return "\n".join([head, "| --- | --- | --- |", *rows, "", spread])


def _provenance(facts: Mapping[str, Any]) -> dict[str, str]:
    git = _part(facts, "git")
    changed = ", with changes that are not in it" if git.get("dirty") else ""
    versions = (f"{name} {_text(v)}" for name, v in _part(facts, "versions").items())
    return {
        "Experiment": _text(facts.get("experiment")),
        "Hash of its configuration": _code(facts.get("config_hash")),
        "Commit": f"{_code(git.get('commit'))}{changed}",
        "Versions": _listed(versions),
    }


def _list(title: str, items: Mapping[str, str]) -> str:
    return "\n".join([f"## {title}", *(f"- {name}: {text}" for name, text in items.items())])


def _figure(figure: Any) -> str:
    """`0.612 [0.580, 0.641]`, `0.612 ± 0.020`, or `0.612`."""
    known = figure if isinstance(figure, Mapping) else {"value": figure}
    middle = known.get("value", known.get("mean"))
    if not _is_number(middle):
        return UNKNOWN
    text = f"{middle:.3f}"
    if _is_number(known.get("low")) and _is_number(known.get("high")):
        return f"{text} [{known['low']:.3f}, {known['high']:.3f}]"
    return f"{text} ± {known['sd']:.3f}" if _is_number(known.get("sd")) else text


def _is_number(value: Any) -> bool:
    return value is not None and not math.isnan(value)


def _share(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.1%}"


def _listed(values: Iterable[Any] | None) -> str:
    return ", ".join(_text(v) for v in values or ()) or UNKNOWN


def _code(value: Any) -> str:
    return UNKNOWN if value is None else f"`{_text(value)}`"


def _text(value: Any, missing: str = UNKNOWN) -> str:
    """In one line, without what would break a table; large numbers with commas."""
    if value is None:
        return missing
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return " ".join(str(value).replace("|", "/").split())


def _part(facts: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    return facts.get(key) or {}
