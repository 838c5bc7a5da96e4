"""Outputs kept by content: what is equal is kept once, under the hash of its bytes.

They live in `pipelines/contents` of the home folder, or below EAGLERAY_OFFLINE_URI where that is set: s3://, gs:// and hdfs://
as pyarrow reads them (its credentials are those of the environment), and file://. Frames are Arrow files, JSON is JSON,
arrays are .npy. Any other object is a pickle of our own with a keyed hash before it: the key never leaves the home
folder (mode 0600), so no foreign pickle is ever loaded, and another home cannot read this one's.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ...runtime.errors import InputError, NotFoundError, StorageError
from ...runtime.settings import Settings
from .encoding import PICKLE, decode, described, encode

_MAC_BYTES = 32
_LIST = ".list"
_PURPOSE = b"eagleray pipeline output\0"


@dataclass(frozen=True, slots=True)
class Kept:
    """One kept value: `ref` is "HASH.KIND", `about` says in a few words what it is."""

    ref: str
    about: str


class Files(Protocol):
    """Where the bytes are; a write is there whole or not at all."""

    def write(self, name: str, data: bytes | memoryview, *, head: bytes) -> None:
        """Writes a file, which may be there already; raises `StorageError`."""
        ...

    def read(self, name: str) -> bytes | None:
        """A file's bytes, None where there is none; raises `StorageError`."""
        ...

    def size(self, name: str) -> int | None:
        """A file's length, None where there is none."""
        ...


class Contents:
    """Values by content; safe to use from several threads and processes."""

    def __init__(self, settings: Settings) -> None:
        self._home = settings.home
        self._files = _files_of(settings)
        self._key: bytes | None = None

    def put(self, value: object) -> Kept:
        """Keeps a value; raises `InputError` for what cannot be written down, `StorageError`."""
        kind, data = encoded(value)
        ref = f"{hashlib.sha256(data).hexdigest()}.{kind}"
        head = self._mac(data) if kind == PICKLE else b""
        # A pickle is written anew: what lies there under its name may be another home's.
        if head or self._files.size(ref) != len(data):
            self._files.write(ref, data, head=head)
        return Kept(ref, described(value))

    def get(self, ref: str) -> Any:
        """The value; raises `NotFoundError` where it is gone, `StorageError` where it is damaged."""
        if is_list(ref):
            return [self.get(one) for one in self.parts(ref)]
        return decode(ref.partition(".")[2], self._bytes(ref))

    def has(self, ref: str) -> bool:
        """Whether it is there, and of a list all of its items."""
        if self._files.size(ref) is None:
            return False
        return not is_list(ref) or all(self.has(one) for one in self.parts(ref))

    def gather(self, refs: Sequence[str]) -> Kept:
        """Keeps the list of kept values as one."""
        data = json.dumps(list(refs)).encode()
        ref = hashlib.sha256(data).hexdigest() + _LIST
        self._files.write(ref, data, head=b"")
        return Kept(ref, f"list of {len(refs)}")

    def parts(self, ref: str) -> list[str]:
        """The refs of a gathered list."""
        found: list[str] = json.loads(bytes(self._bytes(ref)))
        return found

    def _bytes(self, ref: str) -> bytes | memoryview:
        digest, _, kind = ref.partition(".")
        data: bytes | memoryview | None = self._files.read(ref)
        if data is None:
            raise NotFoundError(f"the output {ref[:12]} is gone from {self._files}: run its step again (a new run)")
        if kind == PICKLE:
            head, data = data[:_MAC_BYTES], memoryview(data)[_MAC_BYTES:]
            if not hmac.compare_digest(head, self._mac(data)):
                raise InputError(
                    f"the output {ref[:12]} in {self._files} was not written by {self._home}, so its pickle is not "
                    "loaded: use the home that wrote it, or run the pipeline anew"
                )
        if hashlib.sha256(data).hexdigest() != digest:
            raise StorageError(f"the output {ref[:12]} in {self._files} is damaged: delete it and run its step again")
        return data

    def _mac(self, data: bytes | memoryview) -> bytes:
        if self._key is None:
            self._key = key_of(self._home)
        mac = hmac.new(self._key, _PURPOSE, hashlib.sha256)
        mac.update(data)
        return mac.digest()


def is_list(ref: str) -> bool:
    """Whether it stands for a list of kept values."""
    return ref.endswith(_LIST)


def encoded(value: object) -> tuple[str, bytes | memoryview]:
    """As `encode`; raises `InputError` for what cannot be written down."""
    try:
        return encode(value)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"a {type(value).__name__} cannot be kept ({reason}): return plain data, frames, arrays or what pickles"
        ) from error


def content_hash(value: object) -> str:
    """The hash under which a value would be kept."""
    kind, data = encoded(value)
    return f"{hashlib.sha256(data).hexdigest()}.{kind}"


def key_of(home: Path) -> bytes:
    """The home's key for its own pickles, made at the first use; raises `StorageError`."""
    path = home / "pipelines" / "key"
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_name(f"key.{secrets.token_hex(8)}")
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(secrets.token_bytes(32))
            try:
                os.link(fresh, path)  # of two processes the first wins, and both read its key
            except FileExistsError:
                pass
            finally:
                fresh.unlink()
        return path.read_bytes()
    except OSError as error:
        raise StorageError(
            f"cannot keep a key at {path} ({error.strerror}): set EAGLERAY_HOME to a writable folder"
        ) from None


class LocalFiles:
    """Files of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __str__(self) -> str:
        return str(self._folder)

    def write(self, name: str, data: bytes | memoryview, *, head: bytes) -> None:
        """Writes beside it and renames, so that a reader never sees half of it."""
        path = self._path(name)
        half = path.with_name(f"{name}.{secrets.token_hex(8)}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with open(half, "xb") as file:
                    file.write(head)
                    file.write(data)
                half.replace(path)
            finally:
                half.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"cannot write {path} ({error.strerror}): free space, or set EAGLERAY_HOME") from None

    def read(self, name: str) -> bytes | None:
        """The whole file."""
        try:
            return self._path(name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"cannot read {self._path(name)} ({error.strerror})") from None

    def size(self, name: str) -> int | None:
        """Its length."""
        try:
            return self._path(name).stat().st_size
        except OSError:
            return None

    def _path(self, name: str) -> Path:
        return self._folder / name[:2] / name


def _files_of(settings: Settings) -> Files:
    uri = settings.offline_uri
    if uri is None or "://" not in uri:
        root = settings.home if uri is None else Path(uri)
        return LocalFiles(root / "pipelines" / "contents")
    from .remote_files import RemoteFiles

    return RemoteFiles.at(f"{uri.rstrip('/')}/pipelines/contents")
