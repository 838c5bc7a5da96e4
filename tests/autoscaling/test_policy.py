import math

from hypothesis import given
from hypothesis import strategies as st

from eagleray.autoscaling.policy import Memory, decide
from eagleray.autoscaling.scale import Scale

SCALE = Scale(min=0, max=4, target=4, up_delay_s=2, down_delay_s=10, idle_delay_s=30)


def run(trace, *, current, scale=SCALE):
    """(seconds, load) pairs to the counts after each."""
    memory, counts = Memory(), []
    for now_s, load in trace:
        decision = decide(load, current=current, scale=scale, now_s=now_s, memory=memory)
        current, memory = decision.replicas, decision.memory
        counts.append(current)
    return counts


def test_more_load_adds_replicas_after_the_delay():
    assert run([(0, 12), (1, 12), (2, 12)], current=1) == [1, 1, 3]


def test_a_short_burst_adds_none():
    assert run([(0, 12), (1.9, 12), (2, 4), (3, 12), (4.9, 12)], current=1) == [1] * 5


def test_less_load_removes_them_later_and_no_further_than_the_delay_saw():
    assert run([(0, 1), (5, 7), (10, 1), (10.1, 1), (20.1, 1)], current=4) == [4, 4, 2, 2, 1]


def test_a_load_near_the_edge_changes_nothing():
    assert run([(0, 8.5), (60, 8.7), (120, 7.5), (180, 7.3)], current=2) == [2] * 4


def test_from_zero_at_once_and_to_zero_after_idling():
    assert run([(0, 0), (1, 0.2)], current=0) == [0, 1]
    assert run([(0, 0), (10, 0), (29, 0), (30, 0)], current=1) == [1, 1, 1, 0]
    assert run([(0, 0), (20, 0.1), (31, 0), (60, 0), (61, 0)], current=1) == [1, 1, 1, 1, 0]


def test_never_above_the_most_nor_below_the_least():
    assert run([(0, 1e6), (2, 1e6)], current=1) == [1, 4]
    kept = Scale(min=2, max=4, target=4, down_delay_s=0)
    assert run([(0, 0), (1000, 0)], current=2, scale=kept) == [2, 2]
    assert run([(0, 0)], current=7, scale=kept) == [4]


def test_the_reason_says_load_and_time():
    memory = decide(12, current=1, scale=SCALE, now_s=0, memory=Memory()).memory
    assert decide(12, current=1, scale=SCALE, now_s=2, memory=memory).reason == "12 in flight for 2 s needs 3"
    assert "asks for 3, waiting 2 s" in decide(12, current=1, scale=SCALE, now_s=1, memory=memory).reason


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 100)), max_size=60), st.integers(0, 4))
def test_a_steady_load_ends_where_it_fits(steps, current):
    """Whatever came before, an hour of the same load leaves the count that the load needs, give or take the slack."""
    now_s, memory = 0.0, Memory()
    for gap_s, load in steps:
        now_s += gap_s
        decision = decide(load, current=current, scale=SCALE, now_s=now_s, memory=memory)
        current, memory = decision.replicas, decision.memory
    load = steps[-1][1] if steps else 0.0
    for _ in range(20):
        now_s += 180
        decision = decide(load, current=current, scale=SCALE, now_s=now_s, memory=memory)
        current, memory = decision.replicas, decision.memory
    exact = min(SCALE.max, math.ceil(load / SCALE.target))
    assert abs(current - exact) <= 1
    assert (
        current == exact
        or abs(load - min(current, exact) * SCALE.target) <= 0.1 * SCALE.target * max(current, 1) + 1e-6
    )
