"""The operations of the API, as effects. See `_core`."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from . import _codec
from ._core import (
    FOREVER, IDEMPOTENCY_KEY, Answer, Core, Effects, Item, Items, Request, call, fetch, follow, header, segment,
)
from .errors import InvalidInput, Unavailable, WaitTimeout
from .models import (
    AffinityRules, AuditEvent, CheckpointInfo, Control, Customer, Event, LogLine, Placement, Resources, Retried,
    RetryBackoff, Status, Submission, SubmissionResult, Submitted, Workload, WorkloadConfig,
)
from .resources import Reservation

T = TypeVar("T")

#: The length of one long poll, in seconds.
WAIT_STEP = 30.0
PAGE = 100


_JSON = {"Content-Type": "application/json"}


def _json(method: str, path: str, body: Any, key: str | None = None) -> Request:
    headers = {**_JSON, IDEMPOTENCY_KEY: key} if key else _JSON
    try:
        return Request(method=method, path=path, body=_codec.dumps(body), headers=headers)
    except (TypeError, ValueError) as e:
        raise InvalidInput(f"the request cannot be written as JSON: {e}") from None


def _decoded(tp: type[T], value: Any) -> T:
    """Returns what an answer holds."""
    try:
        return _codec.decode(tp, value)
    except _codec.Mismatch as e:
        raise Unavailable(f"the answer is not what a coordinator answers: {e}") from None


def _list(answer: Any, name: str) -> list[Any]:
    """Returns a member of an answer that is a list."""
    found = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(found, list):
        raise Unavailable(f"the answer is not what a coordinator answers: it has no list {name}")
    return found


def _key(given: str | None) -> str:
    return secrets.token_urlsafe(20) if given is None else header("idempotency_key", given)


def seconds(value: float | timedelta) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else value


def _whole_seconds(value: float | timedelta) -> int:
    """Returns whole seconds, rounded up: what is not 0 never becomes 0, which means "none"."""
    return -int(-seconds(value) // 1)


def _query(**values: Any) -> tuple[tuple[str, str], ...]:
    pairs: list[tuple[str, str]] = []
    for name, value in values.items():
        if value is None:
            continue
        for v in value if isinstance(value, (list, tuple)) else (value,):
            pairs.append((name, _codec.timestamp(v) if isinstance(v, datetime) else str(v)))
    return tuple(pairs)


# Workloads.


def submit(
    core: Core, workload_type: str, input_params: Any, *, priority: int | None = None,
    labels: Mapping[str, str] | None = None, timeout: float | timedelta | None = None,
    max_retries: int | None = None, run_at: datetime | None = None, affinity_rules: AffinityRules | None = None,
    resources: Reservation | None = None, idempotency_key: str | None = None,
) -> Effects[Submitted]:
    """Stores a workload.

    `input_params` is an object: a mapping or a dataclass. `timeout` bounds one run, in seconds; 0
    means none. `resources` is what it reserves on its worker, such as GPUs. With an
    idempotency key of your own, also submitting again, even from another process, stores one
    workload only, for 24 h. Without, one is made for this call.
    """
    submission = Submission(
        workload_type=workload_type, input_params=input_params, priority=priority, labels=labels,
        timeout_seconds=None if timeout is None else _whole_seconds(timeout), max_retries=max_retries,
        run_at=run_at, affinity_rules=affinity_rules, resources=resources,
    )
    request = _json("POST", "/v1/workloads", _submission(submission), _key(idempotency_key))
    return _decoded(Submitted, (yield from fetch(core, request)))


def _submission(s: Submission) -> dict[str, Any]:
    # The input keeps its nulls: they are the workload's own.
    return {**_codec.compact(replace(s, input_params={})), "input_params": s.input_params}


def submit_batch(
    core: Core, submissions: Iterable[Submission], *, idempotency_key: str | None = None
) -> Effects[list[SubmissionResult]]:
    """Stores up to 1,000 workloads. Each is accepted or refused on its own, in order."""
    body = {"workloads": [_submission(s) for s in submissions]}
    answer = yield from fetch(core, _json("POST", "/v1/workloads/batch", body, _key(idempotency_key)))
    return [_decoded(SubmissionResult, r) for r in _list(answer, "results")]


def get(core: Core, workload_id: str) -> Effects[Workload]:
    """Returns a workload."""
    request = Request(method="GET", path=f"/v1/workloads/{segment(workload_id)}")
    return _decoded(Workload, (yield from fetch(core, request)))


def wait_for_completion(
    core: Core, workload_id: str, timeout: float | timedelta | None = None
) -> Effects[Workload]:
    """Returns the workload when it is final. Raises WaitTimeout if that takes longer than `timeout`.

    While no coordinator answers, the wait goes on. `Workload.result` returns the output.
    """
    limit = FOREVER if timeout is None else seconds(timeout)
    began = core.clock()
    while True:
        left = max(limit - (core.clock() - began), 0)
        # Not 0: a wait of nothing would be repeated without a pause until the time is over.
        wait = max(min(left, WAIT_STEP), 0.001)
        request = Request(
            method="GET", path=f"/v1/workloads/{segment(workload_id)}",
            query=(("wait", f"{-int(-wait * 1000 // 1)}ms"),), wait=wait,
        )
        workload = _decoded(Workload, (yield from fetch(core.patient(left), request)))
        if workload.is_final:
            return workload
        if core.clock() - began >= limit:
            raise WaitTimeout(workload, limit)


def list_workloads(
    core: Core, *, status: Sequence[Status | str] | Status | str | None = None, workload_type: str | None = None,
    labels: Mapping[str, str] | None = None, created_after: datetime | None = None,
    created_before: datetime | None = None, order_by: str | None = None, order: str | None = None,
) -> Items[Workload]:
    """Yields all workloads that match, the newest first, page after page."""
    statuses = [status] if isinstance(status, str) else status
    query = _query(
        status=None if statuses is None else [str(s) for s in statuses], workload_type=workload_type,
        label=[f"{k}={v}" for k, v in (labels or {}).items()], created_after=created_after,
        created_before=created_before, order_by=order_by, order=order,
    )
    yield from _pages(core, "/v1/workloads", "workloads", Workload, query)


@dataclass(frozen=True)
class _Pagination:
    next_cursor: str | None = None


@dataclass(frozen=True)
class _Page:
    pagination: _Pagination = _Pagination()


def _pages(
    core: Core, path: str, collection: str, tp: type[T], query: tuple[tuple[str, str], ...] = (),
    limit: int | None = PAGE,
) -> Items[T]:
    if limit:
        query += (("limit", str(limit)),)
    cursor: str | None = None
    while True:
        more = (("cursor", cursor),) if cursor else ()
        page = yield from fetch(core, Request(method="GET", path=path, query=query + more))
        for item in _list(page, collection):
            yield Item(_decoded(tp, item))
        before, cursor = cursor, _decoded(_Page, page).pagination.next_cursor
        if not cursor:
            return
        if cursor == before:
            raise Unavailable("a page leads to itself: is this a coordinator?")


def cancel(
    core: Core, workload_id: str, *, reason: str | None = None, idempotency_key: str | None = None
) -> Effects[Control]:
    """Ends a workload that is not final. Raises InvalidState if it is, CANCELLED included."""
    return (yield from _control(core, workload_id, "cancel", reason, _key(idempotency_key)))


def pause(core: Core, workload_id: str, *, reason: str | None = None) -> Effects[Control]:
    """Has a running workload save a checkpoint and stop.

    If the worker has not confirmed within 10 s, the answer's status is still RUNNING; the request
    stands.
    """
    return (yield from _control(core, workload_id, "pause", reason))


def resume(core: Core, workload_id: str, *, reason: str | None = None) -> Effects[Control]:
    """Continues a paused workload from its last checkpoint."""
    return (yield from _control(core, workload_id, "resume", reason))


def _control(
    core: Core, workload_id: str, action: str, reason: str | None, key: str | None = None
) -> Effects[Control]:
    body = {} if reason is None else {"reason": reason}
    request = _json("POST", f"/v1/workloads/{segment(workload_id)}/{action}", body, key)
    return _decoded(Control, (yield from fetch(core, request)))


def retry(
    core: Core, workload_id: str, *, from_checkpoint: int | None = None, from_scratch: bool = False,
    reason: str | None = None, idempotency_key: str | None = None,
) -> Effects[Retried]:
    """Runs a FAILED or CANCELLED workload again, as a new one.

    It continues from the newest checkpoint, from the one given, or from none.
    """
    body: dict[str, Any] = {"from_scratch": from_scratch}
    if from_checkpoint is not None:
        body["from_checkpoint"] = from_checkpoint
    if reason is not None:
        body["reason"] = reason
    request = _json("POST", f"/v1/workloads/{segment(workload_id)}/retry", body, _key(idempotency_key))
    return _decoded(Retried, (yield from fetch(core, request)))


def request_checkpoint(core: Core, workload_id: str) -> Effects[Control]:
    """Asks a running workload for a checkpoint now.

    The answer has the newest sequence so far; it grows once the new checkpoint is durable. The
    request is sent once: ask again if it does not grow.
    """
    request = Request(method="POST", path=f"/v1/workloads/{segment(workload_id)}/checkpoint")
    return _decoded(Control, (yield from fetch(core, request)))


def checkpoints(core: Core, workload_id: str) -> Items[CheckpointInfo]:
    """Yields the checkpoints that are kept, the newest first."""
    path = f"/v1/workloads/{segment(workload_id)}/checkpoints"
    yield from _pages(core, path, "checkpoints", CheckpointInfo, limit=None)


def get_checkpoint(core: Core, workload_id: str, sequence: int) -> Effects[CheckpointInfo]:
    """Tells of one checkpoint. Raises NotFound if it is not kept."""
    request = Request(method="GET", path=f"/v1/workloads/{segment(workload_id)}/checkpoints/{sequence}")
    return _decoded(CheckpointInfo, (yield from fetch(core, request)))


def checkpoint_data(core: Core, workload_id: str, sequence: int) -> Effects[bytes]:
    """Returns the bytes of a checkpoint: what a handler saved, as JSON."""
    path = f"/v1/workloads/{segment(workload_id)}/checkpoints/{sequence}"
    answer = yield from call(core, Request(method="GET", path=path, query=(("data", "true"),)))
    assert isinstance(answer, Answer)
    if (kind := answer.headers.get("content-type", "")) != "application/octet-stream":
        raise Unavailable(f"the answer has the type {kind[:100]!r}: is this a coordinator?", status=answer.status)
    return answer.body


def logs(
    core: Core, workload_id: str, *, since: datetime | None = None, until: datetime | None = None,
    after: int | None = None,
) -> Items[LogLine]:
    """Yields the log lines, oldest first: all that are kept, or those from `since` until `until`, or
    those behind the one whose `seq` is `after`."""
    if since is None and after is None:
        after = 0
    while True:
        query = _query(limit=1000, since=since, until=until, after=after)
        path = f"/v1/workloads/{segment(workload_id)}/logs"
        page = yield from fetch(core, Request(method="GET", path=path, query=query))
        items, before = _list(page, "logs"), after
        for item in items:
            line = _decoded(LogLine, item)
            after, since = line.seq, None
            yield Item(line)
        if not page.get("has_more") or not items:
            return
        if after is None or before is not None and after <= before:
            raise Unavailable("a page of the log leads to itself: is this a coordinator?")


def audit(core: Core, workload_id: str) -> Items[AuditEvent]:
    """Yields the audit trail, oldest first."""
    path = f"/v1/workloads/{segment(workload_id)}/audit"
    yield from _pages(core, path, "events", AuditEvent, limit=1000)


def placement(core: Core, workload_id: str) -> Effects[Placement]:
    """Tells why a workload waits, its place in the queue and when it may start."""
    request = Request(method="GET", path=f"/v1/workloads/{segment(workload_id)}/placement")
    return _decoded(Placement, (yield from fetch(core, request)))


def watch(core: Core, workload_id: str) -> Items[Event]:
    """Yields what happens to a workload, from its beginning: each change and each line of its log.

    It ends behind the event that ends the workload. When the connection breaks, and while no
    coordinator answers, it goes on where it was, with any coordinator.
    """
    path = f"/v1/workloads/{segment(workload_id)}/events"
    yield from _events(core, path, None, lambda e: bool(_decoded(Event, e).ends))


def events(core: Core, *, after: str | None = None) -> Items[Event]:
    """Yields what happens to all workloads, without log lines, behind the event with the id `after`;
    None: what happens from now on. It never ends by itself."""
    yield from _events(core, "/v1/events", after, lambda _: False)


def _events(core: Core, path: str, after: str | None, ends: Any) -> Items[Event]:
    stream = yield from follow(core, path, None if after is None else header("after", after), ends)
    while (event := (yield from stream.next())) is not None:
        yield Item(_decoded(Event, event))


# Configs.


def create_config(
    core: Core, workload_type: str, *, description: str | None = None, config_json: Any = None,
    resources: Reservation | None = None, resource_limits: Resources | None = None,
    checkpoint_interval: float | timedelta | None = None,
    max_retries: int | None = None, retry_backoff: RetryBackoff | None = None,
    timeout: float | timedelta | None = None,
) -> Effects[WorkloadConfig]:
    """Stores settings for a workload type. `resources` is what its workloads reserve, `resource_limits`
    what each may use. Raises Conflict if the type has some."""
    settings = _config(
        description, config_json, resources, resource_limits, checkpoint_interval, max_retries, retry_backoff, timeout
    )
    body = {"workload_type": workload_type, **settings}
    answer = yield from fetch(core, _json("POST", "/v1/workload-configs", body))
    return _decoded(WorkloadConfig, answer)


def update_config(
    core: Core, config_id: str, *, description: str | None = None, config_json: Any = None,
    resources: Reservation | None = None, resource_limits: Resources | None = None,
    checkpoint_interval: float | timedelta | None = None,
    max_retries: int | None = None, retry_backoff: RetryBackoff | None = None,
    timeout: float | timedelta | None = None,
) -> Effects[WorkloadConfig]:
    """Changes settings. What is None stays as it is."""
    body = _config(
        description, config_json, resources, resource_limits, checkpoint_interval, max_retries, retry_backoff, timeout
    )
    answer = yield from fetch(core, _json("PUT", f"/v1/workload-configs/{segment(config_id)}", body))
    return _decoded(WorkloadConfig, answer)


def _config(
    description: str | None, config_json: Any, resources: Reservation | None, resource_limits: Resources | None,
    checkpoint_interval: float | timedelta | None, max_retries: int | None, retry_backoff: RetryBackoff | None,
    timeout: float | timedelta | None,
) -> dict[str, Any]:
    settings = {
        "description": description, "config_json": config_json,
        "resources": None if resources is None else _codec.compact(resources),
        "resource_limits": None if resource_limits is None else _codec.compact(resource_limits),
        "checkpoint_interval_sec": None if checkpoint_interval is None else _whole_seconds(checkpoint_interval),
        "max_retries": max_retries,
        "retry_backoff": None if retry_backoff is None else _codec.compact(retry_backoff),
        "timeout_seconds": None if timeout is None else _whole_seconds(timeout),
    }
    return {k: v for k, v in settings.items() if v is not None}


def get_config(core: Core, config_id: str) -> Effects[WorkloadConfig]:
    """Returns settings."""
    answer = yield from fetch(core, Request(method="GET", path=f"/v1/workload-configs/{segment(config_id)}"))
    return _decoded(WorkloadConfig, answer)


def list_configs(core: Core) -> Items[WorkloadConfig]:
    """Yields all settings, by type."""
    yield from _pages(core, "/v1/workload-configs", "configs", WorkloadConfig)


def delete_config(core: Core, config_id: str) -> Effects[None]:
    """Removes settings. Raises Conflict while a workload that was submitted with them is unfinished."""
    yield from fetch(core, Request(method="DELETE", path=f"/v1/workload-configs/{segment(config_id)}"))


# The caller.


def customer(core: Core) -> Effects[Customer]:
    """Returns the caller's limits and usage."""
    return _decoded(Customer, (yield from fetch(core, Request(method="GET", path="/v1/customer"))))
