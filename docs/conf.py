"""Builds the documentation: the Markdown pages as they are, and the reference from the docstrings.

The source folder is the repository, so that links between README, docs and ARCHITECTURE are the same here and on a
code host. The menu is the README's own list of pages.
"""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

import losssearch
from losssearch.evaluation.registry import get_metric, metrics_for, records
from losssearch.losses import terms
from losssearch.losses.term import LossTerm
from losssearch.tasks import TASKS

if TYPE_CHECKING:
    from sphinx.application import Sphinx

warnings.filterwarnings("ignore", category=FutureWarning, module="torch")

project = "losssearch"
author = "the losssearch developers"
version = release = losssearch.__version__

root_doc = "README"
include_patterns = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**.md", "docs/**.rst"]
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

myst_heading_anchors = 4
napoleon_numpy_docstring = False
napoleon_preprocess_types = False
default_role = "py:obj"  # `name` in a docstring links to what it names
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = f"losssearch {release}"
html_copy_source = False
html_show_sourcelink = False

_GROUP = re.compile(r"^### (.+)\n((?:(?!###).*\n?)*)", re.MULTILINE)
_PAGE = re.compile(r"\]\(([\w./-]+)\.(?:md|rst)(?:#[\w-]+)?\)")


def add_menu(app: Sphinx, page: str, source: list[str]) -> None:
    """Append the menu to the front page: the pages that its list names, in that order, under its headings."""
    if page != root_doc:
        return
    listed = source[0].partition("\n## Documentation\n")[2]
    groups = [(title, dict.fromkeys(_PAGE.findall(text))) for title, text in _GROUP.findall(listed)]
    if not groups or not all(pages for _, pages in groups):
        raise ValueError("README.md must list the pages under '## Documentation', in groups with a '###' heading")
    for title, pages in groups:
        source[0] += "\n".join(["", "```{toctree}", ":hidden:", f":caption: {title}", "", *pages, "```", ""])


class TermCatalogue(SphinxDirective):
    """Every loss term, one section a family, from the records of the registry."""

    def run(self) -> list[nodes.Node]:
        """Parse the catalogue as reStructuredText."""
        families: dict[str, list[LossTerm]] = {}
        for term in terms.values():
            families.setdefault(term.family, []).append(term)
        return self.parse_text_to_nodes(
            "\n".join(line for family in sorted(families) for line in _family(family, families[family])),
            allow_section_headings=True,
        )


def _family(name: str, members: list[LossTerm]) -> list[str]:
    title = name.replace("_", " ").capitalize()
    lines = [title, "-" * len(title), ""]
    for term in sorted(members, key=lambda term: term.name):
        arguments = [*term.reads, *(["*"] if term.domains else []), *term.domains]
        text = (term.function.__doc__ or "").strip().splitlines()
        lines += [f".. py:function:: {term.name}({', '.join(arguments)})", "   :no-index:", ""]
        lines += [f"   {line.strip()}" for line in text]
        lines += ["", f"   Source: {term.reference}.", ""]
        lines += [f"   :param {key}: {_domain(domain)}" for key, domain in term.domains.items()]
        lines += [f"   :param {key}: learned with the model" for key in term.learned]
        lines += [""]
    return lines


class MetricCatalogue(SphinxDirective):
    """The metrics of every kind of task, from the records of the registry."""

    def run(self) -> list[nodes.Node]:
        """Parse the catalogue as reStructuredText."""
        lines: list[str] = []
        for kind, task in TASKS.items():
            summaries = {record.example: record.summary for record in records() if record.fits(kind, task.view)}
            lines += [kind.capitalize(), "-" * len(kind), "", ".. list-table::", "   :widths: 30 15 15 40", ""]
            rows = [("metric", "better", "tuned", "")]
            for name in metrics_for(kind):
                found = get_metric(name, kind)
                better = "higher" if found.direction == "maximize" else "lower"
                rows.append((f"``{name}``", better, found.adjustment.replace("_", " "), summaries.get(name, "")))
            lines += [f"   {'* -' if i == 0 else '  -'} {cell}" for row in rows for i, cell in enumerate(row)]
            lines += [""]
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def _domain(domain: object) -> str:
    if hasattr(domain, "options"):
        return f"one of {', '.join(f'``{option}``' for option in domain.options)}; default ``{domain.default}``"
    if hasattr(domain, "nodes"):
        return f"a formula of at most {domain.nodes} nodes; default ``{domain.default}``"
    scale = ", sampled on a log scale" if getattr(domain, "log", False) else ""
    return f"from {domain.low:g} to {domain.high:g}{scale}; default {domain.default:g}"


def setup(app: Sphinx) -> None:
    """Register the menu and the directives."""
    app.connect("source-read", add_menu)
    app.add_directive("term-catalogue", TermCatalogue)
    app.add_directive("metric-catalogue", MetricCatalogue)
