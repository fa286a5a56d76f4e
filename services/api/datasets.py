"""``/v1/datasets``: made, filled with content, previewed, deleted."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response

from services.access.principal import ConflictError, Principal
from services.api import answers
from services.api.bodies import Cursor, Identifier, Limit, NewDataset
from services.api.guard import Reader, Writer
from services.api.problems import documented, problem
from services.api.service import Here, Service
from services.api.upload import Upload
from services.changing import datasets as changing
from services.reading import datasets as reading
from services.uploads import receiving
from services.uploads.limits import Format

_BINARY = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_CONTENT = {"requestBody": {"required": True, "content": _BINARY}}


def router(max_upload: int) -> APIRouter:
    """The routes; content may have ``max_upload`` bytes."""
    routes = APIRouter(prefix="/v1/datasets", tags=["datasets"])

    @routes.get("")
    def list_datasets(service: Here, who: Reader, limit: Limit = 50, cursor: Cursor = None) -> answers.Datasets:
        """The datasets of the team, the newest first."""
        found = service.read(lambda c: reading.list_datasets(c, who, limit=limit, cursor=cursor))
        return answers.Datasets.model_validate(found)

    @routes.post("", status_code=201)
    def create_dataset(body: NewDataset, service: Here, who: Writer, response: Response) -> answers.Dataset:
        """Make a dataset; its content is sent afterwards with `PUT …/content`."""
        made = service.write(lambda c: changing.create_dataset(c, who, body.name))
        response.headers["Location"] = f"/v1/datasets/{made}"
        return _dataset(service, who, made)

    @routes.get("/{dataset}", responses=documented(404))
    def show_dataset(dataset: Identifier, service: Here, who: Reader) -> answers.Dataset:
        """One dataset: its state, size and, where its content cannot be used, why."""
        return _dataset(service, who, dataset)

    @routes.get("/{dataset}/preview", responses=documented(404, 409))
    def preview_dataset(dataset: Identifier, service: Here, who: Reader) -> answers.Preview:
        """The columns as losssearch reads them, inferred from a sample of the rows."""
        found = service.read(lambda c: reading.dataset_schema(c, who, dataset))
        if found is None:
            raise ConflictError("a dataset is previewed once it is ready, this one is not: upload its content")
        return answers.Preview.model_validate(found)

    @routes.put(
        "/{dataset}/content",
        max_body_size=max_upload,
        openapi_extra=_CONTENT,
        responses=documented(404, 408, 409, 411, 507),
    )
    async def upload_content(
        dataset: Identifier,
        file_format: Annotated[Format, Query(alias="format", description="How the content is to be read.")],
        digest: Annotated[
            str,
            Header(
                alias="Content-Digest",
                max_length=500,
                json_schema_extra={"pattern": receiving.DIGEST},
                description="`sha-256=:BASE64:` of the content, as RFC 9530 writes it; `Repr-Digest` is as good.",
            ),
        ],
        request: Request,
        service: Here,
        who: Writer,
    ) -> Any:
        """Send the content, once: it is converted to Parquet, and the answer says what it is.

        `Content-Length` is required. An answer of 422 says what is wrong with the file; other content may be sent then.
        """
        length = request.headers.get("Content-Length", "")
        if not length.isdecimal():
            return problem(411, "content must come with Content-Length")
        expected = receiving.read_digest(digest)
        upload = Upload(service, who, dataset, int(length))
        await asyncio.to_thread(upload.begin)
        try:
            await receiving.receive(aiter(request.stream()), upload.part, int(length), expected)
            async with service.converting:
                # Not broken off where the client goes: it will find the dataset ready.
                await asyncio.shield(asyncio.to_thread(upload.convert, file_format, expected.hex()))
        except Exception as error:
            await asyncio.to_thread(upload.fail, error)
            raise
        finally:
            upload.end()
        return await asyncio.to_thread(_dataset, service, who, dataset)

    @routes.delete("/{dataset}", status_code=204, responses=documented(404, 409))
    def delete_dataset(dataset: Identifier, service: Here, who: Writer) -> None:
        """Delete a dataset that no search uses."""
        service.write(lambda c: changing.delete_dataset(c, who, dataset))
        (service.settings.datasets / f"{dataset}.parquet").unlink(missing_ok=True)

    return routes


def _dataset(service: Service, who: Principal, dataset: str) -> answers.Dataset:
    return answers.Dataset.model_validate(service.read(lambda c: reading.find_dataset(c, who, dataset)))
