"""What both clients do with httpx."""

from __future__ import annotations

import ssl

import httpx

from ._core import Answer, NoAnswer, Send
from .tls import Certificates, TLSFiles

# The size of the largest answer, in bytes.
ANSWER_LIMIT = 512 << 20
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


def answer(response: httpx.Response, body: bytes) -> Answer:
    return Answer(response.status_code, {k.lower(): v for k, v in response.headers.items()}, body)


def no_answer(error: Exception) -> NoAnswer:
    """Tells what a failed try means. Without a connection nothing was sent."""
    unsent = isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol))
    return NoAnswer(error, acted=not unsent, again=not _certificate(error))


def _certificate(error: BaseException | None) -> bool:
    """Reports whether the cause is a certificate that is not trusted."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
