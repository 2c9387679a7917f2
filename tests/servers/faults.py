"""Name what can go wrong between a client and a service, and say when it does.

- A fault is a value: what it does is `play`, in the verbs of an `Exchange`.
- `decide` is a function from a request to a fault or None; `first`, `share`, `either` make some.
- It runs in the proxy's thread, once a request, after the head was read and before the body; of a
  request of GCS that is named in its body, the beginning of that was read too.
"""

from __future__ import annotations

import abc
import asyncio
import random
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.servers.requests import Kind, Refusal, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from tests.servers.exchange import Exchange

#: Seconds between two looks at an event of another thread.
EVENT_INTERVAL = 0.005


class Fault(abc.ABC):
    """Something else than the server's answer to the request."""

    @abc.abstractmethod
    async def play(self, exchange: Exchange) -> None:
        """Do it."""


@dataclass(frozen=True)
class Answer(Fault):
    """An error of this status and code once the body was read; the server sees nothing of it.

    As S3 gives them: 400 RequestTimeout, 403 RequestTimeTooSkewed; as GCS does: 410 gone. `Refuse`
    has those that both have.
    """

    status: int
    code: str

    async def play(self, exchange: Exchange) -> None:
        """Read the body, answer."""
        await exchange.discard_body()
        await exchange.refuse(self.status, self.code)


@dataclass(frozen=True)
class Refuse(Fault):
    """The error by which this service refuses for such a reason, once the body was read.

    With `done` the server did do it nevertheless.
    """

    why: Refusal
    done: bool = False

    async def play(self, exchange: Exchange) -> None:
        """Forward or read the body, answer."""
        await (exchange.forward() if self.done else exchange.discard_body())
        await exchange.refuse(*exchange.request.refused(self.why))


@dataclass(frozen=True)
class ResetBeforeBody(Fault):
    """RST as soon as the head was read."""

    async def play(self, exchange: Exchange) -> None:
        """Reset."""
        exchange.reset()


@dataclass(frozen=True)
class ResetAfterBody(Fault):
    """RST once the whole request was read; the server sees nothing."""

    async def play(self, exchange: Exchange) -> None:
        """Read the body, reset."""
        await exchange.discard_body()
        exchange.reset()


@dataclass(frozen=True)
class StallBody(Fault):
    """No more of the body is read after so many bytes; it stays so until the client leaves.

    A body that fits the socket buffers (some MB) is sent in full, then nothing answers.
    """

    after: int = 0

    async def play(self, exchange: Exchange) -> None:
        """Read a little, then nothing."""
        await exchange.discard_body(self.after)
        await exchange.stall()


@dataclass(frozen=True)
class DropAnswer(Fault):
    """The server does it and answers; the client gets RST."""

    async def play(self, exchange: Exchange) -> None:
        """Forward, reset."""
        await exchange.forward()
        exchange.reset()


@dataclass(frozen=True)
class TruncateAnswer(Fault):
    """The server does it and answers; the client gets half of the answer's bytes, then the end."""

    async def play(self, exchange: Exchange) -> None:
        """Forward, answer by half."""
        await exchange.answer_half(await exchange.forward())


@dataclass(frozen=True)
class StallAnswer(Fault):
    """The server does it and answers; the client gets nothing, until it leaves."""

    async def play(self, exchange: Exchange) -> None:
        """Forward, then nothing."""
        await exchange.forward()
        await exchange.stall()


@dataclass(frozen=True)
class ErrorIn200(Fault):
    """Status 200 with an error in the body, as S3 does to a complete or a copy that fails late.

    GCS does not.

    With `forward` the server did do it nevertheless.
    """

    code: str
    forward: bool

    async def play(self, exchange: Exchange) -> None:
        """Forward or read the body, answer."""
        await (exchange.forward() if self.forward else exchange.discard_body())
        await exchange.refuse(200, self.code)


@dataclass(frozen=True)
class Delay(Fault):
    """The request waits so many seconds after its head, then goes on as if nothing were."""

    seconds: float

    async def play(self, exchange: Exchange) -> None:
        """Wait, relay."""
        await asyncio.sleep(self.seconds)
        await exchange.relay()


@dataclass(frozen=True)
class Hold(Fault):
    """The whole request waits for an event, then reaches the server though the client may be gone.

    The body is kept in memory. A request still held when the proxy ends never reaches the server.
    """

    event: threading.Event

    async def play(self, exchange: Exchange) -> None:
        """Read, wait, forward."""
        body = await exchange.read_body()
        while not self.event.is_set():  # noqa: ASYNC110 - another thread sets it
            await asyncio.sleep(EVENT_INTERVAL)
        await exchange.send_late(body)


def first(kind: Kind | str, fault: Fault, times: int = 1) -> Callable[[Request], Fault | None]:
    """Give the fault to the first so many requests of a kind."""
    wanted = Kind(kind)
    left = times

    def decide(request: Request) -> Fault | None:
        nonlocal left
        if request.kind != wanted or not left:
            return None
        left -= 1
        return fault

    return decide


def share(
    probability: float,
    faults: Sequence[Fault],
    seed: int,
    kinds: Collection[Kind | str] | None = None,
) -> Callable[[Request], Fault | None]:
    """Give one of the faults to a share (0 to 1) of the requests, of these kinds or of all.

    The same seed gives the same faults to the same order of requests; parallel ones have no order.
    """
    chance = random.Random(seed)
    wanted = frozenset(Kind if kinds is None else map(Kind, kinds))

    def decide(request: Request) -> Fault | None:
        if request.kind not in wanted or chance.random() >= probability:
            return None
        return chance.choice(faults)

    return decide


def either(*decisions: Callable[[Request], Fault | None]) -> Callable[[Request], Fault | None]:
    """Give the first fault that one of these decides on; those after it are not asked."""

    def decide(request: Request) -> Fault | None:
        return next((fault for each in decisions if (fault := each(request))), None)

    return decide
