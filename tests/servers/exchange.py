"""Carry one request to the server and its answer back, in verbs that a fault is made of.

- Request and answer are passed on at once, each in its own task: a server that answers before it
  has read the body (as to `Expect: 100-continue`) is heard at once.
- A client that dies within its request takes the server's connection with it, so the server sees a
  cut request, as it would without a proxy. One that dies after it is NOT told to the server: the
  request takes effect, as one whose last packet had arrived.
- A server that answers early and closes is not told to the client before it has sent its body: that
  is thrown away. Without a proxy the client would find a broken pipe.
"""

from __future__ import annotations

import asyncio
import contextlib
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING

from tests.servers.wire import Head, Peer, PeerGoneError, Upstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from tests.servers.requests import Request

#: Bytes of a body within which a resource at its beginning ends, if there is one: it has some KiB.
_BEGINNING = 1 << 20


class Exchange:
    """A request whose head was read, and what can be done with it. Use each verb at most once."""

    def __init__(self, request: Request, head: Head, client: Peer, upstream: Upstream) -> None:
        self.request = request
        #: Whether the connections can carry another request after this one.
        self.reusable = not head.closes
        self._head = head
        self._client = client
        self._upstream = upstream
        self._expects = head.headers.get("expect", "").lower() == "100-continue"
        self._invited = False
        self._coming = self._come()
        self._begun: list[bytes] = []

    async def listen(self) -> None:
        """Read as much of the body as tells what the request is about; it is not lost."""
        if not self.request.tells_more:
            return
        await self._invite()
        content = bytearray()
        async for piece, count in self._coming:
            self._begun.append(piece)
            content += piece if count else b""
            if self.request.learn(bytes(content)) or len(content) > _BEGINNING:
                return

    async def relay(self) -> None:
        """Do what a proxy does."""
        await self._forward(self._deliver)

    async def forward(self) -> bytes:
        """Let the server have the request; return its whole answer, kept from the client."""
        answer = bytearray()

        async def keep(piece: bytes) -> None:
            answer.extend(piece)

        await self._forward(keep)
        return bytes(answer)

    async def read_body(self) -> list[bytes]:
        """Read the body from the client, in pieces as they came; the server gets nothing."""
        await self._invite()
        return [piece async for piece in self._body()]

    async def discard_body(self, limit: int | None = None) -> None:
        """Read the body, or `limit` bytes of it and what came with them, and throw it away."""
        if limit == 0:
            return
        await self._invite()
        async for _ in self._body():
            if limit is not None and self.request.body_bytes >= limit:
                return

    async def send_late(self, body: Sequence[bytes]) -> None:
        """Let the server have a body that was read before; answer the client if it is there."""
        server = await self._upstream.peer()
        for piece in (self._head.raw, *body):
            await server.send(piece)
        await self._pass_answer(server, await self._final_head(server), self._deliver)

    async def refuse(self, status: int, code: str) -> None:
        """Answer the client with an error, in its service's form."""
        headers, body = self.request.error(status, code)
        head = [
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
            f"Date: {formatdate(usegmt=True)}",
            "Server: FaultProxy",
            *headers,
            f"Content-Length: {len(body)}",
        ]
        self.request.status = status
        await self._client.send("\r\n".join([*head, "", ""]).encode() + body)

    async def answer_half(self, answer: bytes) -> None:
        """Send the first half of an answer, then close."""
        self.request.status = self.request.upstream_status
        await self._client.send(answer[: len(answer) // 2])
        self.reusable = False

    async def stall(self) -> None:
        """Take no more, beyond what buffers hold, and send nothing until the client leaves."""
        await self._client.left()
        self.reusable = False

    def reset(self) -> None:
        """Send the client RST."""
        self._client.reset()
        self.reusable = False

    async def _deliver(self, piece: bytes) -> None:
        self.request.status = self.request.upstream_status
        await self._client.send(piece)

    async def _forward(self, deliver: Callable[[bytes], Awaitable[None]]) -> None:
        server = await self._upstream.peer()
        await server.send(self._head.raw)
        body = asyncio.create_task(self._pass_body(server))
        try:
            head = await self._final_head(server)
            refused = self._expects and not self._invited and not self.request.body_bytes
            if refused:
                body.cancel()  # before the client hears of it: what it sends then is a new request
            await self._pass_answer(server, head, deliver)
            if refused:
                server.abort()  # it was told of a body that will not come
            else:
                await body
        finally:
            body.cancel()
            await asyncio.gather(body, return_exceptions=True)

    async def _pass_body(self, server: Peer) -> None:
        try:
            async for piece in self._body():
                if server.usable:
                    with contextlib.suppress(PeerGoneError):  # its answer may be on its way
                        await server.send(piece)
        except PeerGoneError:
            server.abort()
            raise

    async def _pass_answer(
        self, server: Peer, head: Head, deliver: Callable[[bytes], Awaitable[None]]
    ) -> None:
        await deliver(head.raw)
        async for piece in self._answer_body(server, head):
            await deliver(piece)
        self.reusable = self.reusable and not head.closes

    async def _final_head(self, server: Peer) -> Head:
        while head := await server.read_head():
            status = int(head.start[1])
            if status >= HTTPStatus.OK:
                self.request.upstream_status = status
                self.request.answered(head.headers)
                return head
            if not self._invited:
                self._invited = True
                await self._client.send(head.raw)
        raise PeerGoneError

    async def _answer_body(self, server: Peer, head: Head) -> AsyncIterator[bytes]:
        if self.request.method == "HEAD" or self.request.upstream_status in {204, 304}:
            return
        if head.chunked:
            async for piece, _ in server.read_chunked():
                yield piece
        elif head.length is not None:
            async for piece in server.read_sized(head.length):
                yield piece
        else:
            self.reusable = False
            async for piece in server.read_rest():
                yield piece

    async def _body(self) -> AsyncIterator[bytes]:
        while self._begun:
            yield self._begun.pop(0)
        async for piece, _ in self._coming:
            yield piece

    async def _come(self) -> AsyncIterator[tuple[bytes, int]]:
        """Read bytes as they come from the client, and how many of them are content."""
        if self._head.chunked:
            async for piece, content in self._client.read_chunked():
                self.request.body_bytes += content
                yield piece, content
        else:
            async for piece in self._client.read_sized(self._head.length or 0):
                self.request.body_bytes += len(piece)
                yield piece, len(piece)

    async def _invite(self) -> None:
        invited, self._invited = self._invited, True
        if self._expects and not invited:
            await self._client.send(b"HTTP/1.1 100 Continue\r\n\r\n")
