"""When another side wants to be asked again: by its own clock, where it says what that shows."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from app.invokers.web.statuses import retry_after


@pytest.mark.parametrize("hours", [-1, 0, 1])
def test_a_date_counts_from_the_date_of_the_answer(hours: int) -> None:
    """So it does not matter by how much the clocks differ."""
    theirs = datetime.now(UTC) + timedelta(hours=hours)
    until = format_datetime(theirs + timedelta(seconds=30), usegmt=True)
    headers = {"date": format_datetime(theirs, usegmt=True), "retry-after": until}
    assert retry_after(headers) == 30.0


@pytest.mark.parametrize("date", ["", "yesterday"])
def test_a_date_of_an_answer_without_one_counts_from_now(date: str) -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert retry_after({"date": date, "retry-after": until}) == pytest.approx(30, abs=3)
