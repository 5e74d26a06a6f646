"""The pages know every public name, and the gallery every plot."""

import inspect
import re
from pathlib import Path

import jaxlmm

DOCS = Path(__file__).parents[1] / "docs"


def _listed(module: str) -> set[str]:
    """The names that the reference lists under a module."""
    text = (DOCS / "reference" / "index.rst").read_text()
    blocks = re.split(r"^\.\. currentmodule:: ", text, flags=re.M)[1:]
    own = [block.split("\n", 1)[1] for block in blocks if block.split("\n", 1)[0].strip() == module]
    return {name for block in own for name in re.findall(r"^   (\w+)$", block, flags=re.M)}


def test_every_public_name_is_in_the_reference() -> None:
    assert _listed("jaxlmm") == set(jaxlmm.__all__) - {"plot"}
    drawn = {name for name in jaxlmm.plot.__all__ if name != "data"}
    assert _listed("jaxlmm.plot") == drawn
    data = {name for name in jaxlmm.plot.data.__all__ if inspect.isfunction(getattr(jaxlmm.plot.data, name))}
    assert _listed("jaxlmm.plot.data") == data
    named = set(jaxlmm.datasets.__all__) - {"load_dataset"}
    assert _listed("jaxlmm.datasets") == named


def test_every_plot_is_in_the_gallery() -> None:
    text = (DOCS / "gallery.md").read_text()
    for name in set(jaxlmm.plot.__all__) - {"data"}:
        assert f"jaxlmm.plot.{name}(" in text, name


def test_links_between_pages_and_files() -> None:
    """Links name files, so that they also lead somewhere where pages are read as they stand, on a code host."""
    root = DOCS.parent
    pages = [root / "README.md", root / "CONTRIBUTING.md", *DOCS.glob("*.md"), *DOCS.glob("*/*.md")]
    assert len(pages) > 20
    for page in pages:
        for link in re.findall(r"\]\(([^)#`]+)\)", page.read_text()):
            assert link.startswith("http") or (page.parent / link).is_file() or link == "notebooks", (page.name, link)


def test_every_answer_is_listed() -> None:
    index = (DOCS / "how-to" / "index.md").read_text()
    for page in {page.stem for page in (DOCS / "how-to").glob("*.md")} - {"index"}:
        assert f"]({page}.md)" in index, page
        assert re.search(rf"^{page}$", index, flags=re.M), page
