"""What a function takes and gives back, read from its hints: one parser for HTTP bodies, command lines and runs."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, NotRequired, Required, Union, get_args, get_origin, get_type_hints

import pydantic
from pydantic import ConfigDict, PlainSerializer, PlainValidator, TypeAdapter, WithJsonSchema
from typing_extensions import TypedDict

from ...runtime.errors import DefinitionError, InputError, did_you_mean
from .frames import ARRAYS, kind_of, plain, reader

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
_CONFIG = {"arbitrary_types_allowed": True, "ser_json_inf_nan": "null", "ser_json_bytes": "base64"}
_ROWS = {"type": "array", "items": {"type": "object"}}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument: its hint (`Any` where there is none), and its default where it has one."""

    name: str
    hint: Any
    required: bool
    default: Any = None


_ANY: TypeAdapter[Any] = TypeAdapter(Any, config=ConfigDict(**_CONFIG))  # type: ignore[typeddict-item]


class Signature:
    """Made with `Signature.of(fn)`; parsing raises `InputError` that names the argument and what is wrong with it."""

    def __init__(self, fn: Callable[..., Any], hints: Mapping[str, Any]) -> None:
        self.name = getattr(fn, "__name__", type(fn).__name__)
        found = inspect.signature(fn)
        positional: list[str] = []
        self._starred = self._double_starred = ""
        self.parameters: list[Parameter] = []
        for parameter in found.parameters.values():
            hint = hints.get(parameter.name, Any)
            required = parameter.default is inspect.Parameter.empty
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                self._double_starred = parameter.name
                continue
            if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
                positional.append(parameter.name)
            elif parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                self._starred, hint, required = parameter.name, list[hint], False  # type: ignore[valid-type]
            default = None if required else parameter.default
            self.parameters.append(Parameter(parameter.name, hint, required, default))
        self._positional = tuple(positional)
        self.returns = hints.get("return", Any)
        self._arguments = self._adapter()
        rest: Any = dict.__class_getitem__((str, _typed(hints.get(self._double_starred, Any))))
        self._rest = _adapter_of(rest, self.name)
        self._result = _adapter_of(_typed(self.returns), self.name)
        self._texts = {one.name: _takes_text(one.hint) for one in self.parameters}

    @classmethod
    def of(cls, fn: Callable[..., Any], *, hints: Mapping[str, Any] | None = None) -> Signature:
        """The signature of a function, or of an object by its class's method; raises `DefinitionError`.

        `hints` are those that `hints_of` read where the function was written: a name that only a hint mentions does
        not travel with the code.
        """
        return cls(fn, hints_of(fn) if hints is None else hints)

    def parse(self, values: Mapping[str, Any]) -> Arguments:
        """Arguments from values by name, each checked and turned into what its hint says."""
        try:
            return self._split(self._arguments.validate_python(values))
        except pydantic.ValidationError as error:
            raise self._wrong(error) from None

    def parse_json(self, body: bytes) -> Arguments:
        """Arguments from a JSON object."""
        try:
            return self._split(self._arguments.validate_json(body or b"{}"))
        except pydantic.ValidationError as error:
            raise self._wrong(error) from None

    def parse_texts(self, flags: Mapping[str, Sequence[str]], **values: Any) -> Arguments:
        """Arguments from a command line: a flag's texts are JSON where the hint is no text, several make a list.

        `values` are arguments that are no texts.
        """
        return self.parse({name: self._read(name, texts) for name, texts in flags.items()} | values)

    def dump_json(self, value: Any) -> bytes:
        """A result as JSON; raises `InputError` for what JSON cannot hold."""
        return self._written(self._result, value)

    def dump_item(self, value: Any) -> bytes:
        """One of the values that a generator function yields, as JSON."""
        return self._written(_ANY, value)

    def _written(self, adapter: TypeAdapter[Any], value: Any) -> bytes:
        try:
            return adapter.dump_json(value, warnings=False, fallback=plain)
        except (pydantic.ValidationError, pydantic.PydanticSchemaGenerationError, ValueError, TypeError) as error:
            raise InputError(
                f"{self.name} returned a {type(value).__name__}, which is no JSON ({_first_line(error)}): "
                "return numbers, texts, lists, objects, a dataclass or a frame"
            ) from None

    @property
    def takes_more(self) -> bool:
        """True where it has `**kwargs`."""
        return bool(self._double_starred)

    @property
    def takes_any_name(self) -> bool:
        """True for `**kwargs`."""
        return bool(self._double_starred)

    @property
    def schema(self) -> dict[str, Any]:
        """The arguments as a JSON schema (an object)."""
        return self._arguments.json_schema(ref_template="#/components/schemas/{model}")

    @property
    def result_schema(self) -> dict[str, Any]:
        """The result as a JSON schema."""
        try:
            return self._result.json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
        except pydantic.errors.PydanticInvalidForJsonSchema:
            return {}

    def _adapter(self) -> TypeAdapter[dict[str, Any]]:
        fields: dict[str, Any] = {}
        for one in self.parameters:
            typed = _typed(one.hint)
            fields[one.name] = Required[typed] if one.required else NotRequired[typed]
        made_of: Any = TypedDict
        shape = made_of(self.name, fields)
        extra = "allow" if self._double_starred else "forbid"
        shape.__pydantic_config__ = ConfigDict(extra=extra, **_CONFIG)  # type: ignore[typeddict-item]
        found: TypeAdapter[dict[str, Any]] = _adapter_of(shape, self.name)
        return found

    def _split(self, values: dict[str, Any]) -> Arguments:
        """By-name values as a call: what may only be given by place, then the rest."""
        if self._double_starred:
            more = {name: values.pop(name) for name in values.keys() - self._texts.keys()}
            values.update(self._rest.validate_python(more))
        if not self._positional and not self._starred:
            return (), values
        starred = values.pop(self._starred, [])
        places: list[Any] = []
        names = self._positional
        if starred:  # what follows by place can only be reached through those before it
            names = tuple(one.name for one in self.parameters if one.name != self._starred and one.name in values)
        for name in names:
            if name not in values:
                break
            places.append(values.pop(name))
        return (*places, *starred), values

    def _read(self, name: str, texts: Sequence[str]) -> Any:
        if self._texts.get(name, False):
            return texts[-1]
        values = [_json_or_text(text) for text in texts]
        return values[-1] if len(values) == 1 else values

    def _wrong(self, error: pydantic.ValidationError) -> InputError:
        first = error.errors(include_url=False)[0]
        place = [str(part) for part in first["loc"]]
        known = [one.name for one in self.parameters]
        if first["type"] == "json_invalid":
            return InputError(f"{self.name}: the body is no JSON ({first['ctx']['error']}): send one object")
        if not place:
            return InputError(f"{self.name}: give its arguments as one object, by name: {', '.join(known) or 'none'}")
        if first["type"] == "extra_forbidden":
            return InputError(f"{self.name} takes no {place[0]!r}{did_you_mean(place[0], known)}")
        if first["type"] == "missing" and len(place) == 1:
            return InputError(f"{self.name} needs {place[0]!r}: {_described(self.parameters, place[0])}")
        said = first["msg"].removeprefix("Value error, ")
        return InputError(f"{self.name}: {'.'.join(place)} is {_short(first['input'])}: {said[:1].lower()}{said[1:]}")


def hints_of(fn: Callable[..., Any]) -> dict[str, Any]:
    """The function's hints as types, by name; raises `DefinitionError` for one that cannot be read."""
    plain: Any = getattr(fn, "callable", fn)  # of a Function, what it calls
    called: Any = getattr(plain, "called", plain)  # of a class with state, its method
    target = called if inspect.isfunction(called) or inspect.ismethod(called) else type(called).__call__
    try:
        return get_type_hints(inspect.unwrap(target), include_extras=True)
    except NameError as error:
        name = getattr(fn, "__name__", type(fn).__name__)
        raise DefinitionError(
            f"{name}: a hint cannot be read ({error}): import that name at the top of the module, "
            "not under TYPE_CHECKING or in a function"
        ) from None


def _typed(hint: Any) -> Any:
    """The hint as pydantic reads it: tables and arrays get a reader of ours, also one level down (unions, lists)."""
    kind = kind_of(hint)
    if kind is not None:
        schema = {"type": "array"} if kind in ARRAYS or kind.endswith("Series") else _ROWS
        return Annotated[
            Any,
            PlainValidator(reader(kind)),
            PlainSerializer(plain, return_type=Any, when_used="json"),
            WithJsonSchema(schema),
        ]
    inner, origin = get_args(hint), get_origin(hint)
    if not inner or origin in (Literal, Annotated, Callable):
        return hint
    typed = tuple(_typed(one) for one in inner)
    if typed == inner:
        return hint
    return Union[typed] if origin in (Union, UnionType) else origin[typed]  # noqa: UP007 - made of a tuple


def _adapter_of(hint: Any, name: str) -> TypeAdapter[Any]:
    try:
        if hasattr(hint, "__pydantic_config__") or _has_config(hint):
            return TypeAdapter(hint)
        return TypeAdapter(hint, config=ConfigDict(**_CONFIG))  # type: ignore[typeddict-item]
    except pydantic.PydanticSchemaGenerationError as error:
        raise DefinitionError(f"{name}: a hint is no type that can be checked ({_first_line(error)})") from None


def _has_config(hint: Any) -> bool:
    """pydantic lets nobody configure a type that configures itself."""
    return isinstance(hint, type) and (
        hasattr(hint, "model_fields") or hasattr(hint, "__dataclass_fields__") or hasattr(hint, "__total__")
    )


def _takes_text(hint: Any) -> bool:
    """True where a text must stay a text: '12' is a name there, not a number."""
    return hint is str or (bool(get_args(hint)) and str in get_args(hint) and not isinstance(hint, type))


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _described(parameters: Sequence[Parameter], name: str) -> str:
    hint = next(one.hint for one in parameters if one.name == name)
    return f"give {getattr(hint, '__name__', str(hint)) if hint is not Any else 'any value'}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
