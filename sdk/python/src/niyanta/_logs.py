"""Records of `logging` become lines of the workload's log."""

from __future__ import annotations

import logging

from .task import current_task

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_LEVELS = ((logging.ERROR, "ERROR"), (logging.WARNING, "WARN"), (logging.INFO, "INFO"))


class LogHandler(logging.Handler):
    """Writes the records of a handler to the log of its workload.

    What was given as `extra` becomes the details of the line. Records from elsewhere are left out.
    A worker adds one to the root logger while it runs.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a record, if a handler of a workload made it."""
        task = current_task()
        if task is None:
            return
        try:
            message = record.getMessage()
            if record.exc_info:
                message += "\n" + logging.Formatter().formatException(record.exc_info)
            level = next((name for least, name in _LEVELS if record.levelno >= least), "DEBUG")
            details = {k: v for k, v in vars(record).items() if k not in _STANDARD}
            task.log(message, level, **{**details, "logger": record.name})
        except Exception:
            self.handleError(record)

