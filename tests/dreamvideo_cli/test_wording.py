"""Numbers as people say them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from dreamvideo_cli.wording import (
    age_text,
    bytes_text,
    count_text,
    duration_between,
    duration_text,
    option_name,
    size_text,
    value_text,
)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (123_456, "123 kB"), (1_500_000_000, "1.5 GB"),
     (2 * 10**12, "2.0 TB"), (5 * 10**15, "5000.0 TB")],
)  # fmt: skip
def test_bytes(count: int, text: str) -> None:
    assert bytes_text(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0 s"), (0.4, "0 s"), (99, "99 s"), (100, "2 min"), (5969, "99 min"), (6000, "1 h 40 min"), (7200, "2 h"),
     (7190, "2 h")],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        ("2026-01-10T12:00:30+00:00", "just now"),
        ("2026-01-10T12:00:00+00:00", "1 minute ago"),
        ("2026-01-10T13:00:00+02:00", "1 hour ago"),
        ("2026-01-07T12:00:00", "3 days ago"),
        ("2025-11-01T12:00:00+00:00", "2 months ago"),
        ("2020-01-10T12:00:00+00:00", "6 years ago"),
        ("2031-01-10T12:00:00+00:00", "just now"),  # a clock that went backwards
    ],
)
def test_ages(moment: str, text: str) -> None:
    assert age_text(moment, datetime(2026, 1, 10, 12, 1, tzinfo=UTC)) == text


def test_time_between_two_moments_counts_their_zones() -> None:
    assert duration_between("2026-01-01T10:00:00+00:00", "2026-01-01T12:00:00+01:00") == "60 min"
    assert duration_between("2026-01-01T10:00:00", "2026-01-01T12:00:00+01:00") == "60 min"


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "off"), (True, "yes"), (False, "no"), (1e-5, "1e-05"), (9.0, "9"), ((320, 256), "320x256"),
     ([0.9, 0.999], "0.9, 0.999"), ([1, 2, 3], "[1, 2, 3]"), ("a *", "a *"), (7, "7")],
)  # fmt: skip
def test_values_read_as_their_options_are_written(value: object, text: str) -> None:
    assert value_text(value) == text


def test_counts_sizes_and_option_names() -> None:
    assert [count_text(n, "step") for n in (0, 1, 3000)] == ["0 steps", "1 step", "3,000 steps"]
    assert size_text((640, 480)) == "640x480"
    assert option_name("token_steps") == "--token-steps"
