"""The API keeps what its OpenAPI description promises, whatever is sent: no 5xx, no status that is not described."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.generation.hypothesis.builder import HypothesisTestConfig, HypothesisTestMode, create_test

from services.access import failures
from tests.services.api.serving import Running
from tests.services.api.test_searches import ASKED, ask, end

SEMANTIC = {
    # Names of columns and metrics are those of the dataset; constraints and durations are small languages.
    ("POST", "/v1/searches"),
    # The digest is to be that of the content.
    ("PUT", "/v1/datasets/{dataset}/content"),
    # A text is to be the YAML of a space; and a name or a text is to be given, not both.
    ("POST", "/v1/spaces/sample"),
}
"""Operations that may refuse what fits their schema, as no JSON Schema says what else must hold."""

TAGS = ("datasets", "searches", "events", "results", "catalogue", "people", "session", "operations")

EXAMPLES = 20
"""Requests of each kind to each operation, in the long test."""


@pytest.fixture(autouse=True)
def _many_wrong_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each operation is asked with wrong tokens too: more often than one address may."""
    monkeypatch.setitem(failures.MOST, "token-ip", 1_000_000)


def operations(running: Running) -> Iterator[Any]:
    schema = schemathesis.openapi.from_dict(json.loads(json.dumps(running.app.openapi())))
    schema.config.update(base_url=running.url)
    for found in schema.get_all_operations():
        yield found.ok()


class Examiner:
    """Sends requests to operations, and checks each answer.

    Where they are positive, requests are for a search and a dataset that are there, unless they delete. The search has
    always ended: else its stream would have no end.
    """

    def __init__(self, running: Running, dataset: str) -> None:
        self.running, self.dataset = running, dataset
        self.search = ask(running, dataset)["id"]
        self.headers = {"Authorization": f"Bearer {running.teams['red'].tokens['admin']}"}

    def examine(self, operation: Any, phase: str, examples: int) -> str | None:
        """What went wrong with requests of one kind to one operation."""
        name = (operation.method.upper(), operation.path)
        known = {}
        if phase == "positive" and name[0] != "DELETE":
            known = {"search": self.search, "dataset": self.dataset}
        excluded = [schemathesis.checks.CHECKS.get_one("positive_data_acceptance")] if name in SEMANTIC else []
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._sending(operation, phase, examples, known, excluded)()
        except Unsatisfiable:
            assert phase != "positive", name  # it takes nothing that could be wrong
        except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001  (all are examined before the test fails)
            return f"{' '.join(name)}, {phase}: {error!s:.1500}"
        return None

    def _sending(
        self, operation: Any, phase: str, examples: int, known: dict[str, str], excluded: list[Any]
    ) -> Callable[[], None]:
        def send(case: Any) -> None:
            end(self.running, self.search)
            case.path_parameters = {key: known.get(key, value) for key, value in case.path_parameters.items()}
            case.call_and_validate(headers=self.headers, excluded_checks=excluded, timeout=60)

        limits = settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.explicit if phase == "coverage" else Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        if phase == "coverage":  # each part of a request in turn at, and beyond, each of its bounds
            config = HypothesisTestConfig(
                project=operation.schema.config, modes=[HypothesisTestMode.COVERAGE], settings=limits
            )
            made: Callable[[], None] = create_test(operation=operation, test_func=send, config=config)
            return made
        found: Callable[[], None] = limits(
            given(case=operation.as_strategy(generation_mode=GenerationMode(phase)))(send)
        )
        return found


def examine(running: Running, dataset: str, phase: str, examples: int, tags: Sequence[str] = TAGS) -> list[str]:
    """Send requests of one kind to each operation with one of ``tags``; what went wrong."""
    examiner = Examiner(running, dataset)
    chosen = [one for one in operations(running) if set(one.tags or ()) & set(tags)]
    return [wrong for one in chosen if (wrong := examiner.examine(one, phase, examples))]


def test_requests_of_all_kinds_a_few(running: Running, ready: str) -> None:
    assert not (wrong := examine(running, ready, "negative", 1)), "\n\n".join(wrong)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("phase", ["coverage", "positive", "negative"])
@pytest.mark.parametrize("tag", TAGS)
def test_requests_of_all_kinds(running: Running, ready: str, tag: str, phase: str) -> None:
    assert not (wrong := examine(running, ready, phase, EXAMPLES, [tag])), "\n\n".join(wrong)


def test_every_route_is_described_with_an_example_of_what_it_takes(running: Running) -> None:
    described = running.app.openapi()
    assert described["openapi"].startswith("3.1")
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            assert operation.get("description"), (method, path)
            assert set(operation["tags"]) <= set(TAGS), (method, path)  # else the test above would leave it out
            assert {"400", "413", "422", "503"} <= set(operation["responses"]), (method, path)
            if "{" in path:
                assert "404" in operation["responses"], (method, path)
    request = described["components"]["schemas"]["NewSearch"]["properties"]["request"]
    assert set(ASKED) <= set(request["properties"])
    assert "out" not in request["properties"]
