"""Public names exist, equal those that the type checker reads, and load torch only when used."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

PACKAGES = ("jdcv_core", "research", "research.retrieval")


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_exists_and_is_typed(package):
    module = import_module(package)
    for name in module.__all__:
        assert getattr(module, name) is not None
        assert name in dir(module)
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    (typed,) = (n for n in tree.body if isinstance(n, ast.If))
    homes = {i.names[0].name: i.module for i in typed.body if isinstance(i, ast.ImportFrom)}
    assert set(homes) == set(module.__all__)
    for name, home in homes.items():
        assert getattr(import_module(home), name) is getattr(module, name)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = module.nothing


@pytest.mark.parametrize("package", PACKAGES)
def test_the_package_alone_loads_no_heavy_library(package):
    heavy = "[m for m in ('torch', 'numpy', 'faiss') if m in sys.modules]"
    code = f"import sys, {package}; print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_packages_are_typed():
    for package in ("jdcv_core", "research"):
        assert (Path(import_module(package).__file__).parent / "py.typed").exists()
