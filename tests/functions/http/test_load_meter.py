import pytest

from eagleray.functions.http.load_meter import LoadMeter


def test_waits_and_work_over_time():
    meter = LoadMeter(0)
    meter.begin(1_000_000, arrived_us=500_000)  # waited 0.5 s
    meter.end(1_500_000)
    meter.begin(1_500_000)
    assert meter.mean(2_000_000) == pytest.approx((0.5 + 0.5 + 0.5) / 2)
    assert meter.mean(3_000_000) == 1.0
    meter.end(3_000_000)
    assert meter.mean(4_000_000) == 0.0


def test_twelve_who_ask_one_after_the_other_are_twelve():
    """Twelve callers in a closed loop on one worker: each request waits for eleven others."""
    meter, now_us = LoadMeter(0), 0
    last = [0] * 12
    for turn in range(1_200):
        caller = turn % 12
        meter.begin(now_us, arrived_us=max(last[caller], 1))
        now_us += 1_000
        meter.end(now_us)
        last[caller] = now_us
    assert meter.mean(now_us) == pytest.approx(12, rel=0.02)


def test_clocks_that_jump_do_no_harm():
    meter = LoadMeter(1_000)
    meter.begin(500, arrived_us=2_000)
    meter.end(400)
    assert meter.mean(1_000) == 0.0
    meter.begin(100_001_000, arrived_us=-(10**15))
    meter.end(100_001_000)
    assert meter.mean(200_001_000) == pytest.approx(60_000_000 / 200_000_000, rel=0.01)


def test_who_waited_for_the_process_to_start_counts_from_then_on() -> None:
    meter = LoadMeter(10_000_000)
    for _ in range(8):
        meter.begin(10_100_000, arrived_us=1_000_000)
    assert meter.mean(10_500_000) == 8.0
