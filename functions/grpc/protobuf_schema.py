"""Messages as .proto files describe them, made when they are first needed.

The files are what clients compile. Read here, they need no generated code beside them, which would have to be kept in
step and asks for its own version of protobuf.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, struct_pb2

from ...runtime.errors import DefinitionError

_FILES = ("functions.proto", "health.proto", "inference.proto")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_TOKEN = re.compile(r'"[^"]*"|[\w.]+|[{}()<>=;,]')
_FIELD = descriptor_pb2.FieldDescriptorProto
_SCALARS = {name.removeprefix("TYPE_").lower(): number for name, number in _FIELD.Type.items()}
_NAMED = ("message", "enum")


@cache
def schema() -> Schema:
    """The services of this package."""
    found = Schema()
    for name in _FILES:
        found.add(Path(__file__).with_name(name).read_text(encoding="utf-8"), name=f"eagleray/{name}")
    return found


class Schema:
    """Messages and services by full name, in a pool of their own: another library may bring the same names."""

    def __init__(self) -> None:
        self.pool = descriptor_pool.DescriptorPool()
        self.services: list[str] = []
        self._kinds: dict[str, int] = {}
        self._add(descriptor_pb2.FileDescriptorProto.FromString(struct_pb2.DESCRIPTOR.serialized_pb))

    def add(self, text: str, *, name: str) -> None:
        """Adds a file's messages and services; raises `DefinitionError` for what is not understood."""
        file = descriptor_pb2.FileDescriptorProto(name=name)
        _Reader(text, file).read()
        self._add(file)

    def message(self, name: str) -> Any:
        """The class of a message, by its full name."""
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(name))

    def _add(self, file: Any) -> None:
        for one in file.message_type:
            self._declare(one, file.package)
        for one in file.enum_type:
            self._kinds[f"{file.package}.{one.name}"] = _FIELD.TYPE_ENUM
        for one in file.message_type:
            self._resolve(one, file.package)
        for service in file.service:
            self.services.append(f"{file.package}.{service.name}")
            for method in service.method:
                method.input_type = f".{self._found(method.input_type, file.package)}"
                method.output_type = f".{self._found(method.output_type, file.package)}"
        self.pool.AddSerializedFile(file.SerializeToString())

    def _declare(self, message: Any, scope: str) -> None:
        name = f"{scope}.{message.name}"
        self._kinds[name] = _FIELD.TYPE_MESSAGE
        for one in message.enum_type:
            self._kinds[f"{name}.{one.name}"] = _FIELD.TYPE_ENUM
        for one in message.nested_type:
            self._declare(one, name)

    def _resolve(self, message: Any, scope: str) -> None:
        """Whole names instead of those that depend on where they stand."""
        name = f"{scope}.{message.name}"
        for field in message.field:
            if field.type_name and not field.type_name.startswith("."):
                found = self._found(field.type_name, name)
                field.type_name, field.type = f".{found}", self._kinds[found]
        for one in message.nested_type:
            self._resolve(one, name)

    def _found(self, name: str, scope: str) -> str:
        if name.startswith("."):
            return name[1:]
        while True:
            found = f"{scope}.{name}" if scope else name
            if found in self._kinds:
                return found
            if not scope:
                raise DefinitionError(f"no message or enum {name!r}: declare it, or import its file")
            scope = scope.rpartition(".")[0]


class _Reader:
    """Reads one file: proto3 with messages, enums, oneofs, maps and services; options are passed over."""

    def __init__(self, text: str, file: Any) -> None:
        self._tokens: Iterator[str] = iter(_TOKEN.findall(_COMMENT.sub("", text)))
        self._file = file

    def read(self) -> None:
        declares: Mapping[str, Any] = {
            "message": lambda: self._message(self._file.message_type.add()),
            "enum": lambda: self._enum(self._file.enum_type.add()),
            "service": lambda: self._service(self._file.service.add()),
        }
        for token in self._tokens:
            if token in declares:
                declares[token]()
                continue
            line = self._until(";")
            if token == "syntax":
                self._file.syntax = line[1].strip('"')
            elif token == "package":
                self._file.package = line[0]
            elif token == "import":
                self._file.dependency.append(line[-1].strip('"'))
            elif token != "option":
                raise DefinitionError(f"{self._file.name}: {token!r} is not understood here")

    def _message(self, message: Any) -> None:
        message.name, _ = next(self._tokens), next(self._tokens)
        for token in self._tokens:
            if token == "}":
                return
            if token == "message":
                self._message(message.nested_type.add())
            elif token == "enum":
                self._enum(message.enum_type.add())
            elif token == "oneof":
                self._oneof(message)
            elif token == "map":
                self._map(message)
            elif token in ("option", "reserved"):
                self._until(";")
            else:
                self._field(message.field.add(), token)

    def _field(self, field: Any, token: str) -> None:
        repeated = token == "repeated"
        field.label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
        self._typed(field, next(self._tokens) if repeated else token)
        field.name, _, number, *_ = self._until(";")
        field.number = int(number)

    def _typed(self, field: Any, name: str) -> None:
        if name in _SCALARS and name not in _NAMED:
            field.type = _SCALARS[name]
        else:
            field.type_name = name

    def _oneof(self, message: Any) -> None:
        message.oneof_decl.add(name=next(self._tokens))
        next(self._tokens)
        for token in self._tokens:
            if token == "}":
                return
            self._field(message.field.add(oneof_index=len(message.oneof_decl) - 1), token)

    def _map(self, message: Any) -> None:
        _, key, _, value, _, name, _, number, *_ = self._until(";")
        entry = message.nested_type.add(name="".join(part.capitalize() for part in name.split("_")) + "Entry")
        entry.options.map_entry = True
        for place, (part, kind) in enumerate((("key", key), ("value", value)), 1):
            field = entry.field.add(name=part, number=place, label=_FIELD.LABEL_OPTIONAL)
            self._typed(field, kind)
        message.field.add(name=name, number=int(number), label=_FIELD.LABEL_REPEATED, type_name=entry.name)

    def _enum(self, enum: Any) -> None:
        enum.name, _ = next(self._tokens), next(self._tokens)
        for token in self._tokens:
            if token == "}":
                return
            _, number, *_ = self._until(";")
            enum.value.add(name=token, number=int(number))

    def _service(self, service: Any) -> None:
        service.name, _ = next(self._tokens), next(self._tokens)
        for token in self._tokens:
            if token == "}":
                return
            name, _, *taken = self._until(")")
            _, _, *given = self._until(")")
            if next(self._tokens) == "{":
                self._until("}")
            service.method.add(
                name=name,
                input_type=taken[-1],
                output_type=given[-1],
                client_streaming=taken[0] == "stream" and len(taken) > 1,
                server_streaming=given[0] == "stream" and len(given) > 1,
            )

    def _until(self, end: str) -> list[str]:
        found: list[str] = []
        for token in self._tokens:
            if token == end:
                return found
            found.append(token)
        raise DefinitionError(f"{self._file.name} ends where {end!r} is missing")
