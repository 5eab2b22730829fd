"""What FAISS needs: one build of it, and kernels that fit the processor."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from jdcv_core.errors import InputError

CORES = {
    "SKYLAKEX": {"avx512f", "avx512dq", "avx512cd", "avx512bw", "avx512vl"},
    "HASWELL": {"avx2", "fma"},
}
"""OpenBLAS's kernels, the fastest first, and the processor flags that they need."""


def check_faiss() -> None:
    """Refuse an installation with both faiss-cpu and faiss-gpu.

    Both put their files into the folder `faiss`, so the later one overwrites part of the earlier
    and the mixture may crash, or search wrongly, only when it is used. Reads the metadata of the
    installed distributions and imports nothing.

    Raises InputError naming what was found and the commands that repair it.
    """
    names = {(found.name or "").lower().replace("_", "-") for found in metadata.distributions()}
    faiss = sorted(name for name in names if name.startswith(("faiss-cpu", "faiss-gpu")))
    if len(faiss) > 1:
        raise InputError(
            "the Python environment",
            f"{' and '.join(faiss)} are both installed, and share one import folder",
            f"remove all with `pip uninstall {' '.join(faiss)}`, then install one of them again",
        )


@contextmanager
def openblas_kernels() -> Iterator[None]:
    """Import FAISS within this: its OpenBLAS takes the fastest kernels that the processor runs.

    FAISS's wheels bring OpenBLAS 0.3.15. It takes a processor that is newer than itself for one of
    2004 and multiplies at a quarter of the speed (seen on a Sapphire Rapids: 47 instead of 192
    GFLOP/s). It reads OPENBLAS_CORETYPE when it is loaded; a value that is set already stays, and
    what is loaded before or afterwards is not touched. Nothing is done where Linux does not list
    the flags of an x86 processor.
    """
    core = openblas_core(processor_flags())
    if core is None or "OPENBLAS_CORETYPE" in os.environ:
        yield
        return
    os.environ["OPENBLAS_CORETYPE"] = core
    try:
        yield
    finally:
        del os.environ["OPENBLAS_CORETYPE"]


def openblas_core(flags: set[str]) -> str | None:
    """
    >>> openblas_core({"sse3", "fma", "avx2"})
    'HASWELL'
    """
    return next((core for core, needed in CORES.items() if needed <= flags), None)


def processor_flags() -> set[str]:
    """What Linux says that an x86 processor can do; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return set()
    return set(
        next((line.split(":", 1)[1] for line in lines if line.startswith("flags")), "").split()
    )
