"""Files of a finished study, made anew from its store, without its data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from losssearch.assembly.claim import read_claim
from losssearch.assembly.command import naming_imports
from losssearch.errors import DataError, UnknownNameError
from losssearch.export.reading import read_bundle
from losssearch.export.writing import write_whole
from losssearch.option_names import option
from losssearch.publishing.publication import Publication, kept_publication, render, write_files
from losssearch.storage.lease import Job
from losssearch.storage.sql import SqlStore


def restore(out: Path, *, storage: str | None = None) -> dict[str, Any] | None:
    """Write the files of the finished study in ``out`` that are missing; its result, None where it is not finished.

    ``storage`` is the URL of its store, where that is neither a file in ``out`` nor kept with its command.

    Raises:
        DataError: the folder does not tell which store holds the study.
        StudyHeldError: the study is driven by another process.
        ConnectionLostError: the store does not answer, or the folder cannot be written.
    """
    own = out / "study.db"
    if own.is_file() and not own.stat().st_size:
        return None  # killed before the store had its tables
    with opened_store(out, storage) as (store, study):
        try:
            publication = kept_publication(store, study)
        except UnknownNameError:
            publication = None
        if publication is None:
            return None
        store.acquire(study)
        write_files(out, publication, store.trials(study))
        return publication.result


def remake_report(
    out: Path, result: Mapping[str, Any], file: Path | None = None, *, storage: str | None = None
) -> Path:
    """Write the report of the study in ``out`` to ``file``, by default where the study wrote it; return the place.

    ``storage`` as for `restore`. Nothing is trained, and no data read.

    Raises:
        DataError: the folder lacks its store or its bundle.
        UnknownNameError: the store does not hold the study.
        ConnectionLostError: the store does not answer.
    """
    with opened_store(out, storage, str(result["study"])) as (store, study):
        trials = store.trials(study)
        claim = read_claim(out)
        with naming_imports(claim.command if claim else None):
            publication = kept_publication(store, study) or _of_bundle(out, dict(result))
            page = render(publication, trials)[1]
    place = file or out / "report.html"
    place.parent.mkdir(parents=True, exist_ok=True)
    write_whole(place, page.encode())
    return place


def _of_bundle(out: Path, result: dict[str, Any]) -> Publication:
    """What a study of an older version published, as far as its bundle tells it."""
    facts = read_bundle(out / "export")
    return Publication(
        id="",
        result=result,
        spec=facts.spec.to_json(),
        learned={name: value if isinstance(value, float) else value.tolist() for name, value in facts.learned.items()},
        class_prior=None if facts.class_prior is None else list(facts.class_prior),
        target_mean=facts.target_mean,
        target_scale=facts.target_scale,
        groups=facts.groups,
    )


def url_of(out: Path, storage: str | None) -> str:
    """The URL of the store of the study in ``out``: ``storage``, else the one it was started with.

    Raises `DataError` where the folder does not tell which one that is.
    """
    claim = read_claim(out)
    if claim is not None and storage is None:
        storage = claim.command.options.get("storage")
        if storage is not None and "storage" in claim.command.hidden:
            raise DataError(
                f"the study in {out} lies in {storage}, whose password is not kept: name the store, {option('storage')}"
            )
    if storage is None and not (out / "study.db").is_file():
        raise DataError(
            f"a study's files are made of its store, but {out} holds no study.db: name the store, {option('storage')}"
        )
    return storage or f"sqlite:///{out / 'study.db'}"


@contextmanager
def opened_store(
    out: Path, storage: str | None, study: str = "", job: Job | None = None
) -> Iterator[tuple[SqlStore, str]]:
    """The store of the study in a folder, opened for ``job``, and the study's name in it."""
    claim = read_claim(out)
    store = SqlStore(url_of(out, storage), create=False, job=job)
    try:
        study = study or (claim.study if claim is not None else _only(store, out))
        yield store, study
    finally:
        store.close()


def _only(store: SqlStore, out: Path) -> str:
    names = store.studies()
    if len(names) != 1:
        raise DataError(
            f"the store of {out} holds {len(names)} studies: {option('resume', True)} tells which one is meant"
        )
    return names[0]
