"""The two faiss builds on one import path are refused; FAISS's OpenBLAS uses kernels that fit the
processor."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jdcv_core.environment import check_faiss, openblas_core, openblas_kernels, processor_flags
from jdcv_core.errors import InputError


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put distributions into an otherwise empty import path, as an installer does."""
    monkeypatch.setattr("sys.path", [str(tmp_path)])

    def lay_down(*names: str) -> None:
        for name in names:
            folder = tmp_path / f"{name.replace('-', '_')}-1.15.1.dist-info"
            folder.mkdir()
            text = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.15.1\n"
            (folder / "METADATA").write_text(text)

    return lay_down


@pytest.mark.parametrize(
    "names", [(), ("numpy",), ("faiss-cpu",), ("numpy", "faiss-gpu"), ("faiss-gpu-cu12",)]
)
def test_one_faiss_or_none_is_fine(install, names):
    install(*names)
    check_faiss()


@pytest.mark.parametrize(
    "names",
    [("faiss-cpu", "faiss-gpu"), ("faiss-gpu-cu12", "faiss-cpu"), ("faiss_CPU", "Faiss_GPU")],
)
def test_two_are_refused_with_the_command_that_repairs_it(install, names):
    install(*names)
    with pytest.raises(InputError, match="pip uninstall faiss-cpu faiss-gpu") as refused:
        check_faiss()
    assert "\n" not in str(refused.value)


AVX512 = {"avx2", "fma", "avx512f", "avx512dq", "avx512cd", "avx512bw", "avx512vl"}


def test_kernels_need_all_their_flags():
    assert openblas_core(AVX512) == "SKYLAKEX"
    assert openblas_core(AVX512 - {"avx512vl"}) == "HASWELL"
    assert openblas_core({"avx2", "sse3"}) is None
    assert openblas_core(set()) is None


def test_the_variable_is_set_only_for_the_import_and_a_users_value_is_kept(monkeypatch):
    monkeypatch.setattr("jdcv_core.environment.processor_flags", lambda: AVX512)
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    with openblas_kernels():
        assert os.environ["OPENBLAS_CORETYPE"] == "SKYLAKEX"
    assert "OPENBLAS_CORETYPE" not in os.environ
    monkeypatch.setenv("OPENBLAS_CORETYPE", "NEHALEM")
    with openblas_kernels():
        assert os.environ["OPENBLAS_CORETYPE"] == "NEHALEM"
    assert os.environ["OPENBLAS_CORETYPE"] == "NEHALEM"


@pytest.mark.skipif(openblas_core(processor_flags()) is None, reason="no x86 Linux with AVX2")
def test_faiss_multiplies_with_kernels_for_this_processor():
    environment = {k: v for k, v in os.environ.items() if k != "OPENBLAS_CORETYPE"}
    done = subprocess.run(
        [sys.executable, "-c", "import research.retrieval.vector_index"],
        capture_output=True,
        text=True,
        env=environment | {"OPENBLAS_VERBOSE": "2"},
        check=True,
    )
    cores = [line for line in (done.stdout + done.stderr).splitlines() if "Core:" in line]
    if len(cores) < 2:
        pytest.skip("numpy or FAISS is not built on OpenBLAS here")
    assert cores[-1].lower() == f"core: {openblas_core(processor_flags())}".lower()
