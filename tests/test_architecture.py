"""The import rules of the design, checked by reading the code.

Imports run one way (`jdcv_core` <- `research` <- `experiments`); each heavy library is imported in
one place; figures and records import no torch; nothing runs code while it loads data.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import ROOT

LAYERS = ("jdcv_core", "research", "experiments")
"""Packages in order: each may import itself and those before it."""

HOMES = {
    "transformers": "jdcv_core.encoding",
    "peft": "jdcv_core.encoding",
    "sentence_transformers": "jdcv_core.encoding",
    "pypdfium2": "jdcv_core.data.documents",
    "docx2python": "jdcv_core.data.documents",
    "lxml": "jdcv_core.data.documents",
    "striprtf": "jdcv_core.data.documents",
    "faiss": "research.retrieval",
    "hydra": "experiments",
    "omegaconf": "experiments",
    "streamlit": "experiments.demo",
}
"""The only package that may import each library."""

WITHOUT_TORCH = ("jdcv_core.evaluation", "jdcv_core.records", "jdcv_core.environment")
HEAVY = ("torch", "accelerate", "safetensors.torch", "einops.layers.torch", *HOMES)
"""Torch, libraries that import it, and others that figures and records do not need."""

LAZY = {("jdcv_core.types", "torch")}
"""`ChunkVectors.pad` imports torch when it is called; figures and records never call it."""

LOADS_CODE = ("pickle", "_pickle", "dill", "cloudpickle", "shelve", "joblib")


class Import(NamedTuple):
    module: str
    name: str
    """The name imported from the module; "" for the module itself."""
    for_types: bool
    """Whether only the type checker imports it."""

    @property
    def full(self) -> str:
        return f"{self.module}.{self.name}" if self.name else self.module


def imports(tree: ast.AST, package: str) -> Iterator[Import]:
    """Yield every import in the code, including those inside functions.

    package: the package of the code, to which relative imports refer
    """
    quiet = {
        id(inside)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for statement in node.body
        for inside in ast.walk(statement)
    }
    for node in ast.walk(tree):
        for_types = id(node) in quiet
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, "", for_types) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            above = parts[: len(parts) + 1 - node.level] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield from (Import(module, alias.name, for_types) for alias in node.names)
        elif isinstance(node, ast.Call) and node.args:
            function = ast.unparse(node.func).rpartition(".")[2]
            named = node.args[0]
            if function in ("import_module", "__import__") and isinstance(named, ast.Constant):
                yield Import(str(named.value), "", for_types)


def within(module: str, place: str) -> bool:
    return module == place or module.startswith(f"{place}.")


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


PATHS = {
    module_name(path): path
    for layer in LAYERS
    for path in sorted((ROOT / layer).rglob("*.py"))
    if "__pycache__" not in path.parts
}
TREES = {
    name: ast.parse(path.read_text(encoding="utf-8"), str(path)) for name, path in PATHS.items()
}
IMPORTS = {
    name: list(imports(tree, name if PATHS[name].stem == "__init__" else name.rpartition(".")[0]))
    for name, tree in TREES.items()
}


def breaks_layers(module: str, found: list[Import]) -> list[str]:
    """List imports of a layer above the module's layer."""
    above = LAYERS[LAYERS.index(module.partition(".")[0]) + 1 :]
    return [i.full for i in found if any(within(i.full, layer) for layer in above)]


def breaks_homes(module: str, found: list[Import]) -> list[str]:
    """List imports of a library outside its only place."""
    return [
        i.full
        for i in found
        for library, home in HOMES.items()
        if within(i.full, library) and not within(module, home)
    ]


def runs_code_on_loading(tree: ast.AST) -> list[str]:
    """List imports and calls that may execute code from a data file."""
    found = [
        i.full
        for i in imports(tree, "")
        if i.full == "torch.load" or any(within(i.full, module) for module in LOADS_CODE)
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "torch.load":
            found.append("torch.load")
        elif isinstance(node, ast.Attribute) and node.attr == "read_pickle":
            found.append("read_pickle")
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            found += [] if ast.unparse(node.value) == "False" else ["allow_pickle"]
    return found


def edges(module: str) -> set[str]:
    """List our modules that a module imports at run time, also inside functions."""
    found = {name for i in IMPORTS[module] if not i.for_types for name in (i.full, i.module)}
    return {name for name in found if name in PATHS and name != module}


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Find modules that import each other in a circle, with the first at both ends; [] if none."""
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        for other in sorted(graph[module]):
            if ring := visit(other, [*path, module]):
                return ring
        done.add(module)
        return []

    return next((ring for module in sorted(graph) if (ring := visit(module, []))), [])


def reached(start: str) -> dict[str, str]:
    """Map each of our modules that using `start` may load to the module that imports it."""
    asked, waiting = {}, [(start, "")]
    while waiting:
        module, by = waiting.pop()
        if module not in PATHS or module in asked:
            continue
        asked[module] = by
        parent = module.rpartition(".")[0]
        waiting += [(parent, module)] if parent else []
        for i in IMPORTS[module]:
            if not i.for_types:
                waiting += [(i.module, module), (i.full, module)]
    return asked


def test_the_packages_are_found():
    assert {name.partition(".")[0] for name in PATHS} == set(LAYERS)
    assert set(WITHOUT_TORCH) <= PATHS.keys()


ROOMS = {
    "jdcv_core": {"data", "encoding", "training", "evaluation"},
    "research": {"aggregators", "context", "contrastive", "experience", "retrieval"},
    "experiments": {"recipes", "cells", "report", "figures", "cli", "configs", "demo"},
}
"""The folders of each package; add a new folder here and in docs/design.md."""


@pytest.mark.parametrize("package", ROOMS)
def test_the_rooms_are_those_of_the_design(package):
    folders = {p.name for p in (ROOT / package).iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert folders == ROOMS[package]
    files = [p for p in (ROOT / "experiments").iterdir() if p.is_file()]
    assert len(files) <= 8


def test_file_names_are_unique():
    names = [path.name for path in PATHS.values() if path.name != "__init__.py"]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_no_modules_import_each_other_in_a_circle():
    assert circle({module: edges(module) for module in PATHS}) == []


def test_a_circle_is_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


@pytest.mark.parametrize("module", PATHS)
def test_imports_run_one_way(module):
    assert not breaks_layers(module, IMPORTS[module])


@pytest.mark.parametrize("module", PATHS)
def test_each_heavy_library_is_imported_in_one_place(module):
    assert not breaks_homes(module, IMPORTS[module])


@pytest.mark.parametrize("module", PATHS)
def test_nothing_runs_code_while_it_loads_data(module):
    assert not runs_code_on_loading(TREES[module])


@pytest.mark.parametrize("module", [m for m in PATHS if any(within(m, w) for w in WITHOUT_TORCH)])
def test_figures_and_records_reach_no_torch(module):
    for ours, by in reached(module).items():
        for i in IMPORTS[ours]:
            if not i.for_types and (ours, i.full) not in LAZY:
                heavy = [library for library in HEAVY if within(i.full, library)]
                assert not heavy, f"{ours} (imported by {by or 'itself'}) imports {i.full}"


def test_figures_and_records_load_no_torch_in_a_fresh_process():
    modules = [m for m in PATHS if any(within(m, w) for w in WITHOUT_TORCH)]
    script = f"import sys, {', '.join(modules)}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("False", "")


def test_nothing_in_experiments_takes_the_name_of_a_library():
    """`python experiments/run.py` puts that folder before all libraries on the import path."""
    ours = {path.stem for path in (ROOT / "experiments").iterdir() if path.stem.isidentifier()}
    installed = metadata.packages_distributions()
    libraries = {name for name, homes in installed.items() if set(homes) != {"jdcv"}}
    assert not (ours - {"__init__", "__pycache__"}) & (sys.stdlib_module_names | libraries)


@pytest.mark.parametrize(
    ("module", "code", "rule"),
    [
        ("jdcv_core.scoring", "import research.chunk_attention", breaks_layers),
        ("jdcv_core.scoring", "def f():\n    from experiments import run", breaks_layers),
        ("research.aggregators", "import importlib\nimportlib.import_module('experiments')",
         breaks_layers),
        ("jdcv_core.scoring", "from transformers import AutoModel", breaks_homes),
        ("jdcv_core.encodings", "import peft.tuners", breaks_homes),
        ("research.chunk_attention", "if TYPE_CHECKING:\n    from omegaconf import DictConfig",
         breaks_homes),
        ("research.aggregators", "try:\n    import faiss\nexcept ImportError:\n    pass",
         breaks_homes),
    ],
)  # fmt: skip
def test_the_rules_see_an_import_that_breaks_them(module, code, rule):
    assert rule(module, list(imports(ast.parse(code), module.rpartition(".")[0])))


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from joblib import load",
        "import torch\ntorch.load('a')",
        "from torch import load",
        "pandas.read_pickle('a')",
        "numpy.load('a', allow_pickle=True)",
    ],
)
def test_the_rules_see_what_runs_code(code):
    assert runs_code_on_loading(ast.parse(code))


def test_the_rules_accept_correct_imports():
    code = "import torch\nfrom .types import Pair\nnumpy.load('a', allow_pickle=False)"
    found = list(imports(ast.parse(code), "jdcv_core"))
    assert [i.full for i in found] == ["torch", "jdcv_core.types.Pair"]
    assert not breaks_layers("jdcv_core.scoring", found) + breaks_homes("research.a", found)
    assert not breaks_layers("experiments.run", [Import("research", "", False)])
    assert not breaks_homes("jdcv_core.encoding.model", [Import("transformers", "GPT2", False)])
    assert not runs_code_on_loading(ast.parse(code))
