"""The API keeps what its OpenAPI description promises, whatever is sent: no 5xx, no status that is not described."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from services.access import failures
from tests.services.api.serving import Running
from tests.services.api.test_searches import ASKED, ask, end

SEMANTIC = {
    # A body that fits the schema may still name a column or metric that is not there, or a digest of other content.
    ("POST", "/v1/searches"),
    ("POST", "/v1/searches/{search}/resume"),
    ("PUT", "/v1/datasets/{dataset}/content"),
    ("POST", "/v1/spaces/sample"),
    ("GET", "/v1/datasets"),
    ("GET", "/v1/searches"),
}
"""Operations whose answer to what fits the schema may be 422 or 400."""


@pytest.fixture(autouse=True)
def _many_wrong_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each operation is asked with wrong tokens too: more often than one address may."""
    monkeypatch.setitem(failures.MOST, "token-ip", 1_000_000)


def operations(running: Running) -> Iterator[Any]:
    schema = schemathesis.openapi.from_dict(json.loads(json.dumps(running.app.openapi())))
    schema.config.update(base_url=running.url)
    for found in schema.get_all_operations():
        yield found.ok()


def ours(name: tuple[str, str]) -> bool:
    """Whether the operation may be sent to objects that are there."""
    return name[0] != "DELETE"


def sending(
    cases: Any, examples: int, known: dict[str, str], headers: dict[str, str], excluded: list[Any]
) -> Callable[[], None]:
    """A check that sends ``examples`` of ``cases``, with the identifiers that are ``known``."""

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def check(case: Any) -> None:
        case.path_parameters = {key: known.get(key, value) for key, value in case.path_parameters.items()}
        case.call_and_validate(headers=headers, excluded_checks=excluded, timeout=60)

    return check


def examine(running: Running, dataset: str, examples: int, *modes: GenerationMode) -> list[str]:
    """Send ``examples`` requests of each of ``modes`` to each operation; what went wrong."""
    search = ask(running, dataset)["id"]
    end(running, search)
    headers = {"Authorization": f"Bearer {running.teams['red'].tokens['admin']}"}
    wrong = []
    for operation in operations(running):
        name = (operation.method.upper(), operation.path)
        for mode in modes:
            known = {"search": search, "dataset": dataset} if mode is GenerationMode.POSITIVE and ours(name) else {}
            excluded = [schemathesis.checks.CHECKS.get_one("positive_data_acceptance")] if name in SEMANTIC else []
            check = sending(operation.as_strategy(generation_mode=mode), examples, known, headers, excluded)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    check()
            except Unsatisfiable:
                assert mode is GenerationMode.NEGATIVE, name  # it takes nothing that could be wrong
            except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001  (all are examined before the test fails)
                wrong.append(f"{' '.join(name)}, {mode.value}: {error!s:.1500}")
    return wrong


def test_requests_of_all_kinds_a_few(running: Running, ready: str) -> None:
    assert examine(running, ready, 1, GenerationMode.NEGATIVE) == []


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_requests_of_all_kinds(running: Running, ready: str) -> None:
    assert examine(running, ready, 20, *GenerationMode) == []


def test_every_route_is_described_with_an_example_of_what_it_takes(running: Running) -> None:
    described = running.app.openapi()
    assert described["openapi"].startswith("3.1")
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            assert operation.get("description"), (method, path)
            assert {"400", "413", "422", "503"} <= set(operation["responses"]), (method, path)
            if "{" in path:
                assert "404" in operation["responses"], (method, path)
    request = described["components"]["schemas"]["NewSearch"]["properties"]["request"]
    assert set(ASKED) <= set(request["properties"])
    assert "out" not in request["properties"]
