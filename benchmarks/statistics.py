"""Measure the error rates of the table's statistics on simulations in which the truth is known.

coverage: share of simulated comparisons whose 95% interval contains the true difference. The worlds
    have 1, 3, 5 or 10 seeds, which test the same JDs or different JDs. The variance between
    trainings is zero, equal to the variance that JDs cause, or three times as large (as standard
    deviations). The aim is 0.93 to 0.97; with 3 seeds that vary it is less, see `paired_bootstrap`.
false_positive_rate: share of tables of scorers trained on simulated vectors in which a row that is
    not better than the baseline gets the verdict better or worse. The aim is at most 0.05.
planted_found: share of tables in which a row that is better by design gets the verdict better.

The last line is one JSON object with these three (coverage: the lowest with 5 and 10 seeds; the
others: for weighted F1), all figures from which they are computed, and their Monte-Carlo errors
(one standard error at the intended rate).
  python benchmarks/statistics.py                              # about 12 minutes on one core
  python benchmarks/statistics.py --quick                      # under a minute
  python benchmarks/statistics.py --tables 1000 --cases 100
"""

from __future__ import annotations

import os
import sys

# A script's folder is first on sys.path, so `import statistics` (also by torch) would find this
# file instead of the standard library's module. Last on the path, it only serves our imports.
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [place for place in sys.path if os.path.abspath(place) != HERE] + [HERE]

import argparse  # noqa: E402
import json  # noqa: E402
import math  # noqa: E402
from typing import Any  # noqa: E402

QUICK = {"tables": 8, "cases": 40}


def main() -> None:
    options = arguments()
    import statistics_coverage
    import statistics_tables

    from jdcv_core.progress import progress

    worlds = statistics_coverage.worlds((1, 5) if options.quick else (1, 3, 5, 10))
    coverage: dict[str, dict[str, float]] = {}
    with progress("Coverage", len(worlds) * options.cases) as advance:
        for world in worlds:
            found = statistics_coverage.coverage(
                world, options.cases, options.seed, advance=advance
            )
            coverage[str(world)] = found
            shown = ", ".join(f"{metric} {share:.3f}" for metric, share in found.items())
            print(f"coverage with {world}: {shown}", flush=True)
    with progress("Tables", options.tables) as advance:
        first = options.seed * options.tables
        tables = range(first, first + options.tables)
        found_in = statistics_tables.found_in_tables(tables, advance)
    for metric, shares in found_in.items():
        shown = ", ".join(f"{name} {share:.3f}" for name, share in shares.items())
        print(f"tables, {metric}: {shown}")
    print(json.dumps(summary(options, coverage, found_in)))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", type=int, default=200, help="tables of trained scorers")
    parser.add_argument("--cases", type=int, default=1000, help="comparisons in each world")
    parser.add_argument("--seed", type=int, default=0, help="seed of all random draws")
    quick = f"{QUICK['tables']} tables, {QUICK['cases']} cases, 1 and 5 seeds"
    parser.add_argument("--quick", action="store_true", help=quick)
    options = parser.parse_args()
    if options.quick:
        vars(options).update(QUICK)
    for name in ("tables", "cases"):
        if getattr(options, name) < 2:
            parser.error(f"--{name} must be at least 2")
    return options


def summary(
    options: argparse.Namespace,
    coverage: dict[str, dict[str, float]],
    found_in: dict[str, dict[str, float]],
) -> dict[str, Any]:
    enough = {w: found for w, found in coverage.items() if w.split()[0] in ("5", "10")}
    values = [share for found in enough.values() for share in found.values()]
    headline = found_in["weighted_f1"]
    return {
        "benchmark": "statistics",
        "cases": options.cases,
        "tables": options.tables,
        "coverage": min(values),
        "coverage_highest": max(values),
        "coverage_error": math.sqrt(0.95 * 0.05 / options.cases),
        "coverage_by_world": coverage,
        "false_positive_rate": headline["false_positives"],
        "false_positive_rate_per_comparison": headline["false_per_comparison"],
        "false_positive_rate_error": math.sqrt(0.05 * 0.95 / options.tables),
        "planted_found": headline["strong"],
        "weak_planted_found": headline["weak"],
        "tables_by_metric": found_in,
    }


if __name__ == "statistics":
    # Another script of this folder, or a library, imported `statistics` and found this file. Import
    # the standard library's module into sys.modules, so that the importer gets that module.
    del sys.modules["statistics"]
    import statistics  # noqa: F401
elif __name__ == "__main__":
    main()
