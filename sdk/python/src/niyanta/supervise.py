"""Runs a worker program as a supervised child: `python -m niyanta.supervise worker.py`.

The supervisor is the subreaper of everything that the program starts. It forwards signals, and
reaps orphans if it is process 1. When the program has ended, it kills its descendants until none is
left, and only then certifies the death to a coordinator: what the worker was running moves at once,
instead of when its lease ends. It never starts the program again, and exits as the program did. When
the supervisor ends first, the worker drains.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import logging
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import time
import uuid

import httpx

from . import _http
from ._core import parse_urls
from ._supervision import VARIABLE
from .tls import TLSFiles

log = logging.getLogger("niyanta.supervise")

# How long descendants are killed, and how long coordinators are told.
KILL_TIMEOUT, CERTIFY_TIMEOUT = 10.0, 10.0
# The time between two looks for descendants that still live, and between two rounds of telling.
_KILL_INTERVAL, _CERTIFY_INTERVAL = 0.002, 0.2
# The time between two reaps without a signal, because a SIGCHLD may be lost.
_REAP_INTERVAL = 1.0
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER


class Supervisor:
    """Supervises one program."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._process_id = f"proc_{uuid.uuid4().hex}"
        self._secret = secrets.token_hex(32)
        self._child = 0
        self._signals: list[int] = []  # to be forwarded
        self._told = b""
        self._bases: list[str] = []
        self._http: httpx.Client | None = None

    def run(self) -> int:
        """Supervises until nothing of the program is left, and returns the status to exit with."""
        wake, waker = os.pipe()
        for fd in (wake, waker):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2,
                       signal.SIGWINCH, signal.SIGCONT):
            signal.signal(number, lambda number, _: self._signals.append(number))
        ours = self._start()
        status = self._supervise(wake, ours)
        if os.WIFSIGNALED(status):
            log.warning("the supervised process %d was killed by signal %d", self._child, os.WTERMSIG(status))
        if left := _end_descendants():
            log.error("descendants survive, so the death is not certified: %s", left)
        else:
            self._certify()
        ours.close()  # the worker would take its end for the supervisor's
        return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        digest = hashlib.sha256(self._secret.encode()).hexdigest()
        with theirs:
            # A process group of its own, so that a signal of a terminal reaches it only once, through
            # this process.
            process = subprocess.Popen(
                self._command, pass_fds=[theirs.fileno()], process_group=0,
                env={**os.environ, VARIABLE: f"{theirs.fileno()}:{self._process_id}:{digest}"},
            )
        self._child = process.pid
        process.returncode = 0  # it is waited for here
        return ours

    def _supervise(self, wake: int, ours: socket.socket) -> int:
        """Returns the status of the program when it has ended."""
        watched: list[int | socket.socket] = [wake, ours]
        while True:
            if (status := self._reap()) is not None:
                return status
            while self._signals:
                os.kill(self._child, self._signals.pop(0))  # it is not reaped, so the id is its own
            ready, _, _ = select.select(watched, [], [], _REAP_INTERVAL)
            if wake in ready:
                try:
                    os.read(wake, 4096)
                except BlockingIOError:
                    pass
            if ours in ready and not self._listen(ours):
                watched.remove(ours)

    def _reap(self) -> int | None:
        """Waits for every child that has ended. Returns the status of the program if it is among them."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return None
            if pid == self._child:
                return status
            if pid == 0:
                return None

    def _listen(self, ours: socket.socket) -> bool:
        """Reads how coordinators are reached, which the worker tells in one line."""
        try:
            data = ours.recv(65536)
        except OSError:
            return False
        self._told += data
        if self._told.endswith(b"\n"):
            told = json.loads(self._told)
            self._bases = parse_urls(told["url"])
            # It is made now, because a context for TLS takes time, and a file may go.
            self._http = _http.client(TLSFiles(*told["tls"]) if told["tls"] else None)
            self._http.headers.update(_http.headers(told["key"]))
            return False
        return bool(data)

    def _certify(self) -> None:
        """Tells the coordinators of the death, one after the other, until one has heard it."""
        if self._http is None:
            return  # it has not run a worker
        until = time.monotonic() + CERTIFY_TIMEOUT
        body = {"process_id": self._process_id, "secret": self._secret}
        failure = ""
        while time.monotonic() < until:
            for base in self._bases:
                try:
                    answer = self._http.post(f"{base}/v1/worker/end", json=body, timeout=1.0)
                except (httpx.HTTPError, OSError) as e:
                    failure = str(e) or type(e).__name__
                    continue
                if answer.is_success:
                    return
                failure = f"{answer.status_code} {answer.text[:200]}"
                if answer.status_code == 403:
                    until = 0
                    break
            time.sleep(_CERTIFY_INTERVAL)
        log.error("the death is not certified: the work moves when its lease ends: %s", failure)


def _end_descendants() -> list[int]:
    """Kills this process's descendants until none is left, and returns who survives.

    It kills children only, because no other process can get the id of a child that is not reaped. A
    process that loses its parent becomes a child of this one, the subreaper.
    """
    until = time.monotonic() + KILL_TIMEOUT
    while True:
        children = _children()
        for pid in children:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return []  # the system says so, whatever /proc shows
        if time.monotonic() > until:
            return children
        time.sleep(_KILL_INTERVAL)


def _children() -> list[int]:
    me, found = str(os.getpid()), []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as f:
                    # "pid (name) state ppid …": the name may hold anything, parentheses too.
                    rest = f.read().rsplit(b")", 1)[1].split()
            except (OSError, IndexError):
                continue  # it has ended
            if rest[1].decode() == me:
                found.append(int(name))
    return found


def main() -> None:
    """Runs the program that the arguments name, with this interpreter."""
    if len(sys.argv) < 2:
        print("usage: python -m niyanta.supervise PROGRAM.py [ARGUMENT ...]", file=sys.stderr)
        sys.exit(2)
    logging.basicConfig(level=logging.INFO, format="%(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    command = [sys.executable, *sys.argv[1:]]
    if sys.platform != "linux" or ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0) != 0:
        log.warning("running without a supervisor: the work of a killed worker waits for its lease")
        os.execv(command[0], command)
    sys.exit(Supervisor(command).run())


if __name__ == "__main__":
    main()
