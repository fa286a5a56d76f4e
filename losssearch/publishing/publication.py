"""The publication of a finished study, kept in its store, and the files that are made from it.

The store has the whole of it before a file is written. So whatever is lost on the way to the files, or later, is made
again from the store, without data and without training, and is equal to what an undisturbed run wrote.
"""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from losssearch.data.batch import Batch
from losssearch.data.target_columns import Moments, per_column
from losssearch.errors import ConnectionLostError, DataError, OptionError
from losssearch.export.bundle import bundle_files, bundle_paths, refuse_others
from losssearch.export.reading import WEIGHTS_FILE
from losssearch.export.writing import remove_left, replace_folder, write_whole
from losssearch.losses.spec import LossSpec
from losssearch.option_names import option
from losssearch.report.leaderboard import as_records, leaderboard
from losssearch.storage.records import TrialRecord
from losssearch.storage.store import Store
from losssearch.study.result import Finished

FINISHED = "finished"
"""The stage of a store that holds a `Publication`."""

PUBLISHED = "published"
"""The stage that says which publication has all of its files, and what their digests are."""

PRIVATE_MODEL = "private_model.safetensors"
EXPORT, FIGURES, REPORT, LEADERBOARD, RESULT = "export", "figures", "report.html", "leaderboard.json", "result.json"


@dataclass(frozen=True)
class Publication:
    """The result of a study and all else that its files are made of.

    ``result`` is the content of ``result.json``; ``learned`` what the loss has learned, numbers or lists by name;
    ``class_prior``, ``target_mean``, ``target_scale`` and ``groups`` are
    facts of the searched data; ``private`` is the private model, Base64 of a safetensors file, empty without one.
    """

    id: str
    result: dict[str, Any]
    spec: dict[str, Any]
    learned: dict[str, Any]
    class_prior: list[float] | None
    target_mean: Moments
    target_scale: Moments
    groups: int
    private: str = ""

    @property
    def trials(self) -> int:
        """How many trials the study had."""
        return int(self.result["trials"]["total"])


@dataclass(frozen=True)
class Entered:
    """What the store knows of a study that this process drives now.

    ``publication``: what it publishes, where it is finished; ``digests``: those of its files, once all were published.
    ``result``: that of a study which an older version finished.
    """

    publication: Publication | None = None
    digests: dict[str, str] | None = None
    result: dict[str, Any] | None = None


def new_publication(finished: Finished, facts: Batch, groups: int, out: Path, private: bytes = b"") -> Publication:
    """What a study that has just finished publishes in ``out``; from here on its result has the paths of files."""
    known: dict[str, Any] = {name: value.tolist() for name, value in facts.items()}
    made = Publication(
        uuid.uuid4().hex,
        finished.result,
        finished.spec.to_json(),
        {name: value.tolist() for name, value in finished.learned.items()},
        known.get("class_prior"),
        known.get("target_mean", 0.0),
        known.get("target_scale", 1.0),
        groups,
        base64.b64encode(private).decode(),
    )
    paths = bundle_paths(out / EXPORT, _bundle(made))
    # Within the folder, which may be moved, or mounted elsewhere.
    named = {name: None if path is None else path.relative_to(out).as_posix() for name, path in paths.items()}
    finished.result["export"] = named | {"report": REPORT}
    return made


def keep_publication(store: Store, study: str, publication: Publication) -> Publication:
    """Write it to the store, from where on the study is finished whatever becomes of its files; as the store has it."""
    store.save_stage(study, FINISHED, asdict(publication))
    kept = kept_publication(store, study)
    assert kept is not None  # noqa: S101  (written above)
    return kept


def kept_publication(store: Store, study: str) -> Publication | None:
    """What the store keeps; None if the study has not finished, or an older version finished it."""
    found = store.stage(study, FINISHED)
    if found is None:
        return None
    try:
        kept = Publication(**found)
        LossSpec.from_json(kept.spec)
        _ = kept.trials, kept.result["export"]
    except (TypeError, KeyError, ValueError) as error:
        raise DataError(f"the store's record of the result of {study!r} is damaged: {error!r:.80}") from None
    return kept


def mark_published(store: Store, study: str, publication: Publication, digests: Mapping[str, str]) -> None:
    """The last step: say in the store that all of it is published."""
    store.save_result(study, publication.result)
    store.save_stage(study, PUBLISHED, {"id": publication.id, "files": dict(digests)})


def published(store: Store, study: str, publication: Publication) -> dict[str, str] | None:
    """The digests of the files of ``publication``, by path within the folder; None before all of it was published."""
    found = store.stage(study, PUBLISHED)
    return dict(found["files"]) if found is not None and found["id"] == publication.id else None


def intact(out: Path, digests: Mapping[str, str]) -> bool:
    """Whether the files are there, as they were written."""
    return all(_digest_of(out / name) == digest for name, digest in digests.items())


def write_files(out: Path, publication: Publication, trials: Sequence[TrialRecord]) -> dict[str, str]:
    """Write every file of a study that is missing or differs, each as a whole and none through a link; their digests.

    ``result.json`` is the last. Raises `ConnectionLostError` if the folder cannot be written, as on a full disk.
    """
    with _writable(out):
        remove_left(out)
        if not (out / FIGURES).is_symlink():
            remove_left(out / FIGURES)
        return _write(out, _files(publication, trials))


def write_result(out: Path, publication: Publication) -> dict[str, str]:
    """Write ``result.json`` alone, where it differs; its digest, as `write_files` gives them."""
    content = _json(publication.result)
    digest = hashlib.sha256(content).hexdigest()
    with _writable(out):
        if _digest_of(out / RESULT) != digest:
            write_whole(out / RESULT, content, follow=True)
    return {RESULT: digest}


@contextmanager
def _writable(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConnectionLostError(
            f"the study's folder must be writable, {error.filename or out} was not ({error.strerror or error}): the "
            f"result is kept in the store; make room or mend the folder, and {option('resume', True)} writes the files"
        ) from error


def artifacts(out: Path) -> list[Path]:
    """What the tracker keeps of the files."""
    return [out / name for name in (LEADERBOARD, RESULT, REPORT, EXPORT, FIGURES)]


def render(publication: Publication, trials: Sequence[TrialRecord]) -> tuple[dict[str, bytes], str]:
    """The figures, PNG files by name, and the page of the report."""
    from losssearch.report.figures import draw_figures  # needed at the end alone, and slow to import
    from losssearch.report.html import render_report
    from losssearch.report.pictures import draw_pictures

    given = (publication.result, trials, LossSpec.from_json(publication.spec))
    facts, learned = _facts(publication), publication.learned
    figures = draw_figures(*given, facts=facts, learned=learned)
    pictures, explained = draw_pictures(*given, facts=facts, learned=learned)
    return figures, render_report(publication.result, trials, figures, pictures=pictures, explained=explained)


def _facts(publication: Publication) -> dict[str, float | list[float]]:
    """What the drawn loss reads of the searched data."""
    mean, scale = per_column(publication.target_mean)[0], per_column(publication.target_scale)[0]
    found: dict[str, float | list[float]] = {"zero": 0 - mean / scale}
    return found if publication.class_prior is None else {**found, "class_prior": publication.class_prior}


def _files(publication: Publication, trials: Sequence[TrialRecord]) -> dict[str, bytes]:
    """Every file by its path within the study's folder, in the order in which they are written."""
    figures, page = render(publication, trials)
    bundle = _bundle(publication) | {REPORT: page.encode()}
    if publication.private:
        bundle[PRIVATE_MODEL] = base64.b64decode(publication.private)
    return {
        **{f"{EXPORT}/{name}": content for name, content in bundle.items()},
        **{f"{FIGURES}/{name}.png": content for name, content in figures.items()},
        REPORT: page.encode(),
        LEADERBOARD: _json(as_records(leaderboard(publication.result))),
        RESULT: _json(publication.result),
    }


def _bundle(publication: Publication) -> dict[str, bytes]:
    result = publication.result
    return bundle_files(
        LossSpec.from_json(publication.spec),
        task=result["task"],
        classes=2 if publication.class_prior is None else len(publication.class_prior),
        class_prior=publication.class_prior,
        learned=publication.learned,
        metric=result["metric"],
        data=result["data"],
        study=result["study"],
        verdict_text=result["verdict"]["text"],
        target_mean=publication.target_mean,
        target_scale=publication.target_scale,
        groups=publication.groups,
    )


def _write(out: Path, files: Mapping[str, bytes]) -> dict[str, str]:
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    bundle = {name.partition("/")[2]: content for name, content in files.items() if name.startswith(f"{EXPORT}/")}
    if not _holds(out / EXPORT, bundle, digests):
        refuse_others(out / EXPORT)
        replace_folder(out / EXPORT, bundle)
    if (out / FIGURES).is_symlink():
        raise OptionError(f"the study's figures lie in a folder of their own, {out / FIGURES} is a link: remove it")
    (out / FIGURES).mkdir(exist_ok=True)
    for name, content in files.items():
        if not name.startswith(f"{EXPORT}/") and _digest_of(out / name) != digests[name]:
            write_whole(out / name, content, follow=(out / name).parent == out)
    return digests


def _holds(folder: Path, files: Mapping[str, bytes], digests: Mapping[str, str]) -> bool:
    """Whether a folder holds these files of a bundle, and none of an earlier result."""
    if folder.is_symlink() or any((folder / name).exists() for name in {WEIGHTS_FILE, PRIVATE_MODEL} - set(files)):
        return False
    return all(_digest_of(folder / name) == digests[f"{EXPORT}/{name}"] for name in files)


def _digest_of(path: Path) -> str:
    """The digest of a plain file; empty if there is none."""
    if path.is_symlink() or not path.is_file():
        return ""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
