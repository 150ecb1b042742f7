"""Reports and log lines on their way to the coordinators.

Reports of one run arrive in order: while some are under way, the next ones wait. Reports of
different runs don't wait for each other. What arises while a request is under way gathers for the
next one, so a busy worker needs few requests. Lines go after everything else; the last ones of a
run go with its outcome.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from . import _codec
from ._core import Answer
from ._handlers import MESSAGE_LIMIT
from ._plane import Unanswered, decoded, log, session_over
from ._results import RESULT_BYTES, RESULT_LEFT, halved, shortened
from ._run import REPORTING, Line, Run, Session, clock
from .errors import ApiError
from .stops import LeaseLost

if TYPE_CHECKING:
    from ._agent import Agent

# The bounds of one request. A single report may be larger.
BATCH, BATCH_BYTES = 1000, 512 << 10
# The bounds of the lines of one report, and of one request.
LINES, LINE_BYTES, CALL_LINE_BYTES = 500, 128 << 10, 256 << 10
# The bounds of the lines of a run that wait. The oldest are dropped beyond them.
LINES_WAITING, LINE_BYTES_WAITING = 10_000, 1 << 20
# How long the outcome of a run waits for lines that do not fit in one report.
OUTCOME_DELAY = 5.0
# The shortest time between two progress reports of a run.
PROGRESS_INTERVAL = 1.0
# Beyond this many reports no declines are added: assignments that do not start are taken back.
LIMIT = 20_000

ENDS = frozenset(("complete", "fail", "paused", "release", "decline"))


@dataclass(eq=False)
class Report:
    """A report to send. `run` is None if its answer does not matter."""

    run: Run | None
    event: str
    message: dict[str, Any]
    #: The result as JSON.
    result: bytes | None = None
    lines: list[Line] = field(default_factory=list)
    #: How many dropped lines the first of `lines` stands for; 0: it is one of the run's own.
    dropped: int = 0
    #: Lines of an outcome that was too large for one request. They go before it.
    of_outcome: bool = False
    cut: bool = False

    @property
    def more(self) -> bool:
        """Reports whether the message has more than every report has."""
        return len(self.message) > 3

    def encoded(self) -> bytes:
        data = _codec.dumps({**self.message, "event": self.event}) if self.more else _short(self.message, self.event)
        if self.lines:
            data = data[:-1] + b',"lines":[' + b",".join(line.encoded() for line in self.lines) + b"]}"
        return data if self.result is None else data[:-1] + b',"result":' + self.result + b"}"

    def size(self) -> int:
        return len(self.result or b"") + (sum(line.size() for line in self.lines) if self.lines else 0)


def _short(message: dict[str, Any], event: str) -> bytes:
    """Encodes a report that names its run and its event only, as most do."""
    text = (
        f'{{"report_id":"{message["report_id"]}","workload_id":{_codec.quoted(message["workload_id"])},'
        f'"generation":{message["generation"]},"event":"{event}"}}'
    )
    return text.encode("utf-8", "backslashreplace")


@dataclass(eq=False)
class _Flight:
    session: Session
    batch: list[Report] = field(default_factory=list)


class Outbox:
    """The reports of an agent. Only its loop uses it."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self.reports: list[Report] = []
        self.moved: dict[Run, None] = {}  # runs with progress to report
        self.logged: dict[Run, None] = {}  # runs with lines to report
        self._flights: set[_Flight] = set()
        # What makes report ids unique. Random ones would cost a system call each.
        self._prefix, self._number = uuid.uuid4().hex, itertools.count(1)

    def __bool__(self) -> bool:
        return bool(self.reports or self._flights)

    def _message(self, key: tuple[str, int], **more: Any) -> dict[str, Any]:
        report_id = f"{self._prefix}{next(self._number):x}"
        return {"report_id": report_id, "workload_id": key[0], "generation": key[1], **more}

    def clear(self) -> None:
        """Drops everything, because the session is over."""
        self.reports.clear()
        self.moved.clear()
        self.logged.clear()
        self._flights.clear()

    def post(self, run: Run, event: str, result: bytes | None = None, **more: Any) -> None:
        """Adds a report of a run."""
        if result is not None and len(result) > RESULT_BYTES:
            result = shortened(result)
        self.reports.append(Report(run, event, self._message(run.key, **more), result))
        self._agent.wake.set()

    def tell(self, key: tuple[str, int], event: str, reason: str) -> None:
        """Adds a report whose answer does not matter."""
        if len(self.reports) < LIMIT:
            self.reports.append(Report(None, event, self._message(key, reason=reason)))
            self._agent.wake.set()

    def drop(self, run: Run) -> None:
        """Drops the reports of a run that may report nothing any more."""
        self.reports = [r for r in self.reports if r.run is not run]

    def add_lines(self, run: Run, lines: Iterable[Line], dropped: int) -> None:
        """Adds lines of a run. A flood keeps its newest lines."""
        run.dropped += dropped
        for line in lines:
            run.lines.append(line)
            run.line_bytes += line.size()
        self._drop_oldest(run, LINES_WAITING, LINE_BYTES_WAITING)
        self.logged[run] = None
        self._agent.wake_lines.set()

    @staticmethod
    def _drop_oldest(run: Run, count: int, size: int) -> None:
        while len(run.lines) > count or run.line_bytes > size:
            run.line_bytes -= run.lines.popleft().size()
            run.dropped += 1

    async def send_reports(self) -> bool:
        """Sends a batch of reports. Returns whether there were any. Raises what kept it from being answered."""
        return await self._fly(self._take_reports)

    async def send_lines(self) -> bool:
        """Sends a batch of lines. Returns whether there were any. Raises what kept it from being answered."""
        return await self._fly(self._take_lines)

    async def _fly(self, take: Any) -> bool:
        session = self._agent.live_session()
        if session is None:
            return False
        flight = _Flight(session)
        take(flight)
        if not flight.batch:
            return False
        self._flights.add(flight)
        try:
            unanswered, failure = await self._send(session, flight.batch)
            self._put_back(session, unanswered)
        except Exception:
            # A mistake of the worker itself. Nobody may wait for what is lost: others run these anew.
            log.exception("%d reports are lost", len(flight.batch))
            for run in {r.run: None for r in flight.batch if r.run is not None}:
                self._agent.runs.abandon(run, LeaseLost("the worker lost its reports"))
            return True
        finally:
            self._land(flight)
        if failure is not None:
            raise failure
        return True

    def _land(self, flight: _Flight) -> None:
        for report in flight.batch:
            if (run := report.run) is not None:
                if run.sending is flight:
                    run.sending = None
                if run.sending_lines is flight:
                    run.sending_lines = None
                    if run.state == REPORTING:
                        self._agent.wake.set()  # the outcome may have waited for these lines
        self._flights.discard(flight)
        if self.reports:
            self._agent.wake.set()

    def _take_reports(self, flight: _Flight) -> None:
        now = clock()
        self._collect_progress(now)
        rest: list[Report] = []
        size = 0
        for i, report in enumerate(self.reports):
            if len(flight.batch) >= BATCH or size > BATCH_BYTES:
                rest += self.reports[i:]
                break
            run = report.run
            if run is not None:
                if run.sending not in (None, flight) or (
                    report.event in ENDS and not self._with_last_lines(run, report, now)
                ):
                    rest.append(report)
                    continue
                run.sending = flight
            flight.batch.append(report)
            size += report.size()
        self.reports = rest

    def _collect_progress(self, now: float) -> None:
        for run in list(self.moved):
            if run.abandoned or run.state == REPORTING or run.progress is None:
                del self.moved[run]
            elif run.sending is None and now - run.progress_at >= PROGRESS_INTERVAL:
                percent, message = run.progress
                del self.moved[run]
                run.progress, run.progress_at = None, now
                self.reports.append(Report(
                    run, "progress", self._message(run.key, progress_percent=percent, progress_message=message)
                ))

    def _with_last_lines(self, run: Run, report: Report, now: float) -> bool:
        """Puts the remaining lines into the report that ends a run, and returns whether that may be
        sent: older lines go before it, unless they cannot be delivered in time."""
        if report.cut:
            return True
        gave_up = now - run.ended_at >= OUTCOME_DELAY
        fits = len(run.lines) < LINES and run.line_bytes <= LINE_BYTES
        if run.sending_lines is not None or not (fits or gave_up):
            return False
        self._drop_oldest(run, LINES - 1, LINE_BYTES)
        self._cut(run, report)
        report.cut = True
        return True

    def _take_lines(self, flight: _Flight) -> None:
        now, size = clock(), 0
        for run in list(self.logged):
            fits = len(run.lines) < LINES and run.line_bytes <= LINE_BYTES
            last = run.state == REPORTING and (fits or now - run.ended_at >= OUTCOME_DELAY)
            if run.abandoned or last or not run.lines:
                del self.logged[run]
                continue
            if not run.acknowledged.is_set() or run.sending_lines is not None or size >= CALL_LINE_BYTES:
                continue
            report = Report(run, "log", self._message(run.key))
            self._cut(run, report)
            size += report.size()
            run.sending_lines = flight
            flight.batch.append(report)
            del self.logged[run]
            if run.lines:
                self.logged[run] = None  # behind the others: runs take turns
            if len(flight.batch) >= BATCH:
                break

    @staticmethod
    def _cut(run: Run, report: Report) -> None:
        """Moves the oldest lines into a report. A first one says how many were dropped."""
        size = 0
        if run.dropped:
            at = run.lines[0].at if run.lines else now_text()
            report.lines.append(Line(at, "WARN", f"{run.dropped} log lines were dropped: the run writes "
                                     "faster than they can be delivered"))
            report.dropped, run.dropped = run.dropped, 0
        while run.lines and len(report.lines) < LINES and size + run.lines[0].size() <= LINE_BYTES:
            line = run.lines.popleft()
            size += line.size()
            report.lines.append(line)
        run.line_bytes -= size

    async def _send(self, session: Session, batch: list[Report]) -> tuple[list[Report], Exception | None]:
        """Delivers a batch and applies the answers. Returns what was not answered, and why."""
        try:
            head = _codec.dumps(self._agent.ref(session))
            body = head[:-1] + b',"reports":[' + b",".join(r.encoded() for r in batch) + b"]}"
            answer = await self._agent.plane.call("POST", "/v1/worker/report", body=body, kind="application/json")
            answers = _answers(answer, len(batch))
        except ApiError as e:
            if session_over(e):
                self._agent.end_session(session, str(e))
                return [], None
            return await self._isolate(session, batch, e) if e.status in (400, 413) else (batch, e)
        except Unanswered as e:
            return batch, e
        for report, a in zip(batch, answers):
            self._settle(report, a)
        return [], None

    async def _isolate(
        self, session: Session, batch: list[Report], error: ApiError
    ) -> tuple[list[Report], Exception | None]:
        """Sends a refused batch again in halves, so that a bad report does not delay the others."""
        half = len(batch) // 2
        first, rest = batch[:half], batch[half:]
        if len(batch) == 1:
            report = batch[0]
            if error.status == 413 and len(report.lines) < 2 and len(report.result or b"") > RESULT_LEFT:
                assert report.result is not None
                report.result = halved(report.result)
                log.warning("the result of %s is cut: %s", report.message["workload_id"], error)
                return await self._send(session, batch)
            if error.status != 413 or len(report.lines) < 2 or report.run is None:
                log.error("report %s of %s is refused: %s", report.event, report.message["workload_id"], error)
                self._refused(report, str(error))
                return [], None
            half = len(report.lines) // 2
            first = [Report(report.run, "log", self._message(report.run.key), lines=report.lines[:half],
                            of_outcome=report.of_outcome or report.event in ENDS)]
            report.lines, report.dropped, rest = report.lines[half:], 0, [report]
        unanswered, failure = await self._send(session, first)
        if failure is not None:
            return unanswered + rest, failure
        return await self._send(session, rest)

    def _refused(self, report: Report, why: str) -> None:
        """Has a run whose outcome is refused fail for good. Without an outcome it would be taken for lost
        and run again, which would end alike, for ever."""
        run = report.run
        if run is None or report.event not in ENDS:
            return
        if report.event == "complete":
            message = f"the coordinator refused the result: {why}"[:MESSAGE_LIMIT]
            self.post(run, "fail", failure={"type": "invalid_result", "message": message, "permanent": True})
        else:
            self._agent.runs.remove(run)

    def _put_back(self, session: Session, batch: list[Report]) -> None:
        """Puts unanswered reports back where they came from, in order."""
        if self._agent.session is not session or session.over:
            return
        kept: list[Report] = []
        for report in reversed(batch):
            run = report.run
            if run is not None and run.abandoned:
                continue
            if run is not None and report.event == "log" and not report.of_outcome:
                lines = report.lines[1:] if report.dropped else report.lines
                run.lines.extendleft(reversed(lines))
                run.line_bytes += sum(line.size() for line in lines)
                run.dropped += report.dropped
                self._drop_oldest(run, LINES_WAITING, LINE_BYTES_WAITING)
                self.logged[run] = None
            elif run is not None and report.event == "progress":
                if run.progress is None:  # otherwise newer progress waits
                    run.progress = (report.message["progress_percent"], report.message["progress_message"])
                    run.progress_at = 0
                    self.moved[run] = None
            else:
                kept.append(report)
        self.reports[:0] = reversed(kept)

    def _settle(self, report: Report, answer: dict[str, Any]) -> None:
        """Applies the answer to one report."""
        run, outcome = report.run, answer.get("outcome")
        if run is None:
            return
        if outcome in ("applied", "already"):
            if report.event == "start":
                run.acknowledged.set()
                if run.lines:
                    self._agent.wake_lines.set()
        elif outcome in ("fenced", "not_found"):
            self._agent.runs.fenced(run, answer.get("status", ""))
        else:
            log.warning("report %s of %s is not accepted: %.1000s", report.event, run.key[0], answer)
            if outcome == "refused" and report.event == "complete":
                self._refused(report, str(answer.get("reason", "")))
                return
        if report.event in ENDS:
            self._agent.runs.remove(run)


def _answers(answer: Answer, count: int) -> list[dict[str, Any]]:
    answers = decoded(answer).get("answers")
    if not isinstance(answers, list) or len(answers) != count or not all(_settled(a) for a in answers):
        raise Unanswered(f"{count} reports were not all answered")
    return answers


def _settled(answer: Any) -> bool:
    """Reports whether an answer says what has become of a report."""
    return isinstance(answer, dict) and isinstance(answer.get("outcome"), str) and answer["outcome"] != ""


def now_text() -> str:
    """Returns the time of day as messages carry it."""
    return _codec.timestamp(datetime.now(timezone.utc))
