"""Clock offsets are measured, proposed and applied from a date on."""

from __future__ import annotations

from soc.ingest.offsets import SAMPLES, OffsetMeter, OffsetsInForce

HOUR_S = 3600
NOW = 1_800_000_000_000_000


def _measured(offset_s: float, jitter_s: float = 3.0, samples: int = SAMPLES) -> OffsetMeter:
    meter = OffsetMeter()
    for step in range(samples):
        meter.sample("fw", NOW - round((offset_s + jitter_s * (step % 3)) * 1e6), NOW)
    return meter


def test_a_device_seven_hours_behind_is_proposed_seven_hours() -> None:
    """A device whose clock shows UTC as local time is 7 hours behind: 25,200 s are proposed."""
    assert _measured(7 * HOUR_S).proposal_s("fw") == 7 * HOUR_S


def test_a_device_ahead_is_proposed_a_negative_offset() -> None:
    """A device that writes local time as UTC is ahead."""
    assert _measured(-7 * HOUR_S).proposal_s("fw") == -7 * HOUR_S


def test_ordinary_delay_is_no_proposal() -> None:
    """A minute of transport delay is measured and left alone: the clock is right, the correction is 0."""
    meter = _measured(45)
    assert meter.proposal_s("fw") == 0
    assert meter.measured_s("fw") == 48.0


def test_a_backlog_is_no_clock_fault() -> None:
    """Old lines read in one go lie all over the hours: no single offset explains them."""
    meter = OffsetMeter()
    for step in range(SAMPLES):
        meter.sample("fw", NOW - step * 1_000_000_000, NOW)
    assert meter.proposal_s("fw") is None


def test_a_few_records_are_not_enough() -> None:
    """Nothing is said before half of the samples are there."""
    assert _measured(7 * HOUR_S, samples=SAMPLES // 2 - 1).proposal_s("fw") is None


def test_the_newest_fact_at_or_before_the_time_is_in_force() -> None:
    """Facts are dated; before the first the configured offset holds."""
    facts = [{"source": "fw", "from_us": 1000, "offset_s": 25200}, {"source": "fw", "from_us": 2000, "offset_s": 0}]
    offsets = OffsetsInForce({"fw": 60.0, "mail": -1.5}, facts)
    assert [offsets("fw", at) for at in (999, 1000, 1999, 2000)] == [60_000_000, 25_200_000_000, 25_200_000_000, 0]
    assert offsets("mail", 5) == -1_500_000
    assert offsets("other", 5) == 0
