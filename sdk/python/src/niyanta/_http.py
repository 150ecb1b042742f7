"""What both clients do with httpx."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator

import httpx

from ._core import Answer, NoAnswer, Send
from .tls import Certificates, TLSFiles

# The size of the largest answer, in bytes.
ANSWER_LIMIT = 512 << 20
# The length of the longest line of a stream of events, in bytes.
LINE_LIMIT = 64 << 20
CONNECT_TIMEOUT = 5.0
_USER_AGENT = "niyanta-python"


def headers(key: str) -> dict[str, str]:
    """Returns the headers of every request."""
    return {"Authorization": f"Bearer {key}", "User-Agent": _USER_AGENT}


def limits() -> httpx.Limits:
    return httpx.Limits(max_connections=None, max_keepalive_connections=32, keepalive_expiry=30)


def only(tls: TLSFiles | None, http: object | None) -> TLSFiles | None:
    """Returns the files, which a client of one's own has no use for."""
    if tls and http:
        raise ValueError("tls: it is for connections that the SDK makes; http brings its own")
    return tls


def client(tls: TLSFiles | None) -> httpx.Client:
    if tls is None:
        return httpx.Client(limits=limits())
    shown = Certificates(tls)
    return httpx.Client(limits=limits(), verify=shown.context, event_hooks={"request": [shown.look]})


def async_client(tls: TLSFiles | None, bounds: httpx.Limits) -> httpx.AsyncClient:
    if tls is None:
        return httpx.AsyncClient(limits=bounds)
    shown = Certificates(tls)
    return httpx.AsyncClient(limits=bounds, verify=shown.context, event_hooks={"request": [shown.look_async]})


def timeout(seconds: float) -> httpx.Timeout:
    return httpx.Timeout(seconds, connect=min(seconds, CONNECT_TIMEOUT))


def url(send: Send) -> str:
    return send.base + send.request.target


class AnswerTooLarge(Exception):
    """An answer is larger than any of a coordinator's."""


def bounded(response: httpx.Response) -> Answer:
    """Reads an answer. What is compressed counts as what it becomes."""
    body = bytearray()
    for chunk in response.iter_bytes():
        body += _within(chunk, len(body), ANSWER_LIMIT)
    return _answer(response, body)


async def bounded_async(response: httpx.Response, limit: int = 0) -> Answer:
    """Reads an answer, as `bounded` does. 0 is the limit of all answers."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += _within(chunk, len(body), limit or ANSWER_LIMIT)
    return _answer(response, body)


def is_stream(response: httpx.Response) -> bool:
    """Reports whether an answer is a stream of events, and not a page of something on the way."""
    return str(response.headers.get("content-type", "")).startswith("text/event-stream")


def lines(response: httpx.Response) -> Iterator[str]:
    """Yields the lines of a stream of events. Only line breaks end one: texts have other separators."""
    left = _Lines()
    for chunk in response.iter_bytes():
        yield from left.add(chunk)


async def lines_async(response: httpx.Response) -> AsyncIterator[str]:
    """Yields the lines of a stream of events, as `lines` does."""
    left = _Lines()
    async for chunk in response.aiter_bytes():
        for line in left.add(chunk):
            yield line


class _Lines:
    """Splits bytes into lines."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, chunk: bytes) -> list[str]:
        """Returns the lines that are complete now."""
        first, *more = chunk.split(b"\n")
        self._parts.append(_within(first, self._size, LINE_LIMIT))
        self._size += len(first)
        if not more:
            return []
        whole = [b"".join(self._parts), *more[:-1]]
        self._parts, self._size = [more[-1]], len(more[-1])
        return [line.removesuffix(b"\r").decode(errors="replace") for line in whole]


def _within(chunk: bytes, size: int, limit: int) -> bytes:
    if size + len(chunk) > limit:
        raise AnswerTooLarge(f"an answer has more than {limit} bytes: is this a coordinator?")
    return chunk


def _answer(response: httpx.Response, body: bytearray) -> Answer:
    return Answer(response.status_code, {k.lower(): v for k, v in response.headers.items()}, bytes(body))


def no_answer(error: Exception) -> NoAnswer:
    """Tells what a failed try means. Without a connection nothing was sent."""
    unsent = isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol))
    again = not (_certificate(error) or isinstance(error, AnswerTooLarge))
    return NoAnswer(error, acted=not unsent, again=again)


def _certificate(error: BaseException | None) -> bool:
    """Reports whether the cause is a certificate that is not trusted."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
