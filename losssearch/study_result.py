"""A finished study as Python sees it: the loss that it recommends, the verdict, the leaderboard, and its files."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from losssearch.assembly import RUNS
from losssearch.assembly.claim import Claim, read_claim
from losssearch.assembly.finished import restore
from losssearch.errors import DataError, InputError, OptionError, shown
from losssearch.export.boosting import write_objective
from losssearch.export.bundle import load_loss
from losssearch.export.writing import unwritable, write_whole
from losssearch.models import BOOSTED
from losssearch.report.leaderboard import as_records, leaderboard

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class VerdictSummary:
    """Whether to use the searched loss, and how sure that is.

    ``grade`` is what test lets one claim of the searched loss against the best baseline: ``better`` or ``worse``
    where the interval leaves out zero, ``probably better`` where it holds zero and ``probability_better`` is large,
    else ``not told apart``. Both are None for a study of an older version, the probability without a searched loss.
    ``difference`` is searched less best baseline on test, turned so that above zero is better, with its
    ``interval`` at ``level`` by the method that ``test`` names.
    """

    recommended: str
    against: str
    difference: float
    interval: tuple[float, float]
    level: float
    test: str
    text: str
    grade: str | None = None
    probability_better: float | None = None

    def __str__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        from losssearch.report.html import render_verdict  # a notebook alone asks

        return render_verdict(asdict(self))


class SearchResult:
    """A finished study: the loss that it recommends, the verdict, the leaderboard, and its files in ``out``."""

    def __init__(self, content: dict[str, Any], out: Path) -> None:
        self._content, self.out = content, out

    def to_json(self) -> dict[str, Any]:
        """The content of ``result.json``."""
        return dict(self._content)

    @cached_property
    def loss(self) -> nn.Module:
        """The recommended loss: ``result.loss(output, target)``."""
        return load_loss(self.out / "export")

    @property
    def verdict(self) -> VerdictSummary:
        """What to use, the difference to the best baseline with interval and grade, and a text."""
        found = self._content["verdict"]
        names = ("recommended", "against", "difference", "level", "test", "text")
        graded = {name: found.get(name) for name in ("grade", "probability_better")}
        return VerdictSummary(interval=tuple(found["interval"]), **{name: found[name] for name in names}, **graded)

    @property
    def leaderboard(self) -> pd.DataFrame:
        """The searched loss and every baseline, best on test first."""
        import pandas as pd

        return pd.DataFrame(as_records(leaderboard(self._content)))

    @property
    def notes(self) -> list[str]:
        """What was said of the data, the study and its run, each once: what progress shows as notes."""
        found, timing = self._content, self._content.get("timing") or {}
        told = (
            (found.get("data") or {}).get("notes"),
            found.get("notes"),
            timing.get("notes"),
            timing.get("run_notes"),
        )
        return list(dict.fromkeys(note for notes in told for note in notes or ()))

    def export(self, directory: str | Path, form: str = "python") -> Path:
        """Write the recommended loss: the bundle to ``directory``, or its spec alone (``form="json"``).

        ``form`` may also be ``lightgbm`` or ``xgboost``: the loss as a custom objective for boosted trees, in
        ``objective.py``; it equals what a study with that model trains with.

        Raises `OptionError` where ``directory`` cannot be written, or holds something else than a bundle.
        """
        source, place = self.out / "export", Path(directory)
        if not (source / "loss.json").is_file():
            raise DataError(f"a finished study holds export/loss.json, but {self.out} does not: run the search again")
        if place.exists() and (not place.is_dir() or (any(place.iterdir()) and not (place / "loss.json").is_file())):
            raise OptionError(f"the folder of an export must be new, empty or a bundle; {place} is none of these")
        try:
            place.mkdir(parents=True, exist_ok=True)
            if form == "json":
                write_whole(place / "loss.json", (source / "loss.json").read_bytes())
                return place / "loss.json"
            if form in BOOSTED:
                rate = self._content["best"]["learning_rate"] if self._content["model"] in BOOSTED else None
                return write_objective(source, place, form, rate=rate)
            for path in sorted(source.iterdir()):
                if path.is_file() and not path.is_symlink():
                    write_whole(place / path.name, path.read_bytes())
        except OSError as error:
            raise unwritable(place, error, "the folder of an export") from error
        return place

    def __repr__(self) -> str:
        return f"SearchResult({self._content['study']!r}: {self._content['verdict']['text']})"

    def _repr_html_(self) -> str:
        from losssearch.report.html import render_result  # a notebook alone asks

        return render_result(self._content, self.out, self.notes)


def load_result(directory: str | Path) -> SearchResult:
    """The result of a finished study, from its folder: leaderboard, verdict, loss and notes. Nothing is unpickled.

    Raises:
        OptionError: what is given is no path.
        DataError: the folder is missing or holds no study, or its study is not finished; the message says how to
            resume it.
    """
    try:
        place = Path(directory)
    except TypeError:
        raise OptionError(
            f"load_result takes the folder of a study, as text or a Path, got {shown(directory)}"
        ) from None
    if not place.is_dir():
        raise DataError(
            f"load_result takes the folder of a study, but {place} is {'a file' if place.exists() else 'missing'}"
        )
    found = open_result(str(place.absolute()))
    content = found.to_json()
    if missing := [name for name in ("study", "metric", "best", "verdict") if name not in content]:
        raise DataError(f"{place / 'result.json'} must be the result of a study, but it lacks {', '.join(missing)}")
    return found


def open_result(study: str, *, storage: str | None = None) -> SearchResult:
    """The result of a finished study, by its folder or by its name under ``losssearch-runs``.

    Files of it that are missing, or of another study, are written again from its store, whose URL is ``storage`` where
    it is neither a file in the folder nor kept there.

    Raises `DataError` where there is none, or the study is not finished.
    """
    for out in (Path(study), RUNS / study):
        found, claim = _result_in(out), read_claim(out)
        if found is not None and _is_whole(out, found, claim):
            return SearchResult(found, out)
        if claim is not None or (out / "study.db").is_file():
            return _restored(out, found, storage)
        if found is not None:
            return SearchResult(found, out)
        if (out / "result.json").is_file():
            raise DataError(f"{out / 'result.json'} must be JSON, and the result of a study")
    places = " and ".join(dict.fromkeys((study, str(RUNS / study))))
    raise DataError(f"a study's folder holds result.json, which was not found in {places}")


def _result_in(out: Path) -> dict[str, Any] | None:
    """The content of ``result.json``; None where there is none that can be read."""
    try:
        found = json.loads((out / "result.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _is_whole(out: Path, result: dict[str, Any], claim: Claim | None) -> bool:
    """Whether result and export are of one study, and of that whose folder it is."""
    if claim is not None and result.get("study") != claim.study:
        return False
    try:
        exported = json.loads((out / "export" / "loss.json").read_text(encoding="utf-8"))
        return bool(exported.get("study") == result.get("study")) and (out / "report.html").is_file()
    except (OSError, ValueError, AttributeError, RecursionError):
        return False


def _restored(out: Path, found: dict[str, Any] | None, storage: str | None) -> SearchResult:
    """The result with its files, which are written again from the store."""
    try:
        result = restore(out, storage=storage)
    except InputError:
        if found is None:
            raise
        result = None  # a folder that was copied without its store shows what it has
    if result is not None:
        return SearchResult(result, out)
    if found is not None:
        return SearchResult(found, out)
    raise DataError(
        f"the study in {out} is not finished: resume it with `losssearch search --resume --out {out}`, then ask again"
    )
