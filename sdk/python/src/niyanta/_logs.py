"""Records of `logging` become lines of the workload's log."""

from __future__ import annotations

import logging

from .task import current_task

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# What these loggers say of a task or a file comes when it is collected as garbage, within whatever
# handler runs at that moment: the lines of one customer would appear in the log of another.
_OF_ANYBODY = frozenset({"asyncio", "concurrent.futures", "py.warnings"})

_LEVELS = ((logging.ERROR, "ERROR"), (logging.WARNING, "WARN"), (logging.INFO, "INFO"))


class LogHandler(logging.Handler):
    """Writes the records of a handler to the log of its workload.

    What was given as `extra` becomes the details of the line. Records from elsewhere are left out,
    and so are those of asyncio and of warnings, which may be about any run.
    A worker adds one to the root logger while it runs.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a record, if a handler of a workload made it."""
        task = current_task()
        if task is None or record.name in _OF_ANYBODY:
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

