"""The names that users import, and that importing them stays cheap."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from importlib import resources
from importlib.metadata import entry_points, version

import pytest

import losssearch as ls

PUBLIC = {
    "Baseline",
    "Budget",
    "Choice",
    "Classes",
    "Compute",
    "Decision",
    "Dimensions",
    "Fairness",
    "Field",
    "Float",
    "Int",
    "LEVEL",
    "Learned",
    "LossSearchError",
    "Numbers",
    "Output",
    "Privacy",
    "Provider",
    "SearchResult",
    "Splits",
    "State",
    "TrialHandle",
    "__version__",
    "add_array",
    "balance",
    "compose",
    "declare_field",
    "load_loss",
    "load_result",
    "loss_term",
    "metric",
    "reduction",
    "schedule",
    "search",
    "task_kind",
    "terms",
    "tune_decision",
    "weighting",
}
HEAVY = ("torch", "ray", "mlflow", "optuna", "sqlalchemy", "sklearn", "pandas", "numpy", "scipy", "matplotlib")


def modules_after(statement: str) -> set[str]:
    script = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_public_names_are_exactly_these() -> None:
    assert set(ls.__all__) == PUBLIC
    assert set(dir(ls)) >= PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_each_public_name_resolves(name: str) -> None:
    assert getattr(ls, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'serach'"):
        ls.serach  # noqa: B018


@pytest.mark.parametrize(
    "statement", ["import losssearch", "import losssearch.errors", "import losssearch.cli.app"], ids=lambda s: s[7:]
)
def test_import_is_light(statement: str) -> None:
    assert modules_after(statement).isdisjoint(HEAVY)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_no_subpackage_has_the_name_of_a_public_one(name: str) -> None:
    """Importing such a subpackage would put the module in the place of the function."""
    assert importlib.util.find_spec(f"losssearch.{name}") is None


def test_version_is_the_installed_one() -> None:
    assert ls.__version__ == version("losssearch")


def test_package_is_marked_as_typed() -> None:
    assert resources.files("losssearch").joinpath("py.typed").is_file()


def test_console_command_is_installed() -> None:
    (command,) = entry_points(group="console_scripts", name="losssearch")
    assert command.value == "losssearch.__main__:main"
