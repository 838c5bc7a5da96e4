"""A pipeline as one function: what jobs, schedules and the shell call."""

from __future__ import annotations

import inspect

from ...functions.function import Function, function
from ...functions.runs.current_run import current_run
from ...runtime import ray_cluster
from ...runtime.settings import Settings
from .declared import Declared
from .pipeline_run import PipelineRun


def as_function(pipeline: Declared) -> Function[..., PipelineRun]:
    """A function of the pipeline's parameters, by name, that runs its steps on Ray where its process has one.

    Its own tracked run, where it has one, is that of the whole.
    """

    def run(**parameters: object) -> PipelineRun:
        from .start import RunOptions, start

        around = current_run()
        inside = around.id if around is not None else ""
        on = "ray" if ray_cluster.is_up() else "here"
        return start(pipeline, parameters, RunOptions(on, None, True, Settings.from_env(), inside))

    run.__name__ = run.__qualname__ = pipeline.name
    run.__doc__ = f"Runs the pipeline {pipeline.name}."
    run.__annotations__ = {one.name: one.hint for one in pipeline.parameters}
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                one.name, inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty if one.required else one.default,
            )
            for one in pipeline.parameters
        ]
    )  # fmt: skip
    # Whoever drives a run waits for its steps: that takes no core.
    made: Function[..., PipelineRun] = function(cpus=0, name=pipeline.name)(run)
    return made
