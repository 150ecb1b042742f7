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
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, TypeVar, overload

T = TypeVar("T")

#: The end of a text that was cut.
CUT = " …(cut)"


class Mismatch(ValueError):
    """A JSON value does not have the expected type."""

    def __init__(self, what: str, where: str = "") -> None:
        super().__init__(what)
        self.what, self.where = what, where

    def within(self, place: str) -> Mismatch:
        """Returns the same, with the place in which it was found."""
        between = "." if place and self.where and not self.where.startswith("[") else ""
        return Mismatch(self.what, place + between + self.where)

    def __str__(self) -> str:
        return f"{self.where or 'value'}: {self.what}"


def clean(text: Any, limit: int) -> str:
    """Returns a text, whatever it is made of, in at most as many characters."""
    try:
        shown = text if type(text) is str else str(text)
    except Exception:
        shown = f"<{type(text).__name__} that cannot be shown>"
    return shown if len(shown) <= limit else shown[: limit - len(CUT)] + CUT


def dumps(value: Any) -> bytes:
    """Encodes a value as JSON. Raises TypeError or ValueError for one that cannot be.

    Half of a surrogate pair, as in the name of a file that is not UTF-8, becomes an escape.
    """
    try:
        text = _encoder.encode(value)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return text.encode("utf-8", "backslashreplace")


def quoted(text: str) -> str:
    """Returns a text as a string of JSON."""
    return _encoder.encode(text)


def loads(data: bytes | str, large: Callable[[str], Any] | None = None) -> Any:
    """Decodes JSON. Raises ValueError for what is none, and for what Python cannot read.

    `large` reads integers that have more digits than `int` takes.
    """
    text = data.decode() if isinstance(data, bytes) else data
    try:
        return _decoder.decode(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except json.JSONDecodeError:
        raise
    except ValueError:
        if large is None:
            raise
    return json.JSONDecoder(parse_constant=_no_number, parse_int=functools.partial(_whole, large)).decode(text)


def _whole(large: Callable[[str], Any], digits: str) -> Any:
    try:
        return int(digits)
    except ValueError:
        return large(digits)


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


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


_encoder = json.JSONEncoder(default=encode, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_decoder = json.JSONDecoder(parse_constant=_no_number)


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

    Raises Mismatch, which names the place, if the value has another type, and TypeError for a type
    that no JSON value has.
    """
    read = reader(tp)
    try:
        return value if read is None else read(value)
    except Mismatch as e:
        raise e.within(where) from None


Reader = Callable[[Any], Any]


def reader(tp: Any) -> Reader | None:
    """Returns what reads a value of a type, which is made once for each; None: it stays as it is."""
    try:
        return _cached_reader(tp)
    except TypeError as e:
        if "unhashable" not in str(e):
            raise
        return _reader(tp)


def _reader(tp: Any) -> Reader | None:
    if tp is Any or tp is object or isinstance(tp, TypeVar):
        return None
    if tp is None or tp is type(None):
        return lambda value: _check(value is None, value, "null")
    if tp in (str, bool, dict, list):
        return _plain(tp, tp.__name__)
    if tp is int:
        return _whole_number
    if tp is float:
        return _number
    origin = typing.get_origin(tp)
    if origin is not None:
        return _generic_reader(tp, origin, typing.get_args(tp))
    if tp is datetime:
        return _time
    if isinstance(tp, type) and issubclass(tp, enum.Enum):
        return functools.partial(_member, tp)
    if dataclasses.is_dataclass(tp) and isinstance(tp, type):
        return _dataclass_reader(tp)
    if typing.is_typeddict(tp):
        return _plain(dict, "object")
    if isinstance(tp, typing.NewType):
        return reader(tp.__supertype__)
    raise TypeError(f"{tp!r} cannot be read from JSON: use a dataclass, or dict[str, Any]")


_cached_reader = functools.lru_cache(maxsize=1000)(_reader)


def _check(ok: bool, value: Any, expected: str) -> Any:
    if not ok:
        raise Mismatch(f"{expected} expected, got {type(value).__name__}")
    return value


def _plain(tp: type, name: str) -> Reader:
    return lambda value: value if isinstance(value, tp) else _check(False, value, name)


def _whole_number(value: Any) -> Any:
    return _check(isinstance(value, int) and not isinstance(value, bool), value, "int")


def _number(value: Any) -> float:
    return float(_check(isinstance(value, (int, float)) and not isinstance(value, bool), value, "float"))


def _time(value: Any) -> datetime:
    try:
        return datetime.fromisoformat(_check(isinstance(value, str), value, "time"))
    except Mismatch:
        raise
    except ValueError as e:
        raise Mismatch(str(e)) from None


def _member(tp: type[enum.Enum], value: Any) -> Any:
    try:
        return tp(value)
    except ValueError as e:
        raise Mismatch(str(e)) from None


def _generic_reader(tp: Any, origin: Any, args: tuple[Any, ...]) -> Reader | None:
    if origin in (typing.Union, types.UnionType):
        return _union_reader(args)
    if origin is typing.Literal:
        return None  # a newer coordinator may send more
    if origin is typing.Annotated or origin in (typing.Required, typing.NotRequired, typing.Final):
        return reader(args[0])
    if origin is tuple:
        if len(args) == 2 and args[1] is Ellipsis:
            return _items_reader(tuple, args[0])
        return _tuple_reader([reader(a) for a in args])
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping_reader(reader(args[1]))
    if isinstance(origin, type) and issubclass(origin, (Sequence, set, frozenset)):
        make: Any = frozenset if issubclass(origin, frozenset) else list if issubclass(origin, Sequence) else set
        return _items_reader(make, args[0])
    if dataclasses.is_dataclass(origin) and isinstance(origin, type):
        return _dataclass_reader(origin)
    raise TypeError(f"{tp!r} cannot be read from JSON")


def _items_reader(make: Any, tp: Any) -> Reader:
    item = reader(tp)

    def read(value: Any) -> Any:
        _check(isinstance(value, list), value, "list")
        return make(value if item is None else [_read(item, v, f"[{i}]") for i, v in enumerate(value)])

    return read


def _tuple_reader(items: list[Reader | None]) -> Reader:
    def read(value: Any) -> Any:
        _check(isinstance(value, list), value, "list")
        _check(len(value) == len(items), value, f"list of {len(items)}")
        return tuple(_read(item, v, f"[{i}]") for i, (item, v) in enumerate(zip(items, value)))

    return read


def _mapping_reader(member: Reader | None) -> Reader:
    def read(value: Any) -> Any:
        _check(isinstance(value, dict), value, "object")
        return dict(value) if member is None else {k: _read(member, v, k) for k, v in value.items()}

    return read


def _read(read: Reader | None, value: Any, where: str) -> Any:
    try:
        return value if read is None else read(value)
    except Mismatch as e:
        raise e.within(where) from None


def _union_reader(args: tuple[Any, ...]) -> Reader:
    null, members = type(None) in args, [reader(a) for a in args if a is not type(None)]

    def read(value: Any) -> Any:
        if value is None and null:
            return None
        last: Mismatch | None = None
        for member in members:
            try:
                return value if member is None else member(value)
            except Mismatch as e:
                last = e
        raise last or Mismatch("null expected")

    return read


def _dataclass_reader(tp: Any) -> Reader:
    """Returns the reader of a dataclass. Its members are looked at later: they may be of the same type."""
    plan: list[tuple[str, Reader | None, bool]] | None = None

    def read(value: Any) -> Any:
        nonlocal plan
        if plan is None:
            plan = _members(tp)
        if not isinstance(value, dict):
            _check(False, value, "object")
        members: dict[str, Any] = {}
        for name, member, required in plan:
            if name in value:
                given = value[name]
                try:
                    members[name] = given if member is None else member(given)
                except Mismatch as e:
                    raise e.within(name) from None
            elif required:
                raise Mismatch("is missing", name)
        return tp(**members)

    return read


def _members(tp: type) -> list[tuple[str, Reader | None, bool]]:
    """Returns the name and the reader of each member of a dataclass, and whether it must be there."""
    hints, missing = typing.get_type_hints(tp), dataclasses.MISSING
    return [
        (f.name, _reader_if_needed(hints[f.name]), f.default is missing and f.default_factory is missing)
        for f in dataclasses.fields(tp) if f.init
    ]


def _reader_if_needed(tp: Any) -> Reader | None:
    """Returns a reader that raises TypeError only when it is used: what is not sent need not be read."""
    try:
        return reader(tp)
    except TypeError as e:
        return functools.partial(_unreadable, str(e))


def _unreadable(why: str, value: Any) -> Any:
    raise TypeError(why)
