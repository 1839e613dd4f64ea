"""A cache that is bounded by weight, and fair between those who fill it."""

from app.sizes.weighed_cache import WeighedCache


def test_what_was_used_last_is_kept() -> None:
    cache: WeighedCache[str, int] = WeighedCache(3)
    for key in "abc":
        cache.put("org", key, 1, 1)
    assert cache.get("org", "a") == 1
    cache.put("org", "d", 4, 1)
    assert [cache.get("org", key) for key in "abcd"] == [1, None, 1, 4]


def test_who_has_the_most_loses_first() -> None:
    cache: WeighedCache[str, int] = WeighedCache(10)
    cache.put("small", "a", 1, 2)
    for number in range(100):
        cache.put("large", str(number), number, 3)
    assert cache.get("small", "a") == 1
    assert [number for number in range(100) if cache.get("large", str(number))] == [98, 99]


def test_what_is_put_again_counts_once() -> None:
    cache: WeighedCache[str, int] = WeighedCache(10)
    for value in range(10):
        cache.put("org", "a", value, 6)
    assert cache.get("org", "a") == 9
    cache.put("org", "b", 1, 4)
    assert (cache.get("org", "a"), cache.get("org", "b")) == (9, 1)


def test_what_weighs_more_than_there_may_be_is_not_kept() -> None:
    cache: WeighedCache[str, int] = WeighedCache(10)
    cache.put("org", "a", 1, 5)
    cache.put("other", "b", 2, 11)
    assert (cache.get("org", "a"), cache.get("other", "b")) == (1, None)
