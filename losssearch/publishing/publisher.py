"""Publishing a finished study: the record in its store, its files, and the tracker's copy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from losssearch.losses.spec import LossSpec
from losssearch.publishing.label_quality import LABEL_QUALITY, judges_labels, write_label_quality
from losssearch.publishing.publication import (
    EXPORT,
    LEADERBOARD,
    PRIVATE_MODEL,
    REPORT,
    RESULT,
    Entered,
    Publication,
    artifacts,
    intact,
    keep_publication,
    mark_published,
    new_publication,
    write_files,
    write_result,
)
from losssearch.redaction import redacted
from losssearch.storage.records import TrialRecord
from losssearch.storage.store import Store
from losssearch.study.context import Context
from losssearch.study.private_model import train_private_model
from losssearch.study.result import Finished
from losssearch.study.selecting.row_memory import RowMemory, remembered_again
from losssearch.study.study_context import StudyContext
from losssearch.tracking.tracker import Tracker
from losssearch.training.private import Privacy

_EVERY = (RESULT, LEADERBOARD, REPORT, f"{EXPORT}/loss.json", f"{EXPORT}/{REPORT}")
"""Files without which a study of an older version, of which no digests are kept, is published again."""

Finish: TypeAlias = Callable[[StudyContext], Finished]


def tell(tracker: Tracker, publication: Publication, out: Path) -> None:
    """Tell the tracker the result of the study in ``out``, and its files."""
    result = publication.result
    part = "test" if result["best"]["test"] else "validation"
    metrics = {f"{part}_{result['metric']['name']}": result["best"][part]["mean"]}
    tracker.log_result(result, artifacts(out), metrics)


def mark(
    store: Store, study: str, publication: Publication, out: Path, digests: Mapping[str, str], problems: Sequence[str]
) -> None:
    """Say in the store, and in ``result.json``, that all is published; or which ``problems`` the tracker has had."""
    tracked = publication.result["mlflow"]
    complete = None if tracked.get("run_id") is None else not problems
    told = [problem.replace(f"{out.resolve()}/", "") for problem in problems]  # the folder may be moved
    tracked.update(complete=complete, problems=redacted(told))
    keep_publication(store, study, publication)
    digests = {**digests, **write_result(out, publication)}
    if problems:
        store.save_result(study, publication.result)
    else:
        mark_published(store, study, publication, digests)


class Publishing:
    """Finishes a study and publishes it: store, files, tracker, and, last of all, the `mark` that nothing is missing.

    Each step may be done twice. What was done before, by a process that was killed, is not done again but for what
    takes a moment.
    """

    def __init__(self, context: StudyContext, out: Path, entered: Entered, privacy: Privacy | None = None) -> None:
        """Publish the study of ``context`` in ``out``; with ``privacy``, a private model is trained for it too."""
        self._context, self._out, self._entered, self._privacy = context, out, entered, privacy
        self._digests: dict[str, str] | None = None
        self._publication: Publication | None = None
        self._finish: Finished | None = None

    def run(self, finish: Finish) -> dict[str, Any]:
        """The result of the study, which ``finish`` brings to its end where it is not finished."""
        context, out, entered = self._context, self._out, self._entered
        if entered.result is not None and all((out / name).is_file() for name in _EVERY):
            context.observer.note("the study is finished already: this is its result")
            return entered.result
        if entered.publication is None:
            self._publish(self._finished(finish), anew=False)
        elif entered.digests is not None:
            context.observer.note("the study is finished already: this is its result")
            if not intact(out, entered.digests):
                context.observer.note("files of it were missing or had changed: they are written again")
                self._write(entered.publication)
        else:
            context.observer.note("the search is finished already: its result is published")
            self._publish(entered.publication, anew=True)
        publication = entered.publication or self._publication
        assert publication is not None  # noqa: S101  (one or the other)
        if self._privacy is None:
            write_label_quality(context, out, publication.result, partial(self._row_memory, publication.result))
        return publication.result

    def mark(self, problems: Sequence[str] = ()) -> None:
        """Say in the store that all is published, where something was.

        The ``problems`` of the tracker are told in ``result.json`` and leave the mark to a resume, which tells the
        tracker all of it again.
        """
        if self._publication is not None and self._digests is not None:
            study = self._context.settings.study
            mark(self._context.store, study, self._publication, self._out, self._digests, problems)

    def _row_memory(self, result: Mapping[str, Any]) -> RowMemory | None:
        """What the recommended loss keeps for each row: as this process has seen it, or else trained again."""
        if self._finish is not None:
            return self._finish.rows
        assert isinstance(self._context, Context)  # noqa: S101  (labels are judged)
        return remembered_again(self._context, result)

    def _finished(self, finish: Finish) -> Publication:
        context = self._context
        study, finished = context.settings.study, finish(context)
        self._finish = finished
        finished = replace(finished, result=redacted(finished.result))
        result, private = finished.result, b""
        if self._privacy is not None and isinstance(context, Context):
            result["private"], private = self._train_private(context, result, self._privacy)
        if self._privacy is None and judges_labels(context):
            result["label_quality"] = LABEL_QUALITY
        tracking = context.store.study(study).tracking
        where = {name: tracking.get(name) for name in ("tracking_uri", "experiment", "experiment_id", "run_id")}
        result["mlflow"] = where | {"complete": None, "problems": []}  # known at the very end, by `mark`
        made = new_publication(finished, context.facts(), context.groups, self._out, private)
        return keep_publication(context.store, study, made)

    def _publish(self, publication: Publication, *, anew: bool) -> None:
        """Write the files and tell the tracker; all trials too, where an earlier process may have told it less."""
        context = self._context
        publication.result["mlflow"].update(complete=None, problems=[])
        trials = self._write(publication)
        if anew:
            formulas = {trial.number: LossSpec.from_json(trial.spec).formula() for trial in trials}
            context.tracker.log_trials(trials, formulas, context.settings.metric)
        tell(context.tracker, publication, self._out)

    def _write(self, publication: Publication) -> list[TrialRecord]:
        context = self._context
        trials = context.store.trials(context.settings.study)
        self._digests = write_files(self._out, publication, trials)
        self._publication = publication
        return trials

    def _train_private(
        self, context: Context, result: Mapping[str, Any], privacy: Privacy
    ) -> tuple[dict[str, Any], bytes]:
        from safetensors.torch import save

        found = train_private_model(context, [result["best"], *result["baselines"]], privacy)
        if found.facts["loss"] != result["best"]["name"]:
            context.observer.note(
                f"the private model is trained with {found.facts['loss']}: the recommended loss is no mean over samples"
            )
        weights = save({name: value.contiguous() for name, value in found.parameters.items()})
        return found.facts | {"model": f"{EXPORT}/{PRIVATE_MODEL}"}, weights
