"""The example notebooks run from the first cell to the last, in a kernel of their own."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what Jupyter's own imports emit
    import nbformat
    from nbclient import NotebookClient

# Words that some table shows.
SHOWN = {
    "functions": [("<b>distance</b>", "0.5 CPU"), ("FINISHED",)],
    "features": [("payments__amount_sum_1h", "32.5"), ("over_usual",)],
    "fraud": [("is_fraud",), ("score", "amount")],
}
FOLDER = Path(__file__).resolve().parents[2] / "examples" / "notebooks"


@pytest.mark.filterwarnings("ignore")  # Jupyter's own; the notebook's code runs in another process
@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.stem)
def test_it_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_ALLOW_INSECURE_WRITES", "1")
    for folder in ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(folder, str(tmp_path / folder.lower()))
    notebook = nbformat.read(path, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells)  # kept without results, which go stale
    client = NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": tmp_path}})
    client.execute(env=dict(os.environ))
    shown = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    tables = [output["data"]["text/html"] for output in shown if "text/html" in output.get("data", {})]
    for words in SHOWN[path.stem]:
        assert any(all(word in table for word in words) for table in tables), words
