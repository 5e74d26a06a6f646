"""A notebook and its text are one: the same cells, and outputs without an error. (nbmake runs them, on reduced sizes.)"""

from pathlib import Path

import jupytext
import nbformat
import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def test_every_notebook_has_a_text() -> None:
    assert [n.stem for n in NOTEBOOKS] == sorted(n.stem for n in FOLDER.glob("*.py"))
    assert len(NOTEBOOKS) >= 7


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_text_and_notebook_agree(notebook: Path) -> None:
    shown = nbformat.read(notebook, as_version=4)
    written = jupytext.read(notebook.with_suffix(".py"))
    ours, theirs = ([(c.cell_type, c.source, c.metadata.get("nbmake")) for c in nb.cells] for nb in (shown, written))
    assert ours == theirs, "run the two commands of CONTRIBUTING.md that make notebooks from their texts"
    code = [cell for cell in shown.cells if cell.cell_type == "code"]
    assert any(cell.outputs for cell in code)
    assert not any(output.output_type == "error" for cell in code for output in cell.outputs)
    # Reduced sizes are for tests: what is shown was run at the size that the text says.
    counts = [cell.execution_count for cell in code]
    assert counts == list(range(1, len(code) + 1))
