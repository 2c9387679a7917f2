"""Run the uploads: one supervisor a spool, and its worker processes.

`uploader.drain` is this package as well as the public function of that name, and an import of any
module in here sets the one over the other. So the package can be called, and is the function.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Drain a spool: see `uploader.drain.run.drain`."""
        from uploader.drain.run import drain

        return drain(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
