"""Every example in a docstring prints what it shows."""

import doctest
import os
from importlib import import_module

import pytest
from test_architecture import PATHS, TREES

WITH_EXAMPLES = sorted(name for name in TREES if ">>> " in PATHS[name].read_text(encoding="utf-8"))
LEAST = 60
"""Smallest number of examples, so that the tests fail if no examples are found."""


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_of_a_module(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    module = import_module(name)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    found = [test for test in doctest.DocTestFinder().find(module) if test.examples]
    assert found
    for test in found:
        runner.run(test)
    assert runner.failures == 0
    assert os.getcwd() == str(tmp_path)


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    tests = [test for name in WITH_EXAMPLES for test in finder.find(import_module(name))]
    assert sum(len(test.examples) for test in tests) >= LEAST
