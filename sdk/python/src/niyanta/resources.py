"""What workloads reserve, and what workers have."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Device", "DeviceShare", "Reservation", "WorkerResources"]

# The bounds of the API.
_CORES, _MEMORY_MB, _DISK_MB, _AMOUNT, _NAME = 1024, 64 << 20, 1 << 30, 1 << 40, 63
_DEVICES, _CUSTOM = 64, 32


@dataclass(frozen=True, kw_only=True)
class Reservation:
    """What a workload reserves on its worker. What is None is not reserved."""

    cpu_cores: float | None = None
    memory_mb: int | None = None
    disk_mb: int | None = None
    #: A share of one GPU, 0.05 to 0.95, or a number of whole ones.
    gpus: float | None = None
    #: The models that it may get. None: any.
    gpu_models: Sequence[str] | None = None
    #: Amounts of what operators declare, by name.
    custom: Mapping[str, int] | None = None


@dataclass(frozen=True)
class Device:
    """One GPU of a worker. CUDA_VISIBLE_DEVICES names it by its id."""

    id: str
    model: str = ""
    memory_mb: int = 0


@dataclass(frozen=True)
class DeviceShare:
    """What a run holds of one device. A share of 1 is all of it."""

    id: str
    share: float


@dataclass(frozen=True, kw_only=True)
class WorkerResources:
    """What a worker has. It is not limited in cores, memory and disk that it does not state: those
    that are 0. It has no devices and no custom resources but those that it states."""

    cpu_cores: float = 0
    memory_mb: int = 0
    disk_mb: int = 0
    devices: Sequence[Device] = ()
    custom: Mapping[str, int] | None = None

    def validate(self, field: str = "resources") -> None:
        """Raises ValueError, which names the field, for what coordinators would refuse."""
        if not 0 <= self.cpu_cores <= _CORES:
            raise ValueError(f"{field}.cpu_cores: must be 0 to {_CORES}")
        if not 0 <= self.memory_mb <= _MEMORY_MB:
            raise ValueError(f"{field}.memory_mb: must be 0 to {_MEMORY_MB}")
        if not 0 <= self.disk_mb <= _DISK_MB:
            raise ValueError(f"{field}.disk_mb: must be 0 to {_DISK_MB}")
        if len(self.devices) > _DEVICES:
            raise ValueError(f"{field}.devices: must have at most {_DEVICES} entries")
        seen: set[str] = set()
        for d in self.devices:
            _check_text(f"{field}.devices.id", d.id, 1)
            if d.id in seen:
                raise ValueError(f'{field}.devices.id: "{d.id}" must be stated once')
            seen.add(d.id)
            _check_text(f"{field}.devices.model", d.model, 0)
            if not 0 <= d.memory_mb <= _MEMORY_MB:
                raise ValueError(f"{field}.devices.memory_mb: must be 0 to {_MEMORY_MB}")
        custom = self.custom or {}
        if len(custom) > _CUSTOM:
            raise ValueError(f"{field}.custom: must have at most {_CUSTOM} entries")
        for name in sorted(custom):
            _check_text(f"{field}.custom", name, 1)
            if not 0 <= custom[name] <= _AMOUNT:
                raise ValueError(f"{field}.custom.{name}: must be 0 to {_AMOUNT}")


def _check_text(field: str, text: str, shortest: int) -> None:
    if not shortest <= len(text) <= _NAME:
        raise ValueError(f"{field}: must be {shortest} to {_NAME} characters")
    if any(unicodedata.category(c) == "Cc" for c in text):
        raise ValueError(f"{field}: must not contain control characters")
    if shortest and not text.strip():
        raise ValueError(f"{field}: must not be blank")


def milli(value: float | None) -> int:
    """Returns an amount in thousandths. Sums of them are exact."""
    return math.floor((value or 0) * 1000 + 0.5)
