"""The result of a finished study: the recommended loss, the verdict, the leaderboard, and the study's files."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from losssearch.assembly import RUNS
from losssearch.assembly.claim import Claim, read_claim
from losssearch.assembly.command import naming_imports
from losssearch.assembly.finished import restore
from losssearch.errors import DataError, InputError, OptionError, StudyHeldError, shown
from losssearch.export.boosting import write_objective
from losssearch.export.bundle import load_loss
from losssearch.export.writing import unwritable, write_whole
from losssearch.models import BOOSTED
from losssearch.option_names import option
from losssearch.report.leaderboard import as_records, leaderboard
from losssearch.tracking.location import local_store, resolved

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class VerdictSummary:
    """Whether to use the searched loss, and how strong the evidence is.

    Attributes:
        recommended: the name of the recommended loss; ``"searched"`` for the searched one.
        against: the name of the best baseline.
        difference: the searched loss minus the best baseline on test, with the sign such that positive is better.
        interval: the confidence interval of ``difference``.
        level: the confidence level of ``interval``.
        test: the method by which the interval was computed.
        text: the verdict in words; also what ``str`` returns.
        grade: what test allows one to claim: ``"better"`` or ``"worse"`` if the interval excludes zero,
            ``"probably better"`` if it contains zero and ``probability_better`` is large, otherwise
            ``"not told apart"``. None for studies of an older version.
        probability_better: the probability that the searched loss is better than the best baseline. None for studies of
            an older version and without a searched loss.
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
        from losssearch.report.html import render_verdict  # only notebooks call this

        return render_verdict(asdict(self))


class SearchResult:
    """A finished study, as returned by `losssearch.search` and `losssearch.load_result`.

    Attributes:
        out: the study's folder.
    """

    def __init__(self, content: dict[str, Any], out: Path) -> None:
        self._content, self.out = content, out

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``result.json``."""
        return dict(self._content)

    @property
    def files(self) -> dict[str, Path]:
        """The exported files by name, such as ``python``, ``spec`` and ``report``, in the folder of the study."""
        named = self._content.get("export") or {}
        return {name: _placed(self.out, path) for name, path in named.items() if path is not None}

    @property
    def tracking_uri(self) -> str | None:
        """The MLflow store that has the study's runs, as a URI for MLflow; None if it was not tracked."""
        kept = (self._content.get("mlflow") or {}).get("tracking_uri")
        if kept is None:
            return None
        own = local_store(self.out)[0]
        return (
            own if (self.out / "mlflow.db").is_file() and str(kept).endswith("/mlflow.db") else resolved(kept, self.out)
        )

    @cached_property
    def loss(self) -> nn.Module:
        """The recommended loss as a module: ``result.loss(output, target)``. See `losssearch.load_loss`."""
        with self._naming_imports():
            return load_loss(self.out / "export")

    @property
    def verdict(self) -> VerdictSummary:
        """What to use, the difference to the best baseline with its interval and grade, and a text."""
        found = self._content["verdict"]
        names = ("recommended", "against", "difference", "level", "test", "text")
        graded = {name: found.get(name) for name in ("grade", "probability_better")}
        return VerdictSummary(interval=tuple(found["interval"]), **{name: found[name] for name in names}, **graded)

    @property
    def leaderboard(self) -> pd.DataFrame:
        """The searched loss and every baseline as a data frame, best on test first."""
        import pandas as pd

        return pd.DataFrame(as_records(leaderboard(self._content)))

    @property
    def notes(self) -> list[str]:
        """Remarks about the data, the study and its run, each once; progress displays show the same notes."""
        found, timing = self._content, self._content.get("timing") or {}
        sources = (
            (found.get("data") or {}).get("notes"),
            found.get("notes"),
            timing.get("notes"),
            timing.get("run_notes"),
        )
        return list(dict.fromkeys(note for notes in sources for note in notes or ()))

    def export(self, directory: str | Path, form: str = "python") -> Path:
        """Write the recommended loss to a folder.

        Args:
            directory: a new or empty folder, or one that holds a bundle, which is replaced.
            form: ``"python"`` writes the bundle, with the loss as standalone code in ``loss.py``. ``"json"`` writes its
                spec only. ``"lightgbm"`` and ``"xgboost"`` write ``objective.py``, the loss as a custom objective for
                boosted trees, equal to the one that a study with that model trains with.

        Returns:
            The path of the folder, or of the file for all forms but ``"python"``.

        Raises:
            OptionError: ``directory`` cannot be written, or holds something other than a bundle.
            DataError: the study's folder has no exported loss.
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
                with self._naming_imports():
                    return write_objective(source, place, form, rate=rate)
            for path in sorted(source.iterdir()):
                if path.is_file() and not path.is_symlink():
                    write_whole(place / path.name, path.read_bytes())
        except OSError as error:
            raise unwritable(place, error, "the folder of an export") from error
        return place

    def _naming_imports(self) -> AbstractContextManager[None]:
        claim = read_claim(self.out)
        return naming_imports(claim.command if claim else None)

    def __repr__(self) -> str:
        return f"SearchResult({self._content['study']!r}: {self._content['verdict']['text']})"

    def _repr_html_(self) -> str:
        from losssearch.report.html import render_result  # only notebooks call this

        return render_result(self._content, self.out, self.notes)


def load_result(directory: str | Path) -> SearchResult:
    """Load the result of a finished study from its folder. Nothing is unpickled.

    Args:
        directory: the study's folder, the one given as ``out`` or ``losssearch-runs/STUDY``.

    Returns:
        The result with leaderboard, verdict, loss and notes.

    Raises:
        OptionError: ``directory`` is not a path.
        DataError: the folder is missing or holds no study, or the study is not finished; in that case the message says
            how to resume it.

    Example:
        >>> import losssearch as ls
        >>> ls.load_result("losssearch-runs/adult-f1")
        Traceback (most recent call last):
        ...
        losssearch.errors.DataError: load_result takes the folder of a study, but losssearch-runs/adult-f1 is missing
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
    """Open the result of a finished study by its folder or by its name under ``losssearch-runs``.

    Files that are missing, or belong to another study, are written again from the study's store.

    Args:
        study: the study's folder or name.
        storage: the URL of the store, if it is neither a file in the folder nor recorded there.

    Raises:
        DataError: there is no such study, or it is not finished.
    """
    for out in (Path(study), RUNS / study):
        found, claim = _result_in(out), read_claim(out)
        if found is not None and _is_whole(out, found, claim):
            return SearchResult(found, out)
        if claim is not None or (out / "study.db").is_file():
            with naming_imports(claim.command if claim else None):
                return _restored(out, found, storage)
        if found is not None:
            return SearchResult(found, out)
        if (out / "result.json").is_file():
            raise DataError(f"{out / 'result.json'} must be JSON, and the result of a study")
    places = " and ".join(dict.fromkeys((study, str(RUNS / study))))
    raise DataError(f"a study's folder holds result.json, which was not found in {places}")


def _placed(out: Path, path: str) -> Path:
    """A file of a study in ``out``; an earlier version kept its whole path, which may be that of another place."""
    found = out.absolute() / path
    if not Path(path).is_absolute() or found.exists():
        return found
    name = Path(path).name
    return out.absolute() / (name if (out / name).exists() else Path("export") / name)


def _result_in(out: Path) -> dict[str, Any] | None:
    """The content of ``result.json``, or None if it cannot be read."""
    try:
        found = json.loads((out / "result.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _is_whole(out: Path, result: dict[str, Any], claim: Claim | None) -> bool:
    """Whether the result and the export belong to the same study, the one that owns the folder."""
    if claim is not None and result.get("study") != claim.study:
        return False
    try:
        exported = json.loads((out / "export" / "loss.json").read_text(encoding="utf-8"))
        return bool(exported.get("study") == result.get("study")) and (out / "report.html").is_file()
    except (OSError, ValueError, AttributeError, RecursionError):
        return False


def _restored(out: Path, found: dict[str, Any] | None, storage: str | None) -> SearchResult:
    """The result, after its files were written again from the store."""
    try:
        result = restore(out, storage=storage)
    except (InputError, StudyHeldError):
        if found is None:
            raise
        result = None  # a folder copied without its store, or whose study is being resumed, can still show what it has
    if result is not None:
        return SearchResult(result, out)
    if found is not None:
        return SearchResult(found, out)
    raise DataError(
        f"the study in {out} is not finished: resume it with {option('resume', True)} and "
        f"{option('out', str(out))} first"
    )
