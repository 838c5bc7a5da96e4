"""How Serve is told to scale a service: between two numbers of replicas, as a policy of ours decides."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

with warnings.catch_warnings():
    # Serve declares its settings in a way that pydantic has deprecated, and says so at import.
    warnings.simplefilter("ignore", DeprecationWarning)
    from ray.serve.config import AutoscalingConfig, AutoscalingPolicy

_REPORT_EVERY_S = 0.5


def autoscaling(
    policy: str, arguments: Mapping[str, Any], *, least: int, most: int, target: float, window_s: float
) -> AutoscalingConfig:
    """Replicas from `least` to `most` as the class at "module:Class", made with `arguments`, decides.

    Load is averaged over `window_s`. Delays are the policy's own, so Serve's are zero.
    """
    with warnings.catch_warnings():
        # The interval is deprecated in favour of a variable that replicas do not read yet.
        warnings.simplefilter("ignore")
        return AutoscalingConfig(
            min_replicas=least,
            max_replicas=most,
            initial_replicas=max(1, least),
            target_ongoing_requests=target,
            upscale_delay_s=0.0,
            downscale_delay_s=0.0,
            metrics_interval_s=_REPORT_EVERY_S,
            look_back_period_s=window_s,
            policy=AutoscalingPolicy(policy_function=policy, policy_kwargs=dict(arguments)),  # type: ignore[no-untyped-call]
        )
