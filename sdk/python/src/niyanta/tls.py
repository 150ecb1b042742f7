"""Certificates for connections to coordinators."""

from __future__ import annotations

import logging
import os
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

log = logging.getLogger("niyanta.tls")

# The shortest time between two looks at the files, in seconds.
CHECK_INTERVAL = 2.0


@dataclass(frozen=True)
class TLSFiles:
    """The paths of PEM files. Each may be empty.

    `ca` holds the certificates of the authorities that coordinators are checked against; empty: those
    of the system. `cert` holds the certificate that this side shows, `key` its private key. The files
    are read again when they change: new ones apply to the connections that follow, and files that
    cannot be used leave the earlier ones in use.
    """

    ca: str = ""
    cert: str = ""
    key: str = ""

    @classmethod
    def from_environment(cls) -> TLSFiles:
        """Returns the files that the variables NIYANTA_COORDINATOR_CA_FILE,
        NIYANTA_COORDINATOR_CERT_FILE and NIYANTA_COORDINATOR_KEY_FILE name."""
        return cls(*(os.environ.get(f"NIYANTA_COORDINATOR_{name}_FILE", "") for name in ("CA", "CERT", "KEY")))

    def load(self, context: ssl.SSLContext) -> None:
        """Has a context use the files."""
        if bool(self.cert) != bool(self.key):
            raise ValueError("tls: a certificate and its key go together")
        if self.ca:
            context.load_verify_locations(cafile=self.ca)
        if self.cert:
            context.load_cert_chain(self.cert, self.key)

    def context(self) -> ssl.SSLContext:
        """Returns a context with the files as they are now."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if not self.ca:
            context.load_default_certs()
        self.load(context)
        return context

    def content(self) -> list[bytes]:
        """Returns what the files hold."""
        return [Path(path).read_bytes() for path in (self.ca, self.cert, self.key) if path]


class _Following(ssl.SSLContext):
    """Makes each connection with the context of the files as they are now. A context only adds
    authorities: to trust one no more takes another context."""

    now: ssl.SSLContext
    _alpn: tuple[str, ...] = ()

    def follow(self, context: ssl.SSLContext) -> None:
        """Has the connections that follow use another context."""
        if self._alpn:
            context.set_alpn_protocols(self._alpn)
        self.now = context

    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        self._alpn = tuple(alpn_protocols)
        self.now.set_alpn_protocols(self._alpn)

    def wrap_socket(self, *arguments: Any, **named: Any) -> ssl.SSLSocket:
        return self.now.wrap_socket(*arguments, **named)

    def wrap_bio(self, *arguments: Any, **named: Any) -> ssl.SSLObject:
        return self.now.wrap_bio(*arguments, **named)


class Certificates:
    """A context that follows its files. `look` before a request has it use new ones."""

    def __init__(self, files: TLSFiles) -> None:
        self._files = files
        self._seen = files.content()
        self._following = _Following(ssl.PROTOCOL_TLS_CLIENT)
        self._following.follow(files.context())
        self.context: ssl.SSLContext = self._following
        self._checked = time.monotonic()

    def look(self, *_: object) -> None:
        """Reads the files again if they have changed."""
        now = time.monotonic()
        if now - self._checked < CHECK_INTERVAL:
            return
        self._checked = now
        try:
            content = self._files.content()
            if content == self._seen:
                return
            self._seen = content
            self._following.follow(self._files.context())
        except (OSError, ValueError) as error:  # SSLError is an OSError
            log.warning("the new certificates cannot be used, the earlier ones stay in use: %s", error)

    async def look_async(self, *_: object) -> None:
        """Does what `look` does, for asynchronous clients."""
        self.look()
