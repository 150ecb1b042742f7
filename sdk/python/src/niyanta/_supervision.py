"""What a supervised worker knows of its supervisor, and tells it. See `supervise`."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable
from dataclasses import astuple, dataclass

from .tls import TLSFiles

#: Holds the descriptor, the process id and the digest for the worker, separated by colons.
VARIABLE = "NIYANTA_SUPERVISED"


@dataclass(frozen=True)
class Supervision:
    """A supervisor that certifies the death of this process."""

    process_id: str
    digest: str
    _line: socket.socket

    @classmethod
    def take(cls) -> Supervision | None:
        """Returns this process's supervision, and takes it out of the environment; None: it has no
        supervisor, or another worker of this process has taken it."""
        text = os.environ.pop(VARIABLE, "")
        if not text:
            return None
        fd, process_id, digest = text.split(":")
        line = socket.socket(fileno=int(fd))
        line.set_inheritable(False)
        return cls(process_id, digest, line)

    def begin(self, url: str, key: str, tls: TLSFiles | None, orphaned: Callable[[], None]) -> None:
        """Tells the supervisor how coordinators are reached. orphaned is called, in another thread, when
        the supervisor has ended."""
        told = {"url": url, "key": key, "tls": None if tls is None else astuple(tls)}
        self._line.sendall(json.dumps(told).encode() + b"\n")

        def watch() -> None:
            try:
                self._line.recv(1)  # nothing is sent: it returns when the supervisor has ended
            except OSError:
                pass
            orphaned()

        threading.Thread(target=watch, name="niyanta supervision", daemon=True).start()
