"""Datasets: listed, uploaded, looked at, deleted."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from losssearch.errors import InputError, LossSearchError
from services.access.principal import ForbiddenError, Principal
from services.api.bodies import Cursor, Identifier
from services.api.guard import identify, require_genuine
from services.api.service import Here, Service
from services.api.upload import Upload
from services.changing import datasets as changing
from services.pages.multipart import MOST, UploadForm
from services.pages.rendering import page
from services.pages.visiting import PageRoute, Poster, Visitor, described, see
from services.reading import datasets as reading
from services.uploads import receiving
from services.uploads.limits import FORMATS


def router(max_upload: int) -> APIRouter:
    """The routes; content may have ``max_upload`` bytes."""
    routes = APIRouter(prefix="/datasets", route_class=PageRoute, include_in_schema=False)

    @routes.get("")
    def list_datasets(
        request: Request, service: Here, who: Visitor, cursor: Annotated[Cursor, Query()] = None
    ) -> Response:
        """The datasets of the team, and a form to upload one."""
        found = service.read(lambda c: reading.list_datasets(c, who, limit=50, cursor=cursor))
        return page(request, "datasets.html", who, found=found, formats=FORMATS, most=max_upload)

    @routes.post("", max_body_size=max_upload + MOST)
    async def upload(request: Request, service: Here) -> Response:
        """Take a new dataset with its content; the page of it tells what it is, or why it cannot be used."""
        who = await asyncio.to_thread(_sender, request, service)  # before anything is read: the body may be long
        form = UploadForm(request)
        fields = await form.read_fields()
        require_genuine(request, who, fields.get("csrf", ""))
        name = _printable(fields.get("name", "") or form.filename)
        suffix = fields.get("format", "") or _suffix(form.filename)
        length = int(request.headers.get("Content-Length", "0")) or max_upload
        try:
            if not form.filename:
                raise InputError("a file must be chosen, none was")
            if suffix not in FORMATS:
                raise InputError(f"the file's format must be one of {', '.join(FORMATS)}: choose it from the list")
            made = await asyncio.to_thread(service.write, lambda c: changing.create_dataset(c, who, name))
            upload = Upload(service, who, made, length)
            await asyncio.to_thread(upload.begin)
        except LossSearchError as error:
            status, problem = described(error)
            found = await asyncio.to_thread(service.read, lambda c: reading.list_datasets(c, who, limit=50))
            facts = {"found": found, "formats": FORMATS, "most": max_upload, "problem": problem}
            return page(request, "datasets.html", who, status=status, **facts)
        try:
            digest = await receiving.receive(form.content(), upload.part, length, None)
            async with service.converting:
                await asyncio.shield(asyncio.to_thread(upload.convert, suffix, digest.hex()))
        except Exception as error:
            await asyncio.to_thread(upload.fail, error)
            if not isinstance(error, LossSearchError):
                raise
            return see(f"/datasets/{made}")
        finally:
            upload.end()
        return see(f"/datasets/{made}?said=uploaded")

    @routes.get("/{dataset}")
    def show_dataset(dataset: Identifier, request: Request, service: Here, who: Visitor) -> Response:
        """One dataset: what was inferred of its columns, or why it cannot be used."""
        return _shown(request, service, who, dataset)

    @routes.post("/{dataset}/delete")
    def delete_dataset(dataset: Identifier, request: Request, service: Here, who: Poster) -> Response:
        """Delete a dataset that no search uses."""
        try:
            service.write(lambda c: changing.delete_dataset(c, who, dataset))
        except LossSearchError as error:
            status, problem = described(error)
            return _shown(request, service, who, dataset, status, problem)
        (service.settings.datasets / f"{dataset}.parquet").unlink(missing_ok=True)
        return see("/datasets?said=deleted")

    return routes


def _shown(
    request: Request, service: Service, who: Principal, dataset: str, status: int = 200, problem: str | None = None
) -> Response:
    found = service.read(lambda c: reading.find_dataset(c, who, dataset))
    preview = service.read(lambda c: reading.dataset_schema(c, who, dataset))
    return page(request, "dataset.html", who, status=status, dataset=found, preview=preview, problem=problem)


def _sender(request: Request, service: Service) -> Principal:
    who = identify(request, service)
    if not who.may("write"):
        raise ForbiddenError(f"this needs the scope 'write', yours is {who.scope!r}")
    return who


def _suffix(filename: str) -> str:
    """The format that a file's name tells; the longest that fits."""
    fitting = [one for one in FORMATS if filename.lower().endswith(f".{one}")]
    return max(fitting, key=len, default="")


def _printable(name: str) -> str:
    """A dataset's name: that of its file where none was given."""
    kept = "".join(letter for letter in name if letter.isprintable()).strip()
    return kept[:100] or "dataset"
