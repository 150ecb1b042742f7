"""What the API answers, as dataclasses."""

from __future__ import annotations

import base64
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar, overload

from . import _codec
from ._watching import Watchable, table
from .errors import NiyantaError, WorkloadFailed, printable
from .resources import DeviceShare, Reservation

T = TypeVar("T")

__all__ = [
    "AffinityRules", "AffinityTerms", "AuditEvent", "CheckpointInfo", "Control", "Customer", "Event",
    "Limits", "LogLine", "Placement", "PlacementReason", "Resources", "Retried", "RetryBackoff",
    "Status", "Submission", "SubmissionResult", "Submitted", "Usage", "Waited", "Workload", "WorkloadConfig",
]


class Status(enum.StrEnum):
    """The status of a workload."""

    PENDING = "PENDING"
    SCHEDULED = "SCHEDULED"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    REDISTRIBUTING = "REDISTRIBUTING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @classmethod
    def _missing_(cls, value: object) -> Status | None:
        if not isinstance(value, str):
            return None
        unknown = str.__new__(cls, value)  # a newer coordinator may send more
        unknown._name_ = unknown._value_ = value
        return unknown

    @property
    def is_final(self) -> bool:
        """Reports whether the status never changes again."""
        return self in (Status.COMPLETED, Status.FAILED, Status.CANCELLED)


@dataclass(frozen=True, kw_only=True)
class AffinityTerms:
    """Names workers: by id, by tags, by the workload types that they offer or run."""

    worker_id: str | None = None
    worker_tags: Mapping[str, str] | None = None
    workload_types: list[str] | None = None


@dataclass(frozen=True, kw_only=True)
class AffinityRules:
    """Where a workload must run, should run and must not run."""

    hard_affinity: AffinityTerms | None = None
    soft_affinity: AffinityTerms | None = None
    anti_affinity: AffinityTerms | None = None


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A workload to run."""

    workload_type: str
    #: An object: a mapping or a dataclass.
    input_params: Any
    priority: int | None = None
    labels: Mapping[str, str] | None = None
    #: Seconds that one run may take, at most; 0: any.
    timeout_seconds: int | None = None
    max_retries: int | None = None
    #: The workload does not start before this time.
    run_at: datetime | None = None
    affinity_rules: AffinityRules | None = None
    #: None: what the config of its type reserves.
    resources: Reservation | None = None
    #: Submitting again with the same key stores one workload only, for 24 h. None: one is made.
    idempotency_key: str | None = None


@dataclass(frozen=True, kw_only=True)
class Submitted(Watchable):
    """What became of a submission."""

    workload_id: str
    status: Status
    created_at: datetime
    estimated_start_time: datetime | None = None
    estimate_confidence: str | None = None
    #: That no worker offers the type yet.
    status_reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class SubmissionResult:
    """What became of one submission of a batch: a workload, or why there is none."""

    workload_id: str | None = None
    status: Status | None = None
    status_reason: str | None = None
    error: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Control:
    """What became of a cancel, a pause, a resume or the request for a checkpoint."""

    workload_id: str
    status: Status
    #: The newest checkpoint; 0: none.
    checkpoint_sequence: int
    cancelled_at: datetime | None = None
    paused_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Retried(Watchable):
    """The workload that runs another one again."""

    workload_id: str
    retry_of: str
    status: Status
    #: 1 if it continues from a checkpoint, 0 if not.
    checkpoint_sequence: int
    created_at: datetime
    status_reason: str | None = None


@dataclass(frozen=True, kw_only=True, repr=False)
class Workload(Watchable):
    """A workload."""

    workload_id: str
    customer_id: str
    workload_type: str
    status: Status
    priority: int
    generation: int
    progress_percent: float
    checkpoint_sequence: int
    created_at: datetime
    updated_at: datetime
    labels: dict[str, str] = field(default_factory=dict)
    affinity_rules: AffinityRules = AffinityRules()
    #: What it reserves; None: nothing but a slot.
    resources: Reservation | None = None
    #: What it holds of its worker's devices.
    devices: list[DeviceShare] = field(default_factory=list)
    status_reason: str | None = None
    retry_of: str | None = None
    worker_id: str | None = None
    last_worker_id: str | None = None
    progress_message: str | None = None
    retry_count: int = 0
    max_retries: int = 0
    redistribution_count: int = 0
    input_params: Any = None
    result_data: Any = None
    error_message: str | None = None
    error_type: str | None = None
    run_at: datetime | None = None
    scheduled_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    estimated_completion_time: datetime | None = None
    archived_at: datetime | None = None

    @property
    def is_final(self) -> bool:
        """Reports whether the workload has ended."""
        return self.status.is_final

    @overload
    def result(self) -> Any: ...
    @overload
    def result(self, tp: type[T]) -> T: ...
    def result(self, tp: Any = Any) -> Any:
        """Returns the output, as a value of the type tp.

        Raises WorkloadFailed if the workload is FAILED or CANCELLED, and NiyantaError if it has not
        ended or if only the beginning of its output was kept.
        """
        if self.status in (Status.FAILED, Status.CANCELLED):
            raise WorkloadFailed(self)
        if self.status != Status.COMPLETED:
            raise NiyantaError(f"workload {self.workload_id} is {self.status}: it has no result yet")
        value = self.result_data
        if isinstance(value, dict) and _ENCODED.keys() <= value.keys() and value.get("encoding") == "base64":
            kept = base64.b64decode(value["data"])
            if value["truncated"]:
                raise NiyantaError(f"the result has {value['size']} bytes; only the first {len(kept)} were kept")
            try:
                value = _codec.loads(kept)
            except ValueError as e:
                raise NiyantaError(f"the result is not JSON ({e}): result_data has its bytes, in base64") from None
        return _codec.decode(tp, value, "result")

    def __repr__(self) -> str:
        parts = [self.workload_id, self.workload_type, str(self.status)]
        if not self.is_final and self.progress_percent:
            parts.append(f"{self.progress_percent:.0f} %")
        for text in (self.progress_message if not self.is_final else None, self.status_reason):
            if text:
                parts.append(text)
        if self.worker_id:
            parts.append(f"on {self.worker_id}")
        if self.error_message:
            parts.append(f"{self.error_type}: {self.error_message}")
        return printable(f"<Workload {' · '.join(parts)}>")

    def _repr_html_(self) -> str:
        """Shows it in a notebook. Whatever texts it holds, they are texts there."""
        return table(f"Workload {self.workload_id}", [
            ("type", self.workload_type), ("status", self.status), ("reason", self.status_reason),
            ("progress", f"{self.progress_percent:.0f} % {self.progress_message or ''}".strip()),
            ("error", f"{self.error_type}: {self.error_message}" if self.error_message else None),
            ("worker", self.worker_id), ("devices", ", ".join(d.id for d in self.devices)),
            ("priority", self.priority), ("labels", ", ".join(f"{k}={v}" for k, v in self.labels.items())),
            ("generation", self.generation), ("checkpoint", self.checkpoint_sequence),
            ("retries", f"{self.retry_count} of {self.max_retries}"), ("created", self.created_at),
            ("started", self.started_at), ("completed", self.completed_at),
        ])


#: The members of a result that was kept encoded, because not every store can keep it as it is.
_ENCODED = dict.fromkeys(("encoding", "content_type", "reason", "size", "truncated", "data"))


@dataclass(frozen=True, kw_only=True)
class LogLine:
    """A line of a workload's log."""

    seq: int
    timestamp: datetime
    level: str
    message: str
    generation: int
    #: stdout or stderr of a program; None: the workload logged it itself.
    stream: str | None = None
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class AuditEvent:
    """A change of a workload: who changed it, when, and why."""

    event_id: int
    event_type: str
    timestamp: datetime
    workload_id: str
    actor_type: str
    actor_id: str
    #: from, to, generation, and what else applies: worker_id, progress_percent, reason,
    #: checkpoint_sequence.
    details: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class CheckpointInfo:
    """A checkpoint that is kept."""

    sequence: int
    generation: int
    #: Before compression.
    size_bytes: int
    #: SHA-256 of the stored bytes, hexadecimal.
    checksum: str
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class PlacementReason:
    """One reason why a workload waits."""

    code: str
    message: str
    workers: int | None = None


@dataclass(frozen=True, kw_only=True)
class Waited:
    """How long workloads had waited that were placed lately: as long at most did 50, 95 and 99 of 100 wait."""

    window_seconds: float
    placed: int
    p50_seconds: float
    p95_seconds: float
    p99_seconds: float


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Why a workload waits, and when it may start."""

    workload_id: str
    status: Status
    waiting: bool
    position_estimated: bool
    placeable: bool
    reasons: list[PlacementReason]
    position: int | None = None
    estimated_start_time: datetime | None = None
    confidence: str | None = None
    usual_wait: Waited | None = None
    worker_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Event:
    """One thing that happened to a workload. What does not apply is None.

    `type` is status_update, log_line, completed, failed or gap. Ignore types that you do not know.
    """

    type: str
    event_id: str
    workload_id: str
    customer_id: str | None = None
    event_type: str | None = None
    status: Status | None = None
    progress_percent: float | None = None
    timestamp: datetime | None = None
    message: str | None = None
    generation: int | None = None
    worker_id: str | None = None
    checkpoint_sequence: int | None = None
    seq: int | None = None
    level: str | None = None
    stream: str | None = None
    details: dict[str, Any] | None = None
    result_data: Any = None
    error_type: str | None = None
    error_message: str | None = None
    dropped: int | None = None

    @property
    def ends(self) -> bool:
        """Reports whether the workload has ended with this event."""
        return self.type != "log_line" and self.status is not None and self.status.is_final


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one run may use."""

    cpu_cores: float | None = None
    memory_mb: int | None = None
    disk_mb: int | None = None


@dataclass(frozen=True, kw_only=True)
class RetryBackoff:
    """The wait before a retry: `factor` times as long before each further one."""

    initial_seconds: float | None = None
    factor: float | None = None
    max_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class WorkloadConfig:
    """A customer's settings for a workload type."""

    config_id: str
    customer_id: str
    workload_type: str
    description: str
    config_json: Any
    #: What its workloads reserve; None: nothing but a slot.
    resources: Reservation | None = None
    resource_limits: Resources
    checkpoint_interval_sec: int
    max_retries: int
    retry_backoff: RetryBackoff
    timeout_seconds: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a customer may use."""

    max_concurrent_workloads: int
    max_queue_depth: int
    rate_limit_per_sec: float
    burst: int


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What a customer uses now."""

    current_running_workloads: int
    current_queue_depth: int
    workloads_today: int


@dataclass(frozen=True, kw_only=True)
class Customer:
    """The caller's customer."""

    customer_id: str
    name: str
    tier: str
    limits: Limits
    usage: Usage
    created_at: datetime
    suspended_at: datetime | None = None
