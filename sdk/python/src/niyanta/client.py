"""The client for programs without an event loop."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, cast

import httpx

from . import _http, _operations
from ._core import (
    RETRY_FOR, STREAM_SILENCE, Answer, Core, Effect, Effects, EventStream, Item, Items, NoAnswer, ReadLine, Route, Send,
    Sleep, check_key, parse_urls, unanswered,
)
from ._watching import bound
from .tls import TLSFiles

P = ParamSpec("P")
T = TypeVar("T")

__all__ = ["Client", "Configs", "Workloads"]


class _Stream(EventStream):
    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.lines = _http.lines(response)


class _Driver:
    """Performs effects with blocking calls."""

    def __init__(self, core: Core, http: httpx.Client) -> None:
        self.core, self.http = core, http

    def run(self, effects: Effects[T]) -> T:
        result: Any = None
        while True:
            try:
                effect = effects.send(result)
            except StopIteration as stop:
                value: T = stop.value
                return value
            result = self.perform(effect)

    def iterate(self, items: Items[T]) -> Iterator[T]:
        result: Any = None
        open_stream: _Stream | None = None
        try:
            while True:
                try:
                    effect = items.send(result)
                except StopIteration:
                    return
                if isinstance(effect, Item):
                    result = None
                    yield effect.item
                    continue
                result = self.perform(effect)
                if isinstance(result, _Stream):
                    open_stream = result
        finally:
            items.close()
            if open_stream is not None:
                open_stream.response.close()

    def perform(self, effect: Effect) -> Any:
        if isinstance(effect, Sleep):
            return time.sleep(effect.seconds)
        if isinstance(effect, ReadLine):
            return self._read(effect.stream)
        return self._send(effect)

    def _send(self, send: Send) -> Answer | NoAnswer | EventStream:
        r = send.request
        request = self.http.build_request(
            r.method, _http.url(send), content=r.body, headers=dict(r.headers), timeout=_http.timeout(send.timeout)
        )
        try:
            response = self.http.send(request, stream=True)
            if r.stream and response.status_code == 200 and _http.is_stream(response):
                # Each read counts anew: a comment comes at least every 15 s.
                request.extensions["timeout"]["read"] = STREAM_SILENCE
                return _Stream(response)
            try:
                return _http.bounded(response)
            finally:
                response.close()
        except (httpx.HTTPError, _http.AnswerTooLarge) as e:
            return _http.no_answer(e)

    @staticmethod
    def _read(stream: EventStream) -> str | None:
        assert isinstance(stream, _Stream)
        try:
            return next(stream.lines)
        except (StopIteration, httpx.HTTPError, httpx.StreamError):
            stream.response.close()
            return None
        except _http.AnswerTooLarge as e:
            stream.response.close()
            raise unanswered(e) from None


class _Group:
    """Operations that belong together."""

    #: Its operations are to be awaited.
    awaits = False

    def __init__(self, driver: _Driver) -> None:
        self._driver = driver


def _returns(
    operation: Callable[Concatenate[Core, P], Effects[T]]
) -> Callable[Concatenate[_Group, P], T]:
    @functools.wraps(operation)
    def method(self: _Group, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return cast(T, bound(self._driver.run(operation(self._driver.core, *args, **kwargs)), self))

    return method


def _iterates(
    operation: Callable[Concatenate[Core, P], Items[T]]
) -> Callable[Concatenate[_Group, P], Iterator[T]]:
    @functools.wraps(operation)
    def method(self: _Group, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        items = self._driver.iterate(operation(self._driver.core, *args, **kwargs))
        return (cast(T, bound(item, self)) for item in items)

    return method


class Workloads(_Group):
    """The workloads of the customer."""

    submit = _returns(_operations.submit)
    submit_batch = _returns(_operations.submit_batch)
    get = _returns(_operations.get)
    list = _iterates(_operations.list_workloads)
    wait_for_completion = _returns(_operations.wait_for_completion)
    watch = _iterates(_operations.watch)
    cancel = _returns(_operations.cancel)
    pause = _returns(_operations.pause)
    resume = _returns(_operations.resume)
    retry = _returns(_operations.retry)
    logs = _iterates(_operations.logs)
    audit = _iterates(_operations.audit)
    placement = _returns(_operations.placement)
    checkpoints = _iterates(_operations.checkpoints)
    get_checkpoint = _returns(_operations.get_checkpoint)
    checkpoint_data = _returns(_operations.checkpoint_data)
    request_checkpoint = _returns(_operations.request_checkpoint)


class Configs(_Group):
    """The customer's settings for workload types."""

    create = _returns(_operations.create_config)
    update = _returns(_operations.update_config)
    get = _returns(_operations.get_config)
    list = _iterates(_operations.list_configs)
    delete = _returns(_operations.delete_config)


class Client(_Group):
    """Speaks the API. Safe for concurrent use by threads.

    `url` is a coordinator's, or those of several separated by commas: the client stays with one for
    as long as that one answers. `retry_for` is how long after its beginning a call may begin another
    try, in seconds; 0 tries every coordinator once. `tls` names the files of a CA or a client
    certificate. `http` sends the requests instead, for example through a proxy of your own.
    """

    def __init__(
        self, url: str, key: str, *, retry_for: float = RETRY_FOR, tls: TLSFiles | None = None,
        http: httpx.Client | None = None,
    ) -> None:
        files = _http.only(tls, http)
        self._http = http or _http.client(files)
        self._http.headers.update(_http.headers(check_key(key)))
        super().__init__(_Driver(Core(Route(parse_urls(url)), retry_for=retry_for), self._http))
        self._group()

    def _group(self) -> None:
        self.workloads = Workloads(self._driver)
        self.configs = Configs(self._driver)

    customer = _returns(_operations.customer)
    events = _iterates(_operations.events)

    def with_retry_for(self, seconds: float) -> Client:
        """Returns a client that tries again for as long. It shares the connections of this one."""
        other = object.__new__(Client)
        other._http = self._http
        other._driver = _Driver(replace(self._driver.core, retry_for=seconds), self._http)
        other._group()
        return other

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client of {', '.join(self._driver.core.route.bases)}>"
