"""The names of keys in Redis, all under the namespace of the settings."""


def queue_key(namespace: str, queue: str) -> str:
    """What the keys of a queue start with.

    Followed by `:of:` and a party, it is the sorted set of that party's steps by the time at which
    they are due. A party is an org, or what of an org can wait for others: all but the first steps
    of a large map. The release before this one had all steps in two sets: in the key itself, and in
    that of `old_bulk_key`.
    """
    return f"{namespace}:queue:{queue}"


def old_bulk_key(namespace: str, queue: str) -> str:
    """Where the release before this one had what can wait for others."""
    return f"{queue_key(namespace, queue)}:bulk"


def turns_key(namespace: str, queue: str) -> str:
    """The sorted set of the parties by when it is their turn."""
    return f"{queue_key(namespace, queue)}:turns"


def wake_key(namespace: str, queue: str) -> str:
    """The list that a waiting worker pops from."""
    return f"{queue_key(namespace, queue)}:wake"


def wake_channel(namespace: str) -> str:
    """The channel of the ids of sessions that changed."""
    return f"{namespace}:wake"


def cancel_channel(namespace: str) -> str:
    """The channel of the ids of invocations that ended before their steps."""
    return f"{namespace}:cancelled"


def worker_key(namespace: str, worker: str) -> str:
    """What a worker that lives has; `*` for the pattern of all."""
    return f"{namespace}:worker:{worker}"


def partial_key(namespace: str, step_id: str, attempt: int) -> str:
    """What one attempt has generated so far."""
    return f"{namespace}:partial:{step_id}:{attempt}"


def partial_keys(namespace: str, step_id: str, attempt: int) -> list[str]:
    """What all attempts up to that one have generated."""
    return [partial_key(namespace, step_id, number) for number in range(1, attempt + 1)]
