"""A progress bar of a workload, in a notebook, on a terminal, or as lines of text."""

from __future__ import annotations

import html
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TextIO

from .errors import NiyantaError, printable

if TYPE_CHECKING:
    from .aio import AsyncWorkloads
    from .client import Workloads
    from .models import Event, Workload

# Without a terminal, a line is written at each change of the status and each such step in percent.
_STEP = 10
_WIDTH = 30


class Watchable:
    """What a client returned that stands for a workload."""

    workload_id: str
    _workloads: ClassVar[Any] = None

    def watch(self) -> Workload:
        """Shows a progress bar until the workload has ended, and returns it as it is then. An interrupt
        ends the bar, not the workload."""
        workloads: Workloads = self._client("await workload.watch_async()", awaits=False)
        w, draw = workloads.get(self.workload_id), drawing()
        if not w.is_final:
            shown = Shown(w)
            for event in workloads.watch(self.workload_id):  # from the workload's first one on
                if shown.apply(event):
                    draw(shown, False)
            w = workloads.get(self.workload_id)
        draw(Shown(w), True)
        return w

    async def watch_async(self) -> Workload:
        """Does what `watch` does, for what an AsyncClient has returned."""
        workloads: AsyncWorkloads = self._client("workload.watch()", awaits=True)
        w, draw = await workloads.get(self.workload_id), drawing()
        if not w.is_final:
            shown = Shown(w)
            async for event in workloads.watch(self.workload_id):
                if shown.apply(event):
                    draw(shown, False)
            w = await workloads.get(self.workload_id)
        draw(Shown(w), True)
        return w

    def _client(self, instead: str, awaits: bool) -> Any:
        workloads = self.__dict__.get("_workloads")
        if workloads is None:
            raise NiyantaError(
                f"workload {self.workload_id} does not know its client: use client.workloads.watch(workload_id)"
            )
        if workloads.awaits != awaits:
            raise NiyantaError(f"workload {self.workload_id} is of the other kind of client: use {instead}")
        return workloads

    def __getstate__(self) -> dict[str, Any]:
        """Returns what is copied and pickled: without the client."""
        return {k: v for k, v in self.__dict__.items() if k != "_workloads"}


def bound(value: Any, workloads: Any) -> Any:
    """Has what a client returned know the client."""
    if isinstance(value, Watchable):
        object.__setattr__(value, "_workloads", workloads)  # its members are frozen, and this is none of them
    return value


class Shown:
    """What a bar shows of a workload."""

    def __init__(self, w: Workload) -> None:
        self.workload_id, self.workload_type = w.workload_id, w.workload_type
        self.status, self.percent = str(w.status), 100.0 if w.status == "COMPLETED" else w.progress_percent
        self.message, self.worker = w.progress_message or "", w.worker_id or ""
        if w.is_final:
            self.message = w.error_message or w.status_reason or ""

    def apply(self, e: Event) -> bool:
        """Notes an event, and reports whether the bar changes."""
        before = vars(self).copy()
        if e.type != "log_line":
            self.status = str(e.status or self.status)
            self.worker = e.worker_id or self.worker
            if e.progress_percent is not None:
                self.percent, self.message = e.progress_percent, e.message or self.message
        return vars(self) != before

    def line(self) -> str:
        done = int(self.percent / 100 * _WIDTH)
        parts = [f"[{'#' * done}{'.' * (_WIDTH - done)}] {self.percent:3.0f} %", self.status]
        parts += [self.message] if self.message else []
        parts += [f"on {self.worker}"] if self.worker else []
        return f"{self.workload_type} {' · '.join(parts)}".replace("\n", " ")

    def html(self) -> str:
        return (
            f"<div><code>{html.escape(self.workload_id)}</code> {html.escape(self.workload_type)} "
            f'<progress max="100" value="{self.percent:.1f}"></progress> {self.percent:.0f} % '
            f"<b>{html.escape(self.status)}</b> {html.escape(self.message)}"
            f"{' on ' + html.escape(self.worker) if self.worker else ''}</div>"
        )

    def _repr_html_(self) -> str:
        return self.html()

    def __repr__(self) -> str:
        return printable(self.line())


Draw = Callable[[Shown, bool], None]


def drawing() -> Draw:
    """Returns how a bar is drawn here."""
    return _notebook() or (_terminal(sys.stderr) if sys.stderr.isatty() else _lines(sys.stderr))


def _notebook() -> Draw | None:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from IPython.display import display

    handle: Any = None

    def draw(shown: Shown, _: bool) -> None:
        nonlocal handle
        if handle is None:
            handle = display(shown, display_id=True)
        else:
            handle.update(shown)

    return draw


def _terminal(out: TextIO) -> Draw:
    def draw(shown: Shown, last: bool) -> None:
        out.write(f"\r\x1b[2K{printable(shown.line())}" + ("\n" if last else ""))
        out.flush()

    return draw


def _lines(out: TextIO) -> Draw:
    status, percent = "", -float(_STEP)

    def draw(shown: Shown, last: bool) -> None:
        nonlocal status, percent
        if last or shown.status != status or shown.percent >= percent + _STEP:
            status, percent = shown.status, shown.percent
            out.write(printable(shown.line()) + "\n")
            out.flush()

    return draw


def table(title: str, rows: list[tuple[str, Any]]) -> str:
    """Returns rows as a table in HTML. What is None or empty is left out."""
    shown = "".join(
        f'<tr><th style="text-align:left">{html.escape(name)}</th>'
        f'<td style="text-align:left">{html.escape(str(value))}</td></tr>'
        for name, value in rows if value not in (None, "", {}, [])
    )
    return f"<table><caption>{html.escape(title)}</caption>{shown}</table>"
