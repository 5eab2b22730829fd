"""What must hold of the installation before an experiment starts."""

from importlib import metadata

from jdcv_core.errors import InputError


def check_faiss() -> None:
    """Refuse an installation with both faiss-cpu and faiss-gpu.

    Both put their files into the folder `faiss`, so the later one overwrites part of the earlier
    and the mixture may crash, or search wrongly, only when it is used. Reads the metadata of the
    installed distributions and imports nothing.

    Raises InputError naming what was found and the commands that mend it.
    """
    names = {(found.name or "").lower().replace("_", "-") for found in metadata.distributions()}
    faiss = sorted(name for name in names if name.startswith(("faiss-cpu", "faiss-gpu")))
    if len(faiss) > 1:
        raise InputError(
            "the Python environment",
            f"{' and '.join(faiss)} are both installed, and share one import folder",
            f"remove all with `pip uninstall {' '.join(faiss)}`, then install one of them again",
        )
