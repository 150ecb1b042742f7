"""Conversion between JSON values and typed Python values.

Dataclasses become objects. Members that a dataclass does not have are ignored, so that a client
works with a newer coordinator.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import json
import types
import typing
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, TypeVar, overload

T = TypeVar("T")


class Mismatch(ValueError):
    """A JSON value does not have the expected type."""


def dumps(value: Any) -> bytes:
    """Encodes a value as JSON."""
    return json.dumps(value, default=encode, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def encode(value: Any) -> Any:
    """Returns value as what `json` can write: dataclasses, times, enums, sets and mappings."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, datetime):
        return timestamp(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (set, frozenset)):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def stated(value: Any) -> dict[str, Any]:
    """Returns the members of a dataclass that are not empty, deeply."""
    members = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    lists = {k: [stated(x) for x in v] for k, v in members.items() if isinstance(v, (list, tuple))}
    return {k: v for k, v in {**members, **lists}.items() if v}


def compact(value: Any) -> dict[str, Any]:
    """Returns the members of a dataclass that are not None, deeply. The API takes no null for them."""
    members = ((f.name, getattr(value, f.name)) for f in dataclasses.fields(value))
    return {k: compact(v) if dataclasses.is_dataclass(v) else v for k, v in members if v is not None}


def timestamp(at: datetime) -> str:
    """Writes a time as the API does: RFC 3339, in UTC. A time without a zone is local time."""
    return at.astimezone(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


@overload
def decode(tp: type[T], value: Any, where: str = ...) -> T: ...
@overload
def decode(tp: Any, value: Any, where: str = ...) -> Any: ...
def decode(tp: Any, value: Any, where: str = "") -> Any:
    """Returns a JSON value as a value of the type tp.

    Raises Mismatch, which names the place, if the value has another type.
    """
    if tp is Any or tp is object or isinstance(tp, TypeVar):
        return value
    if tp is None or tp is type(None):
        return _check(value is None, value, "null", where)
    if tp in (str, bool):
        return _check(isinstance(value, tp), value, tp.__name__, where)
    if tp is int:
        return _check(isinstance(value, int) and not isinstance(value, bool), value, "int", where)
    if tp is float:
        _check(isinstance(value, (int, float)) and not isinstance(value, bool), value, "float", where)
        return float(value)
    origin = typing.get_origin(tp)
    if origin is not None:
        return _decode_generic(tp, origin, typing.get_args(tp), value, where)
    if tp is datetime:
        _check(isinstance(value, str), value, "time", where)
        try:
            return datetime.fromisoformat(value)
        except ValueError as e:
            raise Mismatch(f"{where or 'value'}: {e}") from None
    if isinstance(tp, type) and issubclass(tp, enum.Enum):
        try:
            return tp(value)
        except ValueError as e:
            raise Mismatch(f"{where or 'value'}: {e}") from None
    if dataclasses.is_dataclass(tp) and isinstance(tp, type):
        return _decode_dataclass(tp, value, where)
    if tp in (dict, list):
        return _check(isinstance(value, tp), value, tp.__name__, where)
    if typing.is_typeddict(tp):
        return _check(isinstance(value, dict), value, "object", where)
    if isinstance(tp, typing.NewType):
        return decode(tp.__supertype__, value, where)
    raise TypeError(f"{where or 'value'}: {tp!r} cannot be read from JSON: use a dataclass, or dict[str, Any]")


def _check(ok: bool, value: Any, expected: str, where: str) -> Any:
    if not ok:
        raise Mismatch(f"{where or 'value'}: {expected} expected, got {type(value).__name__}")
    return value


def _decode_generic(tp: Any, origin: Any, args: tuple[Any, ...], value: Any, where: str) -> Any:
    if origin in (typing.Union, types.UnionType):
        return _decode_union(args, value, where)
    if origin is typing.Literal:
        return value  # a newer coordinator may send more
    if origin is typing.Annotated or origin in (typing.Required, typing.NotRequired, typing.Final):
        return decode(args[0], value, where)
    if origin is tuple:
        _check(isinstance(value, list), value, "list", where)
        if len(args) == 2 and args[1] is Ellipsis:
            return tuple(decode(args[0], v, f"{where}[{i}]") for i, v in enumerate(value))
        _check(len(value) == len(args), value, f"list of {len(args)}", where)
        return tuple(decode(a, v, f"{where}[{i}]") for i, (a, v) in enumerate(zip(args, value)))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        _check(isinstance(value, dict), value, "object", where)
        return {k: decode(args[1], v, _join(where, k)) for k, v in value.items()}
    if isinstance(origin, type) and issubclass(origin, (Sequence, set, frozenset)):
        _check(isinstance(value, list), value, "list", where)
        items = [decode(args[0], v, f"{where}[{i}]") for i, v in enumerate(value)]
        if issubclass(origin, frozenset):
            return frozenset(items)
        return items if issubclass(origin, Sequence) else set(items)
    if dataclasses.is_dataclass(origin):
        return _decode_dataclass(origin, value, where)
    raise TypeError(f"{where or 'value'}: {tp!r} cannot be read from JSON")


def _decode_union(args: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in args:
        return None
    last: Mismatch | None = None
    for arg in args:
        if arg is not type(None):
            try:
                return decode(arg, value, where)
            except Mismatch as e:
                last = e
    raise last or Mismatch(f"{where or 'value'}: null expected")


@functools.lru_cache(maxsize=None)
def _members(tp: type) -> list[tuple[str, Any, bool]]:
    """Returns the name and the type of each member of a dataclass, and whether it must be there."""
    hints, missing = typing.get_type_hints(tp), dataclasses.MISSING
    return [
        (f.name, hints[f.name], f.default is missing and f.default_factory is missing)
        for f in dataclasses.fields(tp) if f.init
    ]


def _decode_dataclass(tp: Any, value: Any, where: str) -> Any:
    _check(isinstance(value, dict), value, "object", where)
    members: dict[str, Any] = {}
    for name, member, required in _members(tp):
        if name in value:
            members[name] = decode(member, value[name], _join(where, name))
        elif required:
            raise Mismatch(f"{_join(where, name)}: is missing")
    return tp(**members)


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name
