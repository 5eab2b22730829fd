"""The ways to install agree with each other, and `make` passes pip's settings to uv."""

import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from rattler import MatchSpec

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
CONDA_NAMES = {"torch": "pytorch", "huggingface-hub": "huggingface_hub"}
"""Names that differ between PyPI and conda-forge."""


def requirements(lines: list[str]) -> dict[str, Requirement]:
    found = [Requirement(line) for line in lines]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def constraints() -> dict[str, Requirement]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return requirements([line for line in lines if line and not line.startswith("#")])


def everything_wanted() -> dict[str, Requirement]:
    lists = [PROJECT["dependencies"], *EXTRAS.values()]
    return requirements([line for lines in lists for line in lines])


def test_every_dependency_has_one_exact_constraint_that_it_allows():
    pinned, wanted = constraints(), everything_wanted()
    assert not wanted.keys() - pinned.keys()
    for name, requirement in pinned.items():
        (specifier,) = requirement.specifier
        assert specifier.operator == "=="
        # A local version such as +cpu would exclude the CUDA build on a CUDA machine.
        assert Version(specifier.version).local is None
        if name in wanted:
            assert wanted[name].specifier.contains(specifier.version)
    assert str(pinned["torch"]) == "torch==2.13.0"


def test_what_is_installed_is_what_is_constrained():
    installed = {}
    for name, requirement in constraints().items():
        try:
            installed[name] = (Version(metadata.version(name)).public, requirement)
        except metadata.PackageNotFoundError:
            continue  # belongs to an extra that is not installed here
    wrong = {name: both for name, both in installed.items() if both[0] not in both[1].specifier}
    if wrong and os.environ.get("CONDA_PREFIX"):
        pytest.skip("environment.yml gives lower bounds, not the constrained versions")
    assert not wrong
    assert installed.keys() >= requirements(PROJECT["dependencies"]).keys()


def test_the_two_faiss_are_in_different_extras():
    homes = {name for name, lines in EXTRAS.items() for line in lines if line.startswith("faiss")}
    assert homes == {"cpu", "gpu"}
    assert not any(line.startswith("faiss") for line in PROJECT["dependencies"])


def conda_specs() -> tuple[list[MatchSpec], list[str]]:
    """Return the environment's conda specs, and the lines for pip."""
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert environment["channels"] == ["conda-forge"]
    conda = [line for line in environment["dependencies"] if isinstance(line, str)]
    (for_pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    return [MatchSpec(line, strict=True) for line in conda], for_pip


def test_conda_gets_the_dependencies_and_the_gpu_extra_by_the_same_bounds():
    wanted = requirements(PROJECT["dependencies"] + EXTRAS["gpu"])
    specs, for_pip = conda_specs()
    assert for_pip.pop() == "-e ."
    found = {spec.name.normalized: (spec.version or "") for spec in specs}
    assert len(found) == len(specs)
    assert found.pop("python") == PROJECT["requires-python"]
    assert found.pop("pip") == ""
    found |= {name: str(line.specifier) for name, line in requirements(for_pip).items()}
    assert found == {CONDA_NAMES.get(name, name): str(r.specifier) for name, r in wanted.items()}


def test_citation_and_licence_are_those_of_the_project():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"] == "Apache-2.0"
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert re.match(r"\s+Apache License\s+Version 2\.0, January 2004", text)
    assert "END OF TERMS AND CONDITIONS" in text


def test_ci_runs_make_test():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text(encoding="utf-8").endswith("exec make test\n")


needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


def make(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess:
    """Run make with the given settings, without those of pip, uv and an outer `make test`."""
    foreign = ("PIP_", "UV_", "MAKE", "MFLAGS", "EXP", "ARGS", "EXTRAS", "PYTHON", "BENCH")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    environment = clean | {"PIP_CONFIG_FILE": os.devnull} | settings
    command = ["make", "--no-print-directory", "-C", str(folder), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@needs_make
@pytest.mark.skipif(find_spec("pip") is None, reason="needs pip, whose settings these are")
@pytest.mark.parametrize(
    ("config", "settings", "expected"),
    [
        (None, {}, ""),
        (None, {"PIP_FIND_LINKS": "/a  https://b/c"}, "/a,https://b/c"),
        ("[global]\nfind-links = /a /b\n", {}, "/a,/b"),
        ("[install]\nfind-links =\n    /a\n    /b\n[global]\nfind-links = /c\n", {}, "/a,/b"),
        ("[global]\nfind-links = /c\n", {"PIP_FIND_LINKS": "/a"}, "/a"),
        ("[global]\nfind-links = /c\n", {"UV_FIND_LINKS": "/own,/list"}, "/own,/list"),
    ],
)
def test_pips_sources_of_wheels_are_passed_to_uv(tmp_path, config, settings, expected):
    if config is not None:
        (tmp_path / "pip.conf").write_text(config)
        settings = settings | {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf")}
    done = make(ROOT, "find-links", f"PYTHON={sys.executable}", **settings)
    assert (done.returncode, done.stdout.strip()) == (0, expected)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


@needs_make
def test_make_installs_once_and_again_when_the_constraints_change(clone: Path):
    first = make(clone, "-n", "test").stdout
    assert "uv pip install" in first
    assert "-c constraints.txt -e '.[cpu,demo,dev,documents,offline]'" in first
    (clone / ".venv").mkdir()
    (clone / ".venv" / "installed-cpu-demo-dev-documents-offline").touch()
    again = make(clone, "-n", "test").stdout.split()
    assert again[:3] == [".venv/bin/python", "-m", "pytest"]
    assert "install" not in again
    run = make(clone, "-n", "run", "EXP=ablation", "ARGS=data=demo").stdout
    assert run.strip() == ".venv/bin/python experiments/run.py +exp=ablation data=demo"
    assert "uv pip install" in make(clone, "-n", "test", "EXTRAS=gpu,dev").stdout
    later = time.time() + 10
    os.utime(clone / "constraints.txt", (later, later))
    assert "uv pip install" in make(clone, "-n", "test").stdout


@needs_make
def test_make_without_a_python_says_which_names_it_tried(clone: Path):
    done = make(clone, "test", "PYTHON=python-of-another-name")
    assert done.returncode == 2
    assert "No Python 3.11 or newer among: python-of-another-name." in done.stderr
    assert not (clone / ".venv").exists()


@needs_make
def test_make_alone_lists_its_targets(clone: Path):
    listed = make(clone).stdout
    for target in ("run", "test", "test-slow", "check", "benchmark"):
        assert re.search(rf"^ +{target} +\w", listed, re.MULTILINE)
