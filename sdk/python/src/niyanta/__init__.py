"""Client and worker for Niyanta: long-running workloads that lose no work."""

from .aio import AsyncClient
from .client import Client
from .errors import *  # noqa: F403
from .errors import __all__ as _errors
from .models import *  # noqa: F403
from .models import __all__ as _models
from .resources import *  # noqa: F403
from .resources import __all__ as _resources
from .stops import *  # noqa: F403
from .stops import __all__ as _stops
from .task import *  # noqa: F403
from .task import __all__ as _task
from .tls import TLSFiles
from .worker import *  # noqa: F403
from .worker import __all__ as _worker

__all__ = ["AsyncClient", "Client", "TLSFiles", *_errors, *_models, *_resources, *_stops, *_task, *_worker]
__version__ = "0.1.0"
