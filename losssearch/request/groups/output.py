"""Where a study is kept, and whether an earlier one is resumed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from losssearch.arguments import named_fields
from losssearch.option_names import option
from losssearch.request import kinds
from losssearch.request.groups.panels import STUDY
from losssearch.request.option import asked


@named_fields
@dataclass(frozen=True)
class Output:
    """Where a study is kept, and whether an earlier one is resumed."""

    study: str | None = asked(
        None,
        "Name of the study. Default: from data and metric.",
        kinds.TEXT,
        metavar="NAME",
        panel=STUDY,
        resumed="not kept",
        local_only=True,
    )
    resume: bool | Literal["auto"] = asked(
        False,
        f"Continue the study in {option('out')} (or of {option('study')}), with the options that it was started with; "
        f"{option('resume', 'auto')}, with the whole command, starts it where there is none.",
        kinds.RESUME,
        metavar="[auto]",
        more="Data and functions are given again. What is given in addition must be what it was, except for "
        "trials, time "
        "budget, workers, device and stores.",
        panel=STUDY,
        local_only=True,
        resumed="not kept",
    )
    storage: str | None = asked(
        None,
        "Store of the study. Default: study.db in its folder.",
        kinds.URL,
        metavar="URL",
        panel=STUDY,
        local_only=True,
        resumed="may change",
    )
    tracking_uri: str | None = asked(
        None,
        "MLflow store. Default: mlflow.db in the study's folder.",
        kinds.URL,
        metavar="URI",
        panel=STUDY,
        local_only=True,
        resumed="may change",
    )
    experiment: str = asked(
        "losssearch",
        "Experiment of MLflow that the study's runs belong to.",
        kinds.TEXT,
        metavar="NAME",
        panel=STUDY,
        local_only=True,
    )
    mlflow: bool = asked(
        True,
        "Track the study with MLflow.",
        kinds.FLAG,
        flag="no-mlflow",
        panel=STUDY,
        resumed="may change",
        local_only=True,
    )
    out: str | Path | None = asked(
        None,
        "Folder of the study. Default: losssearch-runs/STUDY.",
        kinds.PATH,
        metavar="DIR",
        panel=STUDY,
        local_only=True,
        resumed="not kept",
    )
