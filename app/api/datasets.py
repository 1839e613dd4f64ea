"""`/v1/ai/datasets`: what goals of threads brought about. Datasets are made by manifests."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from app.agents import datasets
from app.agents.datasets import DatasetEventRecord, DatasetRecord
from app.api.deps import DbDep, ListDb, PageSize, PageToken, Reader
from app.api.http.route import ApiRoute
from app.api.schemas import Data, Page

router = APIRouter(prefix="/v1/ai/datasets", tags=["datasets"], route_class=ApiRoute)

DatasetId = Annotated[str, Path(description="Id of a dataset.", examples=["ds_01k8zq5d3v"])]


@router.get("/{dataset_id}")
async def get(caller: Reader, db: DbDep, dataset_id: DatasetId) -> Data[DatasetRecord]:
    """A dataset, with its summary and its tags."""
    return Data(data=await datasets.get_dataset(db, caller, dataset_id))


@router.get("/{dataset_id}/events")
async def events(
    caller: Reader,
    db: ListDb,
    dataset_id: DatasetId,
    *,
    collection_id: Annotated[
        str | None, Query(description="Only those in this collection.", max_length=500)
    ] = None,
    page_token: PageToken = None,
    limit: PageSize = 50,
) -> Data[Page[DatasetEventRecord]]:
    """The events that were found in a dataset, by time."""
    items, token = await datasets.list_events(
        db, caller, dataset_id, collection_id=collection_id, limit=limit, page_token=page_token
    )
    return Data(data=Page(items=items, next_token=token))
