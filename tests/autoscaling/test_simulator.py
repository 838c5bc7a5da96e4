from eagleray.autoscaling.history import ScalingDecision, pack, unpack
from eagleray.autoscaling.scale import Scale
from eagleray.autoscaling.simulator import simulate


def test_a_step_of_load_costs_the_delay_and_the_start():
    trace = [(float(second), 12.0 if 10 <= second < 40 else 1.0) for second in range(90)]
    run = simulate(trace, scale=Scale(min=1, max=3, target=4, up_delay_s=2, down_delay_s=10), start_s=3.0)
    assert [(decision.time_s, decision.after) for decision in run.decisions] == [(12, 3), (50, 1)]
    assert run.overload_s == 5
    assert run.replica_s == 12 + 3 * 38 + 39


def test_no_load_and_no_least_costs_nothing():
    run = simulate([(float(second), 0.0) for second in range(60)], scale=Scale(min=0, max=2))
    assert run.decisions == ()
    assert run.replica_s == 0


def test_decisions_travel_as_a_note():
    decision = ScalingDecision(1.5, 12.0, 1, 3, "12 in flight for 2 s needs 3")
    assert unpack(pack([decision])) == [decision]
    assert unpack(None) == []
    assert str(decision) == "load 12 in flight -> 3 replicas"
    assert len(unpack(pack([decision] * 500))) == 200
