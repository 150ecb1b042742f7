"""The client without its input and output.

An operation is a generator. It yields effects (send this request, sleep, hand out this item) and
gets back what became of each. So the rules of retry, paging and waiting exist once: `client.py`
performs the effects with blocking calls, `aio.py` in an event loop, and tests with a script.
"""

from __future__ import annotations

import dataclasses
import logging
import random
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from . import _codec
from .errors import ApiError, InvalidInput, Unavailable, api_error
from .task import current_task

log = logging.getLogger("niyanta")

T = TypeVar("T")

# The first and the longest pause between two tries, in seconds.
BACKOFF_MIN, BACKOFF_MAX = 0.1, 2.0
# How long the first try waits for an answer. Each further one waits twice as long, up to the
# second: a slow coordinator is reached in the end.
ANSWER_TIMEOUT, ANSWER_TIMEOUT_MAX = 5.0, 60.0
# The throughput below which sending a body times out, in bytes per second.
UPLOAD_RATE = 64 << 10
# How long after its beginning a call may begin another try, unless the client says otherwise.
RETRY_FOR = 30.0
# How long a stream may bring nothing, not even one of the comments that come every 15 s, before it
# counts as broken.
STREAM_SILENCE = 40.0
FOREVER = float("inf")
# The longest pause that an answer can ask for.
RETRY_AFTER_MAX = 3600.0

IDEMPOTENCY_KEY, TRACEPARENT = "Idempotency-Key", "traceparent"


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request to any coordinator."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Seconds that the coordinator may wait before it answers.
    wait: float = 0
    #: The answer is a stream of server-sent events.
    stream: bool = False

    @property
    def repeatable(self) -> bool:
        """Reports whether serving the request twice is the same as serving it once."""
        return self.method == "GET" or IDEMPOTENCY_KEY in self.headers

    @property
    def target(self) -> str:
        """The path and the query."""
        return self.path + ("?" + urlencode(self.query, errors="replace") if self.query else "")


def segment(value: str) -> str:
    """Returns an id as a segment of a path."""
    if not value:
        raise InvalidInput("an id is needed", details={"field": "id"})
    if value in (".", ".."):  # on their way they would become another path
        raise InvalidInput(f"{value!r} is no id", details={"field": "id"})
    return quote(value, safe="", errors="replace")


def header(name: str, value: str) -> str:
    """Returns a value that a header can have."""
    if not value or any(not " " <= c < "\x7f" for c in value):
        raise InvalidInput(f"{name}: it must have visible ASCII characters only", details={"field": name})
    return value


@dataclass
class Answer:
    """What a coordinator answered. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Decodes the body."""
        try:
            return _codec.loads(self.body, large=Decimal)
        except ValueError as e:
            raise Unavailable(f"the answer is not JSON: is this a coordinator? ({e})", status=self.status) from None


@dataclass
class NoAnswer:
    """A try without an answer."""

    error: Exception
    #: The coordinator may have got the request.
    acted: bool = True
    #: Another try may have another outcome.
    again: bool = True


@dataclass
class Send:
    """The effect of sending a request once. It results in an Answer, a NoAnswer, or, if the request
    asks for one and it begins, an EventStream."""

    base: str
    request: Request
    #: Seconds without an answer after which the try is given up.
    timeout: float


class EventStream:
    """A stream that has begun. Drivers subclass it."""


@dataclass
class ReadLine:
    """The effect of reading the next line of a stream. It results in the line, or in None when the
    stream has ended or broken."""

    stream: EventStream


@dataclass
class Sleep:
    """The effect of waiting."""

    seconds: float


@dataclass
class Item(Generic[T]):
    """The effect of handing an item to whoever iterates."""

    item: T


Effect = Send | ReadLine | Sleep
#: An operation that returns a T.
Effects = Generator[Effect, Any, T]
#: An operation that emits items of type T.
Items = Generator[Effect | Item[T], Any, None]


@dataclass
class Route:
    """The coordinators, and which of them requests go to."""

    bases: list[str]
    current: int = 0
    disconnected: bool = False

    def leave(self, at: int) -> None:
        """Has further requests go to the next coordinator, unless another request has seen to that."""
        if self.current == at:
            self.current = (at + 1) % len(self.bases)


@dataclass(frozen=True)
class Core:
    """What all operations of a client share."""

    route: Route
    retry_for: float = RETRY_FOR
    clock: Callable[[], float] = time.monotonic
    random: Callable[[], float] = random.random

    def patient(self, seconds: float) -> Core:
        """Returns a core that tries again for at least as long."""
        return dataclasses.replace(self, retry_for=max(seconds, self.retry_for))


def parse_urls(urls: str) -> list[str]:
    """Returns the addresses of coordinators, one or several separated by commas."""
    bases = []
    for address in urls.split(","):
        base = address.strip().rstrip("/")
        parts = urlsplit(base)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError(f"url: {address.strip()!r} must look like http://host:port")
        if "@" in parts.netloc:
            raise ValueError("url: it must not have a user and a password: the key says who you are")
        if parts.query or parts.fragment:
            raise ValueError(f"url: {address.strip()!r} must not have a query or a fragment")
        bases.append(base)
    return bases


def check_key(key: str) -> str:
    """Returns the key, or raises ValueError for one that cannot be sent."""
    if any(not " " < c < "\x7f" for c in key):
        raise ValueError("key: it has a space, a line break or another character that no key has")
    return key


@dataclass
class Outcome:
    """What one try means for the next."""

    result: Answer | NoAnswer | EventStream
    again: bool = False
    acted: bool = False
    #: This coordinator cannot serve now, while another one may.
    disconnected: bool = False
    retry_after: float = 0

    def error(self) -> ApiError:
        if isinstance(self.result, Answer):
            return refusal(self.result)
        assert isinstance(self.result, NoAnswer)
        return unanswered(self.result.error)


def unanswered(cause: Exception) -> Unavailable:
    """Returns the error of a call that no coordinator answered."""
    error = Unavailable(f"the coordinator does not answer: {cause or type(cause).__name__}")
    error.__cause__ = cause
    return error


def of_coordinator(answer: Answer) -> bool:
    """Reports whether an error is one that a coordinator tells, and not one of something on the way."""
    try:
        code = _codec.loads(answer.body)["error"]["code"]
    except (ValueError, KeyError, TypeError):
        return False
    return isinstance(code, str) and code != ""


def refusal(answer: Answer) -> ApiError:
    """Returns the error that an answer is."""
    details: Mapping[str, Any] = {}
    code, message, request_id = "", "", answer.headers.get("x-request-id", "")
    try:
        shown = _codec.loads(answer.body)["error"]
        code, message = str(shown["code"]), str(shown["message"])
        request_id = str(shown.get("request_id") or request_id)
        details = shown.get("details") or {}
        details = details if isinstance(details, dict) else {"details": details}
    except (ValueError, KeyError, TypeError, AttributeError):
        code = _BY_STATUS.get(answer.status, "SERVICE_UNAVAILABLE" if 300 <= answer.status < 400 else "INTERNAL_ERROR")
        message = f"status {answer.status}: {answer.body[:200].decode(errors='replace')}"
        if to := answer.headers.get("location"):
            message += f" (it leads to {to[:200]!r}, where the key is not sent: if that is right, use that address)"
    return api_error(
        code, message, status=answer.status, details=details, request_id=request_id,
        retry_after=_retry_after(answer.headers),
    )


# What intermediaries answer without a body of the API.
_BY_STATUS = {
    401: "UNAUTHORIZED", 403: "FORBIDDEN", 404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED", 413: "TOO_LARGE",
    429: "RATE_LIMITED", 502: "SERVICE_UNAVAILABLE", 503: "SERVICE_UNAVAILABLE", 504: "SERVICE_UNAVAILABLE",
}


def _retry_after(headers: Mapping[str, str]) -> float:
    try:
        value = float(headers.get("retry-after", 0))
    except ValueError:
        return 0  # a date, which coordinators do not send
    return min(value, RETRY_AFTER_MAX) if value > 0 else 0  # NaN is not


def judge(result: Answer | NoAnswer | EventStream) -> Outcome:
    """Tells what a try means for another one."""
    if isinstance(result, NoAnswer):
        return Outcome(result, again=result.again, acted=result.acted, disconnected=True)
    if isinstance(result, EventStream):
        return Outcome(result)
    if result.status == 429:
        return Outcome(result, again=True, retry_after=_retry_after(result.headers))
    if result.status in (502, 503, 504):
        # A full queue is full at every coordinator, and nothing was stored.
        full = "max_queue_depth" in refusal(result).details
        return Outcome(
            result, again=True, acted=not full, disconnected=not full, retry_after=_retry_after(result.headers)
        )
    return Outcome(result)


def call(core: Core, request: Request) -> Effects[Answer | EventStream]:
    """Sends a request as often as it takes, and as may be. Raises an ApiError if that fails.

    A request that a coordinator may have served is not repeated, unless it only reads or carries an
    idempotency key.
    """
    request = _traced(request)
    began, route = core.clock(), core.route
    failed = n = 0  # failed: coordinators in a row that could not answer
    while True:
        at = route.current
        base = route.bases[at]
        outcome = judge((yield Send(base, request, _timeout(request, n, core.retry_for > 0))))
        if not outcome.disconnected:
            failed = 0
            if route.disconnected:
                route.disconnected = False
                log.info("the coordinator at %s answers again", base)
        else:
            route.leave(at)  # the next call asks another one, whether or not this one is sent again
        if not outcome.again or (outcome.acted and not request.repeatable):
            return _success(outcome, request)
        pause = pause_after(core, n, outcome.retry_after)
        n += 1
        if outcome.disconnected:
            failed += 1
            if failed < len(route.bases):
                continue  # another one may answer now
            failed = 0
        if core.clock() - began + pause > core.retry_for:
            return _success(outcome, request)
        if outcome.disconnected and not route.disconnected:
            route.disconnected = True
            log.warning("trying again: %s", outcome.error())
        yield Sleep(pause)


def _traced(request: Request) -> Request:
    """Has what a handler asks for belong to the trace of its workload."""
    task = current_task()
    if task is None or not task.traceparent or TRACEPARENT in request.headers:
        return request
    return dataclasses.replace(request, headers={**request.headers, TRACEPARENT: task.traceparent})


def _success(outcome: Outcome, request: Request) -> Answer | EventStream:
    result = outcome.result
    if isinstance(result, EventStream) or isinstance(result, Answer) and 200 <= result.status < 300:
        return result
    error = outcome.error()
    error.traceparent = request.headers.get(TRACEPARENT, "")
    raise error


def _timeout(request: Request, n: int, again: bool) -> float:
    """Bounds the n-th try. One that cannot be repeated gets all the time at once."""
    seconds = ANSWER_TIMEOUT_MAX
    if again and request.repeatable:
        seconds = min(ANSWER_TIMEOUT * 2 ** min(n, 10), ANSWER_TIMEOUT_MAX)
    return seconds + request.wait + len(request.body or b"") // UPLOAD_RATE


def pause_after(core: Core, n: int, asked: float = 0) -> float:
    """Returns the pause after the n-th try: at least as long as the coordinator asked for.

    Its random part keeps clients that failed together from coming back together.
    """
    longest = min(BACKOFF_MIN * float(1 << min(n, 10)), BACKOFF_MAX)
    return max(asked, longest / 2) + core.random() * longest / 2


def fetch(core: Core, request: Request) -> Effects[Any]:
    """Sends a request and returns the JSON of the answer; None if it has no body."""
    answer = yield from call(core, request)
    assert isinstance(answer, Answer)
    return answer.json() if answer.body else None


def follow(
    core: Core, path: str, after: str | None, ends: Callable[[Mapping[str, Any]], bool],
) -> Effects[Stream]:
    """Begins to follow a stream of events."""
    stream = Stream(core, path, after, ends)
    yield from stream.open()
    return stream


class Stream:
    """The events of a path, over as many connections as it takes, each once."""

    def __init__(self, core: Core, path: str, after: str | None, ends: Callable[[Mapping[str, Any]], bool]) -> None:
        self._core, self._path, self._after, self._ends = core.patient(FOREVER), path, after, ends
        self._failed = 0
        self._over = False
        self._connection: EventStream | None = None

    def open(self) -> Effects[None]:
        """Connects. A stream that is over answers with nothing."""
        headers = {"Accept": "text/event-stream"}
        if self._after:
            headers["Last-Event-ID"] = self._after
        answer = yield from call(
            self._core, Request(method="GET", path=self._path, headers=headers, stream=True)
        )
        if isinstance(answer, EventStream):
            self._connection = answer
        elif isinstance(answer, Answer) and answer.status != 204:
            kind = answer.headers.get("content-type", "")
            raise Unavailable(f"the answer has the type {kind[:100]!r}: is this a coordinator?", status=answer.status)
        else:
            self._over = True  # 204: nothing comes behind this event

    def next(self) -> Effects[dict[str, Any] | None]:
        """Returns the next event; None: the stream is over."""
        while not self._over:
            if self._connection is None:
                yield Sleep(pause_after(self._core, self._failed))
                self._failed += 1
                yield from self.open()
                continue
            event = yield from self._read(self._connection)
            if event is None:
                self._connection = None
                continue
            self._failed, self._after, self._over = 0, event.get("event_id") or self._after, self._ends(event)
            return event
        return None

    @staticmethod
    def _read(connection: EventStream) -> Effects[dict[str, Any] | None]:
        data: list[str] = []
        while True:
            line: str | None = yield ReadLine(connection)
            if line is None:
                return None
            if line.startswith("data:"):  # which holds the whole event: type and id say nothing more
                data.append(line[5:].removeprefix(" "))
            elif line == "" and data:
                try:
                    event = _codec.loads("\n".join(data), large=Decimal)
                except ValueError as e:
                    raise Unavailable(f"an event is not JSON: {e}") from None
                if not isinstance(event, dict):
                    raise Unavailable("an event is not a JSON object")
                return event
