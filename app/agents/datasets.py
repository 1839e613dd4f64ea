"""Datasets as achieved goals describe them: summary, tags, and the events that were found."""

from datetime import datetime
from typing import Any

from pydantic import Field
from sqlalchemy import tuple_
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.access.caller import Caller
from app.agents.entities import EntityKind, find_entities
from app.db.models import DatasetEvent, Entity
from app.errors import NotFoundError
from app.kit.paging import PageTokenError, cut_page, decode_number, decode_token, encode_token
from app.wire.messages import WireModel


class DatasetRecord(WireModel):
    """A dataset, and what goals that were achieved say of it."""

    dataset_id: str = Field(description="Its id.", examples=["ds_01k8zq5d3v"])
    name: str = Field(description="Of its manifest.")
    properties: dict[str, Any] = Field(description="As its manifest has them.")
    summary: str | None = Field(description="By the last goal that summarized it.")
    tags: list[str] = Field(description="The labels that apply to it.")


class DatasetEventRecord(WireModel):
    """An event in a dataset."""

    event_id: str = Field(description="Its id.", examples=["ev_01k8zq5d3v"])
    dataset_id: str = Field(description="The dataset that it is in.")
    target_id: str = Field(description="What it was found in: the dataset.")
    collection_id: str | None = Field(description="The collection that it is put into.")
    thread_id: str = Field(description="The thread whose goal made it.")
    name: str = Field(description="One of the goal's event_vocabulary.")
    start_time: int = Field(description="In nanoseconds since 1970 (UTC).")
    end_time: int = Field(description="In nanoseconds since 1970 (UTC).")
    description: str | None = Field(description="What it is.")
    tags: list[str] = Field(description="Some of the goal's tag_vocabulary.")
    created: datetime = Field(description="When it was made (UTC).")


async def get_dataset(db: AsyncSession, caller: Caller, dataset_id: str) -> DatasetRecord:
    """Finds a dataset by id, or raises `NotFoundError`."""
    entity = await _find(db, caller, dataset_id)
    return DatasetRecord(
        dataset_id=entity.id,
        name=entity.name,
        properties=entity.properties,
        summary=entity.summary,
        tags=entity.tags,
    )


async def list_events(
    db: AsyncSession,
    caller: Caller,
    dataset_id: str,
    *,
    collection_id: str | None,
    limit: int,
    page_token: str | None,
) -> tuple[list[DatasetEventRecord], str | None]:
    """One page of a dataset's events, by time, and the token of the next page if there is one.

    Raises:
        NotFoundError: there is no such dataset.
        PageTokenError: the token is none of ours.
    """
    await _find(db, caller, dataset_id)
    query = select(DatasetEvent).where(DatasetEvent.dataset_id == dataset_id)
    if collection_id is not None:
        query = query.where(DatasetEvent.collection_id == collection_id)
    key = (col(DatasetEvent.start_time), col(DatasetEvent.id))
    if page_token:
        query = query.where(tuple_(*key) > _event_before(page_token))
    events = (await db.exec(query.order_by(*key).limit(limit + 1))).all()
    page, token = cut_page(events, limit, lambda last: encode_token(str(last.start_time), last.id))
    return [_record(event) for event in page], token


async def _find(db: AsyncSession, caller: Caller, dataset_id: str) -> Entity:
    entity = (await find_entities(db, caller.org_id, [dataset_id])).get(dataset_id)
    if entity is None or entity.kind != EntityKind.DATASET:
        raise NotFoundError(f"There is no dataset {dataset_id!r}.")
    return entity


def _event_before(page_token: str) -> tuple[int, str]:
    match decode_token(page_token):
        case [time, id_]:
            return decode_number(time, bits=64), id_
        case _:
            raise PageTokenError


def _record(event: DatasetEvent) -> DatasetEventRecord:
    return DatasetEventRecord(
        event_id=event.id,
        dataset_id=event.dataset_id,
        target_id=event.target_id,
        collection_id=event.collection_id,
        thread_id=event.session_id,
        name=event.name,
        start_time=event.start_time,
        end_time=event.end_time,
        description=event.description,
        tags=event.tags,
        created=event.created,
    )
