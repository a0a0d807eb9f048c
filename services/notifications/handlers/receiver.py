"""The way out to partner systems: HTTP to the very address that was checked, with small limits, following nobody."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from typing import Any, Protocol

import httpcore
import httpx

from services.notifications.domain.push import Outcome, Reply, reply_of
from services.notifications.domain.targets import is_public

CONNECT_SECONDS = 5.0
WHOLE_SECONDS = 15.0
_BODY_SECONDS = 2.0
_BODY_BYTES = 4096
_ANSWER_KEPT = 200
_MOST_ADDRESSES = 4
_LOOKUPS = 8

Resolve = Callable[[str, int], Awaitable[list[str]]]


class WebhookSettings(Protocol):
    """What an operator says about webhooks."""

    webhook_private: bool
    webhook_connections: int


class AddressNotAllowed(httpcore.ConnectError):
    """A name leads into a network that is not the public Internet."""


class UnknownHost(httpcore.ConnectError):
    """A name leads nowhere."""


class Lookup:
    """Asks the machine's resolver, on threads of its own: names that never answer must not hold up the mails."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="webhook-names")

    async def __call__(self, host: str, port: int) -> list[str]:
        """Give the addresses of a host, in the order in which the machine would try them."""
        ask = asyncio.get_running_loop().run_in_executor
        found = await ask(self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        return list(dict.fromkeys(str(address[0]) for *_, address in found))

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to an address that it has looked up once and checked itself.

    Looked up again by whoever connects, the same name could lead elsewhere by then (DNS rebinding). TLS and the Host
    header go on with the name, for httpcore takes those from the URL.
    """

    def __init__(self, resolve: Resolve, *, private: bool, network: httpcore.AsyncNetworkBackend | None = None) -> None:
        self._resolve = resolve
        self._private = private
        self._network = network or httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that answers; raises AddressNotAllowed if even one is not public."""
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._checked(host, port)
                return await self._first(addresses, port, local_address, socket_options)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout("no connection in time") from error

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    async def _checked(self, host: str, port: int) -> list[str]:
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise UnknownHost("the name leads nowhere") from error
        if not self._private and not all(is_public(one) for one in addresses):
            raise AddressNotAllowed("the name leads to an address that is not public")
        return addresses[:_MOST_ADDRESSES]

    async def _first(
        self, addresses: list[str], port: int, local_address: str | None, options: Iterable[Any] | None
    ) -> httpcore.AsyncNetworkStream:
        failure: httpcore.ConnectError = UnknownHost("the name has no address")
        for address in addresses:
            try:
                return await self._network.connect_tcp(
                    address, port, local_address=local_address, socket_options=options
                )
            except httpcore.ConnectError as error:
                failure = error
        raise failure


class WayOut:
    """Posts to receivers; never raises for what a receiver or a network does."""

    def __init__(
        self,
        *,
        private: bool,
        connections: int,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
        whole: float = WHOLE_SECONDS,
    ) -> None:
        self._lookup = Lookup()
        self._whole = whole
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls or httpx.create_ssl_context(),
            network_backend=CheckedNetwork(resolve or self._lookup, private=private),
            max_connections=connections,
            max_keepalive_connections=connections // 2,
            keepalive_expiry=5.0,
        )

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, now: datetime) -> Reply:
        """Post a body and give what came back, within 15 seconds."""
        try:
            async with asyncio.timeout(self._whole):
                return await self._post(url, headers, body, now)
        except (TimeoutError, httpcore.TimeoutException):
            return Reply(Outcome.timeout)
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol, OSError) as error:
            return Reply(_what(error), answer=type(error).__name__)

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.aclose()
        self._lookup.close()

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes, now: datetime) -> Reply:
        # Written as it will travel: httpx has made it ASCII when the webhook was made.
        target = httpx.URL(url)
        sent: Mapping[str, str] = {
            "host": target.netloc.decode("ascii"),
            "content-type": "application/cloudevents+json; charset=utf-8",
            "content-length": str(len(body)),
            "user-agent": "ALBuM-webhooks/1",
        } | dict(headers)
        timeouts = {"connect": CONNECT_SECONDS, "read": self._whole, "write": self._whole, "pool": self._whole}
        address = httpcore.URL(scheme=target.raw_scheme, host=target.raw_host, port=target.port, target=target.raw_path)
        call = self._pool.stream(
            "POST", address, headers=list(sent.items()), content=body, extensions={"timeout": timeouts}
        )
        async with call as response:
            words = await _beginning(response)
            later = {name.lower(): value for name, value in response.headers}.get(b"retry-after")
            return reply_of(response.status, words, later.decode("latin-1") if later else None, now)


def _what(error: Exception) -> Outcome:
    if isinstance(error, AddressNotAllowed):
        return Outcome.address_not_allowed
    if isinstance(error, UnknownHost):
        return Outcome.unknown_host
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    return Outcome.connection if cause is None else Outcome.tls


async def _beginning(response: httpcore.Response) -> str:
    """Read the beginning of an answer; its status has decided already, so whatever happens here changes nothing."""
    read = b""
    with suppress(TimeoutError, httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError):
        async with asyncio.timeout(_BODY_SECONDS):
            async for part in response.aiter_stream():
                read += part[:_BODY_BYTES]
                if len(read) >= _BODY_BYTES:
                    break
    text = read[:_BODY_BYTES].decode("utf-8", "replace")
    return "".join(sign if sign.isprintable() else " " for sign in text[:_ANSWER_KEPT])
