"""The worker's requests to its coordinators: which one, how long, over which connection.

Heartbeats, polls, checkpoints and everything else use connections of their own, so that none delays
another.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from decimal import Decimal
from typing import Any

import httpx

from . import _codec
from ._core import Answer, check_key, of_coordinator, parse_urls, refusal
from ._http import AnswerTooLarge, async_client, bounded_async, headers
from .errors import ApiError
from .tls import TLSFiles

log = logging.getLogger("niyanta.worker")

# How long the tries of a request wait; the last one repeats. The first is short, because a
# coordinator that does not answer is mostly gone. Later ones leave time for a slow one.
PATIENCES = (2.0, 3.0, 5.0)
# The same for polls, beside the time that they wait.
POLL_PATIENCES = (1.0, 2.0, 4.0)
# How long a poll waits for a command. It is short, so that a silent connection does not keep the
# worker from its next command for long.
POLL_WAIT = 1.0
PAUSE_LIMIT = 0.2
# The bounds of how long a try of a heartbeat runs alone; a tenth of the lease lies between them.
HEDGE_MIN, HEDGE_MAX = 0.2, 1.0
HEARTBEAT_TRIES = 4
# How long a coordinator comes after the others when it has said that it is not available.
RECENTLY = 5.0
# Connections that are not used are closed before intermediaries forget them.
KEEPALIVE = 10.0
# The first and the longest pause between tries of what was not answered.
RETRY_MIN, RETRY_MAX = 0.05, 2.0
CHUNK = 64 << 10
# The largest answers, in bytes: those that bring the data of a checkpoint, and all others.
DATA_LIMIT, ANSWER_LIMIT = 512 << 20, 64 << 20
# The lowest rate, in bytes per second, at which a body leaves the buffers on its way.
DRAIN_RATE = 4 << 20

BEAT, CONTROL, POLL, DATA = "beat", "control", "poll", "data"


class Unanswered(Exception):
    """Nothing is known: another try may have another outcome."""


class _Pool:
    """Connections of one kind to one coordinator."""

    def __init__(self, make: Callable[[], httpx.AsyncClient]) -> None:
        self.http, self.users, self.retired = make(), 0, False

    async def __aenter__(self) -> httpx.AsyncClient:
        self.users += 1
        return self.http

    async def __aexit__(self, *_: object) -> None:
        self.users -= 1
        if self.retired and self.users == 0:
            await self.http.aclose()


class Coordinator:
    """One coordinator, and whether it answers."""

    def __init__(self, base: str, make: Callable[[], httpx.AsyncClient]) -> None:
        self.base, self._make = base, make
        self._pools: dict[str, _Pool] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self.since = self.at = 0.0
        self.silent = False

    def rank(self) -> float:
        """Returns 0 if it works. Of two others, the one that failed longer ago comes first."""
        return self.at if self.silent or (self.at and time.monotonic() - self.at < RECENTLY) else 0

    def fail(self, error: Exception, silent: bool) -> None:
        self.at, self.silent = time.monotonic(), self.silent or silent
        if not self.since:
            self.since = self.at
            log.warning("coordinator %s does not serve: %s", self.base, error)

    def succeed(self) -> None:
        if self.since:
            log.info("coordinator %s serves again after %.1f s", self.base, time.monotonic() - self.since)
        self.since, self.at, self.silent = 0.0, 0.0, False

    def renew(self) -> None:
        """Makes later requests use new connections. What silences one connection mostly silences all."""
        old, self._pools = self._pools, {}
        for pool in old.values():
            pool.retired = True
            if pool.users == 0:
                self._closing.add(task := asyncio.ensure_future(pool.http.aclose()))
                task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        self.renew()
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def send(
        self, line: str, method: str, path: str, body: bytes | None, kind: str, patience: float, fresh: bool
    ) -> Answer:
        """Sends a request once. Raises Unanswered when nothing was heard or sent for `patience`."""
        if fresh:
            self.renew()
        if line not in self._pools:
            self._pools[line] = _Pool(self._make)
        size = len(body or b"")
        more: dict[str, str] = {"Content-Type": kind, "Content-Length": str(size)} if body is not None else {}
        timeout = httpx.Timeout(patience, read=patience + size / DRAIN_RATE)
        try:
            async with self._pools[line] as http:
                content = _chunks(body) if size > CHUNK else body
                request = http.build_request(method, self.base + path, content=content, headers=more, timeout=timeout)
                r = await http.send(request, stream=True, follow_redirects=False)
                try:
                    return await bounded_async(r, DATA_LIMIT if line == DATA else ANSWER_LIMIT)
                finally:
                    await r.aclose()
        except (httpx.HTTPError, OSError, RuntimeError, AnswerTooLarge) as e:
            raise Unanswered(f"{self.base}: {str(e) or type(e).__name__}") from e


async def _chunks(body: bytes | None) -> AsyncIterator[bytes]:
    """Yields a body in pieces, so that each has a timeout of its own."""
    view = memoryview(body or b"")
    for at in range(0, len(view), CHUNK):
        yield bytes(view[at : at + CHUNK])


def _elsewhere(answer: Answer) -> bool:
    """Reports whether another coordinator may do better, or this one later.

    What something on the way answers says nothing of what was asked for: that its page is not found does
    not mean that no checkpoint is left. But what is too large on the way stays so.
    """
    if answer.status in (408, 429) or answer.status >= 500 or 300 <= answer.status < 400:
        return True
    return answer.status >= 400 and answer.status != 413 and not of_coordinator(answer)


class Plane:
    """A view of the coordinators. Use it in one event loop."""

    def __init__(
        self, urls: str, key: str, make: Callable[[], httpx.AsyncClient] | None = None, tls: TLSFiles | None = None,
    ) -> None:
        check_key(key)
        context: ssl.SSLContext | bool = ssl.create_default_context() if "https:" in urls else False

        def http() -> httpx.AsyncClient:
            limits = httpx.Limits(max_connections=None, keepalive_expiry=KEEPALIVE)
            if make:
                client = make()
            elif tls:
                client = async_client(tls, limits)
            else:
                client = httpx.AsyncClient(verify=context, limits=limits)
            client.headers.update(headers(key))
            return client

        self.coordinators = [Coordinator(base, http) for base in parse_urls(urls)]
        self.lease = 0.0
        self._polls_failed = 0
        self._beside: set[asyncio.Task[Any]] = set()

    async def close(self) -> None:
        """Closes the connections."""
        for task in self._beside:
            task.cancel()
        await asyncio.gather(*self._beside, return_exceptions=True)
        for c in self.coordinators:
            await c.close()

    def _order(self) -> list[Coordinator]:
        return sorted(self.coordinators, key=Coordinator.rank)

    async def call(
        self, method: str, path: str, *, line: str = CONTROL, body: bytes | None = None,
        kind: str = "application/octet-stream",
    ) -> Answer:
        """Sends a request to one coordinator after the other until one answers.

        Every request of the protocol may be repeated. Raises Unanswered, or an ApiError for what will
        not succeed by trying again.
        """
        order = self._order()
        tries = max(len(PATIENCES), len(order))
        for n in range(tries):
            c = order[n % len(order)]
            patience = PATIENCES[min(n, len(PATIENCES) - 1)]
            try:
                answer = await c.send(line, method, path, body, kind, patience, n > 0 or c.silent)
            except Unanswered as e:
                c.fail(e, silent=True)
                failure: Exception = e
            else:
                if not _elsewhere(answer):
                    c.succeed()
                    return _checked(answer)
                c.fail(refusal(answer), silent=False)
                failure = Unanswered(str(refusal(answer)))
            if n + 1 < tries:
                await asyncio.sleep(random.random() * PAUSE_LIMIT)
        raise failure

    async def post(self, path: str, message: Any) -> Answer:
        """Sends a message; see `call`."""
        return await self.call("POST", path, body=_codec.dumps(message), kind="application/json")

    async def poll(self, ref: Mapping[str, str]) -> list[Any]:
        """Returns commands, after at most POLL_WAIT."""
        body = _codec.dumps({**ref, "wait_ms": int(POLL_WAIT * 1000)})
        order = self._order()
        for n in range(len(order) + 1):
            c = order[n % len(order)]
            patience = POLL_WAIT + POLL_PATIENCES[min(self._polls_failed, len(POLL_PATIENCES) - 1)]
            try:
                answer = await c.send(
                    POLL, "POST", "/v1/worker/poll", body, "application/json", patience, n > 0 or c.silent
                )
            except Unanswered as e:
                self._polls_failed += 1
                c.fail(e, silent=True)
                failure: Exception = e
                continue
            if _elsewhere(answer):
                self._polls_failed += 1
                c.fail(refusal(answer), silent=False)
                failure = Unanswered(str(refusal(answer)))
                continue
            self._polls_failed = 0
            c.succeed()
            # Without an error for an answer that has none, the next poll would follow at once.
            return commands(decoded(_checked(answer)))
        raise failure

    def _hedge(self) -> float:
        return min(max(self.lease / 10, HEDGE_MIN), HEDGE_MAX) if self.lease else HEDGE_MAX

    async def heartbeat(self, message: Any) -> dict[str, Any]:
        """Sends a heartbeat. While a try is not answered, others run beside it, each over a new
        connection, with another coordinator if there is one. The first answer wins."""
        body, hedge, order = _codec.dumps(message), self._hedge(), self._order()
        begun: dict[asyncio.Task[Answer], tuple[Coordinator, float]] = {}

        def begin() -> None:
            c, n = order[len(begun) % len(order)], len(begun)
            task = self._spawn(c.send(
                BEAT, "POST", "/v1/worker/heartbeat", body, "application/json", 2 * hedge, n > 0 or c.silent
            ))
            begun[task] = (c, time.monotonic())

        begin()
        open_tries = set(begun)
        due = time.monotonic() + hedge
        try:
            while True:
                done, _ = await asyncio.wait(
                    open_tries, timeout=max(due - time.monotonic(), 0), return_when=asyncio.FIRST_COMPLETED
                )
                failure: Exception = Unanswered("no answer")
                for task in done:
                    open_tries.discard(task)
                    c, _ = begun[task]
                    try:
                        answer = task.result()
                    except Unanswered as e:
                        c.fail(e, silent=True)
                        failure = e
                        continue
                    if _elsewhere(answer):
                        failure = Unanswered(str(refusal(answer)))
                        c.fail(failure, silent=False)
                        continue
                    c.succeed()
                    for other, at in begun.values():
                        if other is not c and time.monotonic() - at >= hedge:
                            other.fail(Unanswered("another coordinator answered first"), silent=True)
                    return decoded(_checked(answer))
                now = time.monotonic()
                if (done and len(begun) < min(len(order), HEARTBEAT_TRIES)) or (
                    now >= due and len(begun) < HEARTBEAT_TRIES
                ):
                    known = set(begun)
                    begin()
                    open_tries |= begun.keys() - known
                    due = now + hedge
                elif not open_tries:
                    raise failure
                elif now >= due:
                    due = now + hedge
        finally:
            for task in open_tries:
                task.cancel()

    def _spawn(self, f: Coroutine[Any, Any, Answer]) -> asyncio.Task[Answer]:
        task = asyncio.ensure_future(f)
        self._beside.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Answer]) -> None:
        self._beside.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waits for it looks, too


async def pause(delay: float) -> None:
    """Sleeps for about a delay."""
    await asyncio.sleep(delay / 2 + random.random() * delay)


def decoded(answer: Answer) -> dict[str, Any]:
    """Returns the JSON object of an answer."""
    try:
        value = _codec.loads(answer.body, large=Decimal)
    except ValueError as e:
        raise Unanswered(f"the answer is not JSON: {e}"[:300]) from None
    if not isinstance(value, dict):
        raise Unanswered("the answer is not a JSON object")
    return value


def commands(answer: dict[str, Any]) -> list[Any]:
    """Returns the commands of an answer.

    Python reads no integer of thousands of digits. Whoever submits one must not keep the worker from
    the commands beside it: the run fails, and nothing else.
    """
    given = answer.get("commands")
    if not isinstance(given, list):
        raise Unanswered("the answer's commands are no list")
    for c in given:
        a = c.get("assignment") if isinstance(c, dict) else None
        if isinstance(a, dict):
            for name in ("input_params", "config_json"):
                if _large(a.get(name)):
                    a |= {name: None, "unreadable": f"{name}: it has an integer of more digits than Python reads"}
    return given


def _large(value: Any) -> bool:
    """Reports whether there is a number in it that `int` does not take."""
    left = [value]
    while left:
        v = left.pop()
        if isinstance(v, Decimal):
            return True
        if isinstance(v, (dict, list)):
            left += v.values() if isinstance(v, dict) else v
    return False


def _checked(answer: Answer) -> Answer:
    if 200 <= answer.status < 300:
        return answer
    raise refusal(answer)


def key_refused(error: ApiError) -> bool:
    """Reports whether an error says that the worker's key is refused. That is no failure of a run, and if
    heartbeats are refused, too, the lease ends it."""
    return error.code in ("UNAUTHORIZED", "FORBIDDEN")


def session_over(error: ApiError) -> bool:
    """Reports whether an error says that the session is over."""
    return error.code in ("FENCED", "CONFLICT")
