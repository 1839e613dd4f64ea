"""Settings of the HTTP process: itself, its lists, and what requests may take."""

from pydantic import BaseModel, Field

from app.settings.types import CommaList


class ApiSettings(BaseModel):
    """The HTTP process."""

    host: str = "127.0.0.1"
    port: int = 8000
    max_head_bytes: int = Field(
        32_768, ge=1_024, description="More in a request's address and headers gets 431"
    )
    head_seconds: float = Field(10.0, gt=0, description="Headers that take longer to come get 408")
    max_body_bytes: int = Field(
        5_000_000, gt=0, description="Larger bodies get 413; of most endpoints, over 64 KB"
    )
    max_body_values: int = Field(
        20_000, gt=0, description="JSON with more values in it gets 400 unparsed"
    )
    body_seconds: float = Field(30.0, gt=0, description="A body that takes longer to come gets 408")
    answer_seconds: float = Field(
        60.0, gt=0, description="A connection whose client takes none of an answer is closed then"
    )
    max_connections: int = Field(
        4_096, gt=0, description="With one more, the one that is idle longest is closed"
    )
    max_wait_seconds: float = Field(30.0, gt=0, description="Upper bound of every `wait`")
    pool_size: int = Field(16, gt=0, description="PostgreSQL connections of the hot path")
    root_path: str = Field(
        "", pattern=r"^(/[\w.~-]+)*$", description="Prefix below which a proxy serves the API"
    )
    cors_origins: CommaList[str] = Field(
        default=[], description="Origins whose pages may call the API; `*`: all"
    )
    keep_alive_seconds: int = Field(
        75, gt=0, description="An idle connection is closed then; longer than a proxy keeps its own"
    )


class ListSettings(BaseModel):
    """Lists and searches: connections of their own, which orgs share."""

    pool_size: int = Field(6, gt=0, description="PostgreSQL connections of lists and searches")
    org_connections: int = Field(3, gt=0, description="Most of them that one org uses at once")
    org_waiting: int = Field(
        50, ge=0, description="Lists and searches of one org that may wait; one more gets 429"
    )
    wait_seconds: float = Field(
        5.0, gt=0, description="A list or search that waits longer for a connection gets 503"
    )
    statement_seconds: float = Field(
        5.0, gt=0, description="A list or search that takes longer gets 503"
    )
    page_bytes: int = Field(
        2_000_000,
        gt=0,
        description="What a page of messages or of stored documents holds, but one in any case",
    )
    fork_bytes: int = Field(
        20_000_000, gt=0, description="Most that the messages of a thread may hold to be forked"
    )


class RequestSettings(BaseModel):
    """What one org may take of one process of the API; over it, 429."""

    org_per_second: float = Field(2_000.0, gt=0, description="Requests of an org, each second")
    burst_seconds: float = Field(
        20.0, ge=0, description="Requests of so many seconds may come at once"
    )
    org_at_once: int = Field(
        500, gt=0, description="Requests of an org that are answered, or held by a `wait`, at once"
    )
    session_waits: int = Field(
        100, gt=0, description="Requests that wait for one session, or thread, at once"
    )
    org_body_bytes: int = Field(
        100_000_000, gt=0, description="Bytes of the bodies of those requests"
    )
    key_share: float = Field(
        0.5, gt=0, le=1, description="Of the requests of an org, those that one key may send"
    )
