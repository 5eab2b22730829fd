"""The two faiss builds together are refused, from what is really on the import path."""

from pathlib import Path

import pytest

from jdcv_core.environment import check_faiss
from jdcv_core.errors import InputError


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts distributions into an otherwise empty import path, as an installer lays them down."""
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
def test_two_are_refused_with_the_command_that_mends_it(install, names):
    install(*names)
    with pytest.raises(InputError, match="pip uninstall faiss-cpu faiss-gpu") as refused:
        check_faiss()
    assert "\n" not in str(refused.value)
