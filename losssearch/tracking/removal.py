"""Deleting the runs of a study. MLflow keeps what is deleted, as deleted, until ``mlflow gc``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from losssearch.tracking.runs import PARENT

if TYPE_CHECKING:
    from mlflow import MlflowClient

STUDY = "losssearch.study"
"""The tag of a study's run that holds its name."""

_PAGE = 1000


def remove_study(client: MlflowClient, experiment: str, study: str) -> int:
    """Delete the runs of a study: those of its trials first, so that what is broken off can be continued.

    Args:
        client: of the store.
        experiment: the name of the experiment; nothing happens where there is none.
        study: the name of the study.

    Returns:
        How many runs were deleted.
    """
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return 0
    removed = 0
    for parent in list(_runs(client, found.experiment_id, STUDY, study)):
        for run_id in [*_runs(client, found.experiment_id, PARENT, parent), parent]:
            client.delete_run(run_id)
            removed += 1
    return removed


def _runs(client: MlflowClient, experiment_id: str, tag: str, value: str) -> Iterator[str]:
    """The ids of the runs with a tag, which are read before any is deleted."""
    quoted, token, found = value.replace("'", ""), None, []
    while True:
        page = client.search_runs([experiment_id], f"tags.`{tag}` = '{quoted}'", max_results=_PAGE, page_token=token)
        found += [str(run.info.run_id) for run in page]
        if not (token := page.token):
            yield from found
            return
