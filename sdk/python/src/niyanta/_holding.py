"""What runs hold of a worker's resources."""

from __future__ import annotations

import collections
from collections.abc import Sequence

from .resources import Device, DeviceShare, Reservation, WorkerResources, milli

#: What most workloads reserve.
NOTHING = Reservation()
_ONE = 1000
_NO_LIMIT = 1 << 50


class Holding:
    """What a worker has and what runs hold of it.

    What is held is a fact: `take` and `give_back` record it even if it is more than the worker has.
    `allows` says what may be given.
    """

    def __init__(self, offer: WorkerResources) -> None:
        self._devices: dict[str, Device] = {d.id: d for d in offer.devices}
        self._free = dict.fromkeys(self._devices, _ONE)
        self._left = [
            milli(offer.cpu_cores) or _NO_LIMIT, offer.memory_mb or _NO_LIMIT, offer.disk_mb or _NO_LIMIT,
        ]
        self._custom = collections.Counter(offer.custom or {})

    def allows(self, r: Reservation, devices: Sequence[DeviceShare]) -> bool:
        """Reports whether a run may be given these devices now: it fits, and the devices are as many as
        it needs, of models that it allows, different, and free."""
        if r is NOTHING and not devices:
            return True
        gpus = milli(r.gpus)
        number, share = (gpus // _ONE, _ONE) if gpus >= _ONE else (min(gpus, 1), gpus)
        if any(need > left for need, left in zip(_amounts(r), self._left) if need > 0):
            return False
        if any(need > self._custom[name] for name, need in (r.custom or {}).items() if need > 0):
            return False
        if len(devices) != number or len({d.id for d in devices}) != number:
            return False
        return all(
            d.id in self._free and milli(d.share) == share <= self._free[d.id]
            and (not r.gpu_models or self._devices[d.id].model in r.gpu_models)
            for d in devices
        )

    def take(self, r: Reservation, devices: Sequence[DeviceShare]) -> None:
        """Records that a run holds these resources and these devices."""
        self._change(r, devices, -1)

    def give_back(self, r: Reservation, devices: Sequence[DeviceShare]) -> None:
        """Records that a run no longer holds what `take` recorded."""
        self._change(r, devices, 1)

    def _change(self, r: Reservation, devices: Sequence[DeviceShare], sign: int) -> None:
        if r is NOTHING and not devices:
            return
        self._left = [left + sign * amount for left, amount in zip(self._left, _amounts(r))]
        for name, amount in (r.custom or {}).items():
            self._custom[name] += sign * amount
        for d in devices:
            if d.id in self._free:
                self._free[d.id] += sign * milli(d.share)


def _amounts(r: Reservation) -> tuple[int, int, int]:
    return milli(r.cpu_cores), r.memory_mb or 0, r.disk_mb or 0
