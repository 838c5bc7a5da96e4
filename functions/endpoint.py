"""A function that is served: deployed, and called over HTTP as if it were here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..autoscaling.scale import Scale
from ..runtime.bundle import content_hash, local_modules
from ..runtime.errors import InputError
from ..runtime.packages import Packaged
from ..runtime.settings import Settings
from ..runtime.stateful import Stateful
from .calls.frames import plain
from .calls.pydantic_signature import Signature, hints_of
from .calls.spec import FunctionSpec
from .http.api_keys import ApiKeys
from .http.function_app import Travelled, travelled_app
from .http.http_app import HttpApp, HttpOptions
from .rollouts.deployed import Deployed
from .rollouts.rollout import Rollout, Trial
from .rollouts.service import Service

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, slots=True)
class FunctionEndpoint(Deployed):
    """A deployed function; `parameters` are the names of its arguments, in order."""

    parameters: tuple[str, ...] = ()

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """The result over HTTP, as JSON's types; raises the error the service answered with."""
        return self._client().post("", self._named(args, kwargs))

    def stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """What a generator function yields, as it comes; an error in the middle is raised there."""
        return self._client().events("", self._named(args, kwargs))

    def _named(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        if len(args) > len(self.parameters):
            raise InputError(f"{self.name} takes {len(self.parameters)} arguments, not {len(args)}")
        given = dict(zip(self.parameters, args, strict=False))
        twice = sorted(given.keys() & kwargs.keys())
        if twice:
            raise InputError(f"{self.name}: {twice[0]!r} is given twice, by place and by name")
        return {name: plain(value) for name, value in (given | kwargs).items()}


def deploy(
    fn: Callable[..., Any], spec: FunctionSpec, *, settings: Settings, http: HttpOptions | None, trial: Trial
) -> FunctionEndpoint:
    """Starts or updates the function's service; raises `DefinitionError` for hints that cannot be served,
    `DeploymentError` with the reason when no replica comes up."""
    hints = hints_of(fn)
    signature = Signature.of(fn, hints=hints)
    http = http or HttpOptions(keys=ApiKeys.of(settings.api_keys))
    code = fn.cls if isinstance(fn, Stateful) else fn
    content = content_hash(code)[:12]
    service = Service(
        name=spec.name,
        build=_build((fn, hints), spec, http, content),
        content=content,
        identity=f"{content}\0{dict(spec.init)}\0{spec.packages}\0{spec.concurrency}\0{http}",
        modules=local_modules(code),
        resources=spec.resources,
        scale=spec.scale or Scale(),
    )
    url = Rollout(spec.name, settings).start(service, trial)
    names = tuple(one.name for one in signature.parameters)
    return FunctionEndpoint(spec.name, url, content, names, settings=settings)


def _build(called: Travelled, spec: FunctionSpec, http: HttpOptions, content: str) -> Callable[[], HttpApp]:
    """What runs in each replica to make its application; it names nothing that only a deployment needs."""
    options = replace(http, version=content)
    if spec.packages:  # read back only once they are there
        import cloudpickle

        packed = Packaged(spec.packages, cloudpickle.dumps(called))
        return lambda: travelled_app(packed.open(), spec, options)
    return lambda: travelled_app(called, spec, options)
