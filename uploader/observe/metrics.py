"""Count what a supervisor does, and read off its spool how things stand, for Prometheus.

- Counters of this process begin at 0 with it, and Prometheus copes with that. What the ledger
  counts (`uploads`, `uploaded_bytes`) is over the spool's life, and goes on after a restart.
- Gauges come from the ledger's counts and the ends of its indexes, never from a scan; they are read
  at most once a second, and only when somebody asks.
- Moments are given as such, not as ages: what a killed agent left behind in a file goes on ageing.
- Every series has the spool as a label, because one node_exporter reads the files of all spools of
  a node, and refuses two series alike. Nothing else that grows: no artifact's name, no pid.

`docker/prometheus/README.md` has the table of all metrics; a test holds it to what is told here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from uploader import clock
from uploader.drain.observer import AttemptEnd, Load, Observer
from uploader.drain.steps import TakeChecksum
from uploader.errors import ErrorClass, without_passwords
from uploader.spool.capacity import Capacity
from uploader.spool.ownership import find_owner
from uploader.state import HOLDS_BYTES, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.metrics_core import Metric

    from uploader.drain.steps import Answer, Step
    from uploader.spool.spool import Spool

LOOK = 1.0  #: seconds that what was read off the spool is told again

#: seconds from the log call to the arrival; a checkpoint may wait for the network overnight
LATENCY_BUCKETS = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 24 * 3600)
#: seconds that a worker is busy with a step; the longest end at the step's time limit
STEP_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

RESULTS = {
    State.DONE: "done",
    State.READY: "retried",
    State.DEAD: "dead",
    State.CANCELLED: "cancelled",
}
OUTCOMES = (State.DONE, State.SUPERSEDED, State.CANCELLED)  #: ends that are never taken back
OPENMETRICS = "application/openmetrics-text"  #: a scraper that takes this form gets it


@dataclass(frozen=True)
class _Look:
    """How the spool stood at a moment."""

    at: float  #: seconds since the epoch
    tally: dict[State, tuple[int, int]]  #: uploads and bytes
    oldest: float | None  #: seconds since the epoch
    limit: int | None  #: bytes
    disk_free: int  #: bytes
    room: int  #: bytes that can still be put
    refused: bool
    throughput: float  #: bytes per second


class Metrics(Observer):
    """The figures of one process on one spool; `text` tells them."""

    def __init__(self, spool: Spool, command: str) -> None:
        """Begin to count for `command`, which works on `spool`."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # series that nobody asks for
        self._spool, self._command = spool, command
        self._label = printable(str(spool.path))
        self._registry = CollectorRegistry(auto_describe=False)
        self._texts: dict[bool, tuple[bytes, str]] = {}
        self._look_at = 0.0  #: monotonic seconds from which they are too old
        self._load: Load | None = None
        self._began = clock.now()
        self._last_success = _last_arrival(spool)
        self._exit_code: int | None = None
        self._ended = 0.0
        self._times: dict[type, Histogram] = {}  #: by kind of step
        self._make_counters()
        self._registry.register(_Readings(self._readings))

    def _make_counters(self) -> None:
        self._attempts = self._counters(
            "uploader_attempts",
            "Attempts at uploads that ended, by what they came to; this process's.",
            "result",
            list(RESULTS.values()),
        )
        self._errors = self._counters(
            "uploader_errors",
            "Steps that failed, by class of error (throttled: the destination asked for less); "
            "this process's.",
            "class",
            [one.value for one in ErrorClass],
        )
        self._sent = Counter(
            "uploader_sent_bytes",
            "Bytes that the destination took, what was sent twice counted twice; this process's.",
            ["spool"],
            registry=self._registry,
        ).labels(self._label)
        self._latency = Histogram(
            "uploader_upload_latency_seconds",
            "From the log call to the arrival; of this process's uploads.",
            ["spool"],
            buckets=LATENCY_BUCKETS,
            registry=self._registry,
        ).labels(self._label)
        self._steps = Histogram(
            "uploader_step_duration_seconds",
            "How long a worker was busy with a step, failed ones included; this process's.",
            ["spool", "step"],
            buckets=STEP_BUCKETS,
            registry=self._registry,
        )

    def _counters(self, name: str, what: str, label: str, values: list[str]) -> dict[str, Counter]:
        """Return a counter for each value of a label; all begin at 0, so that rates are right."""
        counter = Counter(name, what, ["spool", label], registry=self._registry)
        return {value: counter.labels(self._label, value) for value in values}

    # -- what happens ---------------------------------------------------------------------------

    def tick(self, load: Load | None = None) -> None:
        """Keep how busy the supervisor is."""
        self._load = load

    def step_ended(self, step: Step, answer: Answer) -> None:
        """Count a step's bytes, or its error, and its time."""
        if answer.failure:
            self._errors[answer.failure.error_class.value].inc()
        elif not isinstance(step, TakeChecksum):  # which reads, and sends nothing
            self._sent.inc(step.size)
        if answer.seconds:  # none are known of a worker that was lost
            self._time_of(step).observe(answer.seconds)

    def attempt_ended(self, end: AttemptEnd) -> None:
        """Count an attempt, and how long the upload took if it arrived."""
        self._attempts[RESULTS[end.state]].inc()
        if end.state is State.DONE:
            self._last_success = end.at
            self._latency.observe(max(0.0, end.at - end.upload.enqueued_at))

    def _time_of(self, step: Step) -> Histogram:
        kind = type(step)
        if kind not in self._times:
            self._times[kind] = self._steps.labels(self._label, step_name(step))
        return self._times[kind]

    def ended(self, exit_code: int) -> None:
        """Keep how this process ends; from now on that is told, too."""
        self._exit_code, self._ended = exit_code, clock.now()
        self._load = Load(0, 0, 0) if self._load else None
        self._look_at = 0.0

    # -- telling --------------------------------------------------------------------------------

    def text(self, accept: str = "") -> tuple[bytes, str]:
        """Return all of it, and its content type, in the form that an Accept header asks for."""
        if clock.monotonic() >= self._look_at:
            self._look_at = clock.monotonic() + LOOK
            self._texts.clear()
        open_form = OPENMETRICS in accept
        if open_form not in self._texts:
            encode, kind = choose_encoder(OPENMETRICS if open_form else "")
            self._texts[open_form] = encode(self._registry), kind
        return self._texts[open_form]

    def _look(self) -> _Look:
        spool, ledger = self._spool, self._spool.ledger
        # Anew each time: `uploader init` may change the limits at any time.
        capacity = Capacity.of(spool.layout, ledger, spool.remembered, "raise")
        tally = ledger.tally()
        owner = find_owner(spool.layout)
        free = capacity.free()
        room = free - capacity.min_free_bytes
        if capacity.max_bytes is not None:
            held = sum(tally[state][1] for state in HOLDS_BYTES)
            room = min(room, capacity.max_bytes - held)
        return _Look(
            at=clock.now(),
            tally=tally,
            oldest=ledger.oldest_ready(),
            limit=capacity.max_bytes,
            disk_free=free,
            room=max(0, room),
            refused=bool(owner and owner.refusal),
            throughput=owner.throughput if owner else 0.0,
        )

    def _readings(self) -> Iterator[Metric]:
        look = self._look()
        yield from self._of_spool(look)
        yield from self._of_room(look)
        yield from self._of_process(look)
        if self._load:
            yield self._gauge("workers", "Worker processes, at most.", self._load.workers)
            yield self._gauge(
                "steps_limit",
                "Steps that may be in flight; fewer than workers while the destination is "
                "throttling.",
                self._load.limit,
            )
            yield self._gauge("steps_in_flight", "Steps that workers do now.", self._load.steps)

    def _of_spool(self, look: _Look) -> Iterator[Metric]:
        yield self._family(
            GaugeMetricFamily,
            "uploader_spool_uploads",
            "Uploads in the spool, by state (active: in flight; dead: given up, bytes kept).",
            "state",
            {state.value: look.tally[state][0] for state in State if state in HOLDS_BYTES},
        )
        yield self._family(
            GaugeMetricFamily,
            "uploader_spool_bytes",
            "Their bytes.",
            "state",
            {state.value: look.tally[state][1] for state in State if state in HOLDS_BYTES},
        )
        yield self._family(
            CounterMetricFamily,
            "uploader_uploads",
            "Uploads that ended for good, by outcome; over the spool's life.",
            "outcome",
            {state.value: look.tally[state][0] for state in OUTCOMES},
        )
        arrived = CounterMetricFamily(
            "uploader_uploaded_bytes",
            "Bytes of the uploads that arrived; over the spool's life.",
            labels=["spool"],
        )
        arrived.add_metric([self._label], look.tally[State.DONE][1])
        yield arrived
        if look.oldest is not None:
            yield self._gauge(
                "oldest_ready_timestamp_seconds",
                "When the oldest upload that waits was logged; no sample when none waits.",
                look.oldest,
            )

    def _of_room(self, look: _Look) -> Iterator[Metric]:
        yield self._gauge(
            "spool_room_bytes",
            "What can still be put: what its limit and its disk leave, whichever is less.",
            look.room,
        )
        yield self._gauge(
            "spool_disk_free_bytes", "What the spool's disk has free.", look.disk_free
        )
        if look.limit is not None:
            yield self._gauge("spool_limit_bytes", "The spool's --max-bytes.", look.limit)

    def _of_process(self, look: _Look) -> Iterator[Metric]:
        yield self._gauge(
            "destination_refused",
            "1 while the destination does not let us write: credentials, permission.",
            look.refused,
        )
        yield self._gauge(
            "throughput_bytes_per_second",
            "Bytes sent a second, over the last ten seconds of work; as `status` shows it.",
            look.throughput,
        )
        if self._last_success is not None:
            yield self._gauge(
                "last_success_timestamp_seconds", "When an upload last arrived.", self._last_success
            )
        info = GaugeMetricFamily(
            "uploader_info", "What runs.", labels=["spool", "destination", "command", "version"]
        )
        destination = printable(without_passwords(self._spool.destination))
        info.add_metric([self._label, destination, self._command, _version()], 1)
        yield info
        yield self._gauge("start_time_seconds", "When this process began.", self._began)
        yield self._gauge(
            "observed_timestamp_seconds", "When these figures were read off the spool.", look.at
        )
        if self._exit_code is not None:
            yield self._gauge("end_time_seconds", "When it ended.", self._ended)
            yield self._gauge(
                "exit_code", "How it ended; as `uploader --help` has them.", self._exit_code
            )

    def _gauge(self, name: str, what: str, value: float) -> Metric:
        gauge = GaugeMetricFamily(f"uploader_{name}", what, labels=["spool"])
        gauge.add_metric([self._label], value)
        return gauge

    def _family(
        self,
        kind: type[CounterMetricFamily | GaugeMetricFamily],
        name: str,
        what: str,
        label: str,
        values: dict[str, int],
    ) -> Metric:
        family = kind(name, what, labels=["spool", label])
        for value, number in values.items():
            family.add_metric([self._label, value], number)
        return family


class _Readings(Collector):
    """What is read off the spool when it is asked for; the registry asks this object."""

    def __init__(self, read: Callable[[], Iterator[Metric]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        return self._read()


def step_name(step: Step) -> str:
    """Return `put_part` for a `PutPart`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(step).__name__).lower()


def printable(text: str) -> str:
    """Return a path's text as UTF-8 can have it: its bytes need not be any."""
    return text.encode(errors="backslashreplace").decode()


def _last_arrival(spool: Spool) -> float | None:
    """Return when an upload last arrived, as far as the end of an index tells."""
    newest = spool.ledger.select("WHERE state = 'done' ORDER BY seq DESC LIMIT 1")
    return newest[0].finished_at if newest else None


def _version() -> str:
    try:
        return version("artifact-uploader")
    except PackageNotFoundError:  # a checkout that nobody installed
        return "unknown"
