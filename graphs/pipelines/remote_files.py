"""Files below a URI, through pyarrow's file systems."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from ...runtime.errors import DefinitionError, StorageError

# Their files appear when they are closed, whole; elsewhere a rename does that.
_OBJECT_STORES = {"s3", "gcs"}


@dataclass(frozen=True, slots=True)
class RemoteFiles:
    """See `contents.Files`; `system` is a pyarrow.fs.FileSystem."""

    uri: str
    system: Any
    folder: str

    @classmethod
    def at(cls, uri: str) -> RemoteFiles:
        """The files below a URI; raises `DefinitionError` for one that pyarrow cannot read."""
        import pyarrow as pa
        from pyarrow import fs

        try:
            system, folder = fs.FileSystem.from_uri(uri)
        except (pa.ArrowException, OSError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise DefinitionError(
                f"EAGLERAY_OFFLINE_URI {uri.rpartition('@')[2]!r}: pipelines keep their outputs there through pyarrow, "
                f"which says {reason}: use s3://, gs://, hdfs:// or file://"
            ) from None
        return cls(uri.rpartition("@")[2], system, folder)

    def __str__(self) -> str:
        return self.uri

    def write(self, name: str, data: bytes | memoryview, *, head: bytes) -> None:
        """Whole or not at all."""
        path = self._path(name)
        is_whole = self.system.type_name in _OBJECT_STORES
        half = path if is_whole else f"{path}.{secrets.token_hex(8)}.part"
        try:
            if not is_whole:
                self.system.create_dir(path.rpartition("/")[0], recursive=True)
            with self.system.open_output_stream(half) as stream:
                stream.write(head)
                stream.write(data)
            if not is_whole:
                self.system.move(half, path)
        except OSError as error:
            raise StorageError(f"cannot write {self.uri}/{name[:12]} ({error}): see EAGLERAY_OFFLINE_URI") from None

    def read(self, name: str) -> bytes | None:
        """The whole file."""
        try:
            with self.system.open_input_stream(self._path(name)) as stream:
                data: bytes = stream.readall()
                return data
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"cannot read {self.uri}/{name[:12]} ({error}): see EAGLERAY_OFFLINE_URI") from None

    def size(self, name: str) -> int | None:
        """Its length."""
        from pyarrow import fs

        try:
            found = self.system.get_file_info(self._path(name))
        except OSError as error:
            raise StorageError(f"cannot look at {self.uri} ({error}): see EAGLERAY_OFFLINE_URI") from None
        return found.size if found.type == fs.FileType.File else None

    def _path(self, name: str) -> str:
        return f"{self.folder}/{name[:2]}/{name}"
