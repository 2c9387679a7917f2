"""Define where a supervisor's metrics go, and keep them while it runs.

The parts behind it are loaded only when metrics are asked for.
"""

from __future__ import annotations

import ipaddress
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from uploader.cli import flags
from uploader.cli.exit_codes import of_error
from uploader.drain.observer import Observer, Observers
from uploader.errors import SpoolBusyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from uploader.cli.exit_codes import ExitCode
    from uploader.observe.metrics import Metrics
    from uploader.observe.metrics_file import MetricsFile
    from uploader.observe.metrics_http import Endpoint
    from uploader.spool.spool import Spool

F = TypeVar("F", bound="Callable[..., Any]")

HOST = "127.0.0.1"  #: what is told names paths and the destination: for this machine, unless asked

_HIGHEST_PORT = 65535


class _Address(click.ParamType):  # type: ignore[type-arg]  # generic only in newer versions
    """An address of this machine; not a name, since asking for it could keep the agent waiting."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the address, or fail with what is expected."""
        if value == "localhost":
            return HOST
        try:
            return str(ipaddress.ip_address(value))
        except ValueError:
            self.fail(f"not an address: {value!r}; as 127.0.0.1, 0.0.0.0 or ::", param, ctx)


class _OfMetrics(click.Option):
    """A flag with a heading of its own in the help; see `flags.Command`."""

    heading = "Metrics"


def metrics_options(command: F) -> F:
    """Add `--metrics-port`, `--metrics-host` and `--metrics-file`; as keyword `metrics`."""
    options = (
        click.option(
            "--metrics-port",
            metavar="PORT",
            cls=_OfMetrics,
            type=click.IntRange(0, _HIGHEST_PORT),
            envvar="UPLOADER_METRICS_PORT",
            help="Serve Prometheus metrics at http://HOST:PORT/metrics; 0 takes a free port, and "
            "the log says which. Else $UPLOADER_METRICS_PORT.",
        ),
        click.option(
            "--metrics-host",
            metavar="ADDRESS",
            cls=_OfMetrics,
            type=_Address(),
            default=HOST,
            envvar="UPLOADER_METRICS_HOST",
            help=f"At which address of this machine, as 0.0.0.0 for a scrape from elsewhere. "
            f"Else $UPLOADER_METRICS_HOST, else {HOST}.",
        ),
        click.option(
            "--metrics-file",
            metavar="PATH",
            cls=_OfMetrics,
            envvar="UPLOADER_METRICS_FILE",
            help="Write them every 5 seconds for node_exporter's textfile collector, and leave "
            "them there at the end. In a directory each spool has a file of its own. "
            "Else $UPLOADER_METRICS_FILE.",
        ),
    )
    return flags.collected(command, "metrics", options)


class Reporting:
    """What tells the metrics of one command."""

    def __init__(
        self,
        metrics: Metrics | None = None,
        endpoint: Endpoint | None = None,
        file: MetricsFile | None = None,
    ) -> None:
        """Tell them there."""
        self._metrics, self._endpoint, self._file = metrics, endpoint, file
        parts: tuple[Observer | None, ...] = (metrics, endpoint, file)
        self.observer: Observer = Observers(part for part in parts if part)

    def ended(self, code: ExitCode) -> None:
        """Tell, in the file that stays, how it ended."""
        if self._endpoint:
            self._endpoint.close()
        if self._metrics and self._file:
            self._metrics.ended(code)
            self._file.write()


@contextmanager
def metrics_of(spool: Spool, command: str, asked: dict[str, Any]) -> Iterator[Reporting]:
    """Yield what tells the metrics that the flags ask for; call its `ended` with the exit code.

    What the command fails with is told as its end, too.
    """
    reporting = _reporting(spool, command, asked) if _wants(asked) else Reporting()
    try:
        yield reporting
    except SpoolBusyError:  # another one has the spool, and tells how it goes
        raise
    except Exception as error:
        reporting.ended(of_error(error))
        raise


def _wants(asked: dict[str, Any]) -> bool:
    return asked["metrics_port"] is not None or bool(asked["metrics_file"])


def _reporting(spool: Spool, command: str, asked: dict[str, Any]) -> Reporting:
    from uploader.observe.metrics import Metrics

    metrics, endpoint, file = Metrics(spool, command), None, None
    if asked["metrics_port"] is not None:
        from uploader.observe.metrics_http import Endpoint

        endpoint = Endpoint(asked["metrics_host"], asked["metrics_port"], metrics.text)
    if asked["metrics_file"]:
        from uploader.observe.metrics_file import MetricsFile

        path = asked["metrics_file"]
        # a slash at the end says that it is a directory
        path = os.path.abspath(path) + ("/" if path.endswith("/") else "")
        file = MetricsFile(path, str(spool.path), lambda: metrics.text()[0])
    return Reporting(metrics, endpoint, file)
