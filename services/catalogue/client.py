"""Asks the process of `services.catalogue.child`, which is started when it is needed and again when it is gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import services
from losssearch.errors import ConnectionLostError, InputError, LossSearchError
from services.access.principal import MissingError

PATIENCE = 60.0
"""Seconds for one answer, in which a busy machine may have to import torch first."""

_KEPT = frozenset(("terms", "metrics", "spaces", "tasks", "plot", "maximizes"))
"""Questions whose answers never change while a process runs."""

_MOST_FORMULAS = 50_000


class Catalogue:
    """What losssearch knows: terms, metrics, spaces. Safe to use from several threads, which wait for one another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._known: dict[tuple[str, str], Any] = {}
        self._formulas: dict[str, str] = {}

    def begin(self) -> None:
        """Start the process and let it load what formulas and metrics need, so that no request waits for that."""
        with suppress(LossSearchError):  # whoever needs it starts it again, and is told
            self._ask("formulas", specs=[])
            self.maximizes("accuracy", "binary")

    def terms(self) -> list[dict[str, Any]]:
        """All terms, as ``losssearch terms --json`` prints them."""
        return list(self._ask("terms"))

    def plot(self, term: str) -> str:
        """Value and gradient of a term as curves: an SVG in Base64; raise `MissingError` for an unknown term."""
        return str(self._ask("plot", name=term))

    def metrics(self) -> list[dict[str, Any]]:
        """All metrics, as ``losssearch metrics --json`` prints them."""
        return list(self._ask("metrics"))

    def spaces(self) -> list[dict[str, Any]]:
        """All search spaces that come with losssearch, as ``losssearch spaces --json`` prints them."""
        return list(self._ask("spaces"))

    def check(self, text: str) -> list[str]:
        """The rules that the YAML text of a space breaks; empty for a good one."""
        return list(self._ask("check", text=text))

    def sample(
        self, count: int, seed: int, *, name: str | None = None, text: str | None = None
    ) -> list[dict[str, Any]]:
        """Losses drawn from a space, by its name or as text: ``formula`` and ``spec`` of each.

        Raises:
            InputError: the text breaks a rule.
            MissingError: there is no space of this name.
        """
        return list(self._ask("sample", count=count, seed=seed, name=name, text=text))

    def tasks(self) -> dict[str, dict[str, Any]]:
        """Of each kind of task its own ``metric``, and the ``gaps`` that a constraint may limit."""
        return dict(self._ask("tasks"))

    def floor(self, gap: str, limit: float, rows: list[int], share: float) -> dict[str, Any] | None:
        """The noise floor of a gap of binary decisions.

        Args:
            gap: its name.
            limit: the limit of the constraint.
            rows: of each group, those that are measured.
            share: of the rows, those with the positive class.

        Returns:
            ``mean`` and ``quantile`` (95 %) of the gap that a fair model shows by chance, and whether that ``hides``
            the limit; None for a gap that no counts tell.
        """
        found: dict[str, Any] | None = self._ask("floor", gap=gap, limit=limit, rows=rows, share=share)
        return found

    def formulas(self, specs: list[dict[str, Any]]) -> list[str]:
        """The formula of each loss, given as JSON; an empty text for one that this program does not know."""
        keys = [json.dumps(spec, sort_keys=True) for spec in specs]
        unknown = {key: spec for key, spec in zip(keys, specs, strict=True) if key not in self._formulas}
        if unknown:
            if len(self._formulas) > _MOST_FORMULAS:
                self._formulas = {}
            found = self._ask("formulas", specs=list(unknown.values()))
            self._formulas.update(zip(unknown, found, strict=True))
        return [self._formulas.get(key, "") for key in keys]

    def maximizes(self, metric: str, task: str) -> bool:
        """Whether more of a metric is better, for a kind of task."""
        return bool(self._ask("maximizes", metric=metric, task=task))

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def _ask(self, ask: str, **facts: Any) -> Any:
        key = (ask, json.dumps(facts, sort_keys=True))
        if key in self._known:
            return self._known[key]
        with self._lock:
            answer = self._answer({"ask": ask, **facts})
        if "problem" in answer:
            raise (MissingError if answer["missing"] else InputError)(answer["problem"])
        if ask in _KEPT:
            self._known[key] = answer["found"]
        return answer["found"]

    def _answer(self, question: dict[str, Any]) -> dict[str, Any]:
        process = self._running()
        assert process.stdin is not None and process.stdout is not None  # noqa: PT018, S101  (pipes)
        over = threading.Timer(PATIENCE, process.kill)
        over.start()
        try:
            process.stdin.write(json.dumps(question) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:
            line = ""
        finally:
            over.cancel()
        if not line.endswith("\n"):
            self._end()
            raise ConnectionLostError("the catalogue must answer, it did not in time: try again")
        found: dict[str, Any] = json.loads(line)
        return found

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            environment = {
                "LANG": "C.UTF-8",
                "MPLCONFIGDIR": "/tmp/losssearch-matplotlib",  # noqa: S108  (a cache of fonts)
                "OMP_NUM_THREADS": "1",
                "PATH": os.defpath,
                "PYTHONPATH": str(Path(services.__file__).resolve().parent.parent),
            }
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "services.catalogue.child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                text=True,
            )
        return self._process

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
