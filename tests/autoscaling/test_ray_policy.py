"""Serve's own context object through our hook, without a running Serve; only the notes need a cluster."""

from eagleray.autoscaling import ray_policy
from eagleray.autoscaling.scale import Scale
from eagleray.runtime import ray_serve  # noqa: F401 - imports Serve without its warning

SCALE = Scale(min=0, max=4, target=4, up_delay_s=2, down_delay_s=5)


def context(*, app, target, reported, handles=0.0, now_s=0.0, state=None):
    from ray.serve._private.common import DeploymentID, ReplicaID
    from ray.serve.config import AutoscalingContext

    service = DeploymentID("ingress", app)
    return AutoscalingContext(
        deployment_id=service,
        deployment_name="ingress",
        app_name=app,
        current_num_replicas=target,
        target_num_replicas=target,
        running_replicas=[],
        total_num_requests=handles,
        total_queued_requests=0.0,
        aggregated_metrics={"in_flight": {ReplicaID(str(place), service): load for place, load in enumerate(reported)}},
        raw_metrics={},
        capacity_adjusted_min_replicas=0,
        capacity_adjusted_max_replicas=4,
        policy_state=state or {},
        last_scale_up_time=None,
        last_scale_down_time=None,
        current_time=now_s,
        config=None,
    )


def test_the_scale_becomes_serve_s_own_with_no_delay_of_its_own():
    config = ray_policy.autoscaling_config(SCALE)
    assert (config.min_replicas, config.max_replicas, config.initial_replicas) == (0, 4, 1)
    assert config.upscale_delay_s == config.downscale_delay_s == 0
    assert config.look_back_period_s == 2


def test_load_is_what_replicas_report_or_what_waits_at_handles():
    assert ray_policy.in_flight(context(app="a", target=2, reported=[3.0, 4.5])) == 7.5
    assert ray_policy.in_flight(context(app="a", target=0, reported=[], handles=2.0)) == 2.0


def test_every_change_is_noted_once(ray_cluster):
    policy = ray_policy.ServePolicy(min=0, max=4, target=4, up_delay_s=2, down_delay_s=5)
    state: dict[str, object] = {}
    for now_s, target in [(0.0, 1), (1.0, 1), (2.0, 1), (2.1, 3)]:
        count, state = policy(context(app="noted", target=target, reported=[12.0], now_s=now_s, state=state))
    assert count == 3
    # Serve woke the service from zero without asking.
    policy(context(app="noted", target=1, reported=[1.0], now_s=60.0, state={"seen": 0}))
    told = [(decision.before, decision.after, decision.reason) for decision in ray_policy.decisions("noted")]
    assert told == [(1, 3, "12 in flight for 2 s needs 3"), (0, 1, "a request waited for the first replica")]
    ray_policy.forget("noted")
    assert ray_policy.decisions("noted") == []
