"""What makes a function fail on command: Python imports this by itself in every process of the local AWS.

It is on the path of the local AWS, whose workers run the functions, and does nothing but in those workers.  It stands
under the product, at what the product speaks through: the clock, boto3's HTTP session, httpx's transport and the
handler.  So it knows no module of the relay, and a fault is what a machine, a network or a service would do.

An **order** says what befalls one invocation: `kill:verify`, `dynamodb:throttle` …; a webhook brings its own in the
header `X-Chaos`, the other functions find theirs in the folder.  Each that strikes is written down, once.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import importlib
import json
import mmap
import os
import random
import re
import struct
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HEADER = "x-chaos"
CLOCK = struct.Struct("dd")  # seconds that the functions' clock is ahead; how far they may differ from one another
SLOW_S = 0.3
SKEWED_S = 0.5
KILLED = 137
WRITES = ("PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "BatchWriteItem")
THROTTLED = b'{"__type":"com.amazonaws.dynamodb.v20120810#%s","message":"too much"}'
EVENT_ID = re.compile(r"/(callback|failure)/.*?(rly_[a-z2-7]+)")


class Chaos:
    """What is ordered for the function of this process, and what has struck.

    Attributes:
        folder: Shared with who gives the orders.
        orders: Of the invocation under way.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.function = ""
        self.orders: list[str] = []
        self.published = False
        self.skewed = False
        self._told = (0.0, dict[str, Any]())

    def begin(self, function: str, event: Any) -> None:
        """Learn what is ordered for the invocation that begins with *event*."""
        self.function, self.published = function, False
        if self.skewed:
            self.skewed = False
            self.strike("clock skewed")
        headers = event.get("headers") or {} if isinstance(event, dict) else {}
        given = next((value for name, value in headers.items() if name.lower() == HEADER), "")
        self.orders = [it for it in given.split(",") if it] or self._claimed()
        if function == "record" and isinstance(event, dict):
            self.orders += self._drawn(event.get("rawPath", ""))

    def _claimed(self) -> list[str]:
        """Take the next order that waits for this function, if one does: renaming it is what takes it."""
        for path in sorted((self.folder / "orders").glob(f"{self.function}.*")):
            with suppress(FileNotFoundError):
                taken = path.rename(path.with_name(f"taken-{path.name}"))
                return [taken.read_text(encoding="utf-8")]
        return []

    def _drawn(self, path: str) -> list[str]:
        """Return what the seed has for a callback, the first time that it comes."""
        found = EVENT_ID.search(path)
        rates = self.told().get(self.function, {})
        for order, rate in sorted(rates.items()) if found else ():
            name = f"{self.function}:{order}:{found[1]}:{found[2]}" if found else ""
            digest = hashlib.sha256(f"{self.told()['seed']}:{name}".encode()).hexdigest()
            if int(digest[:8], 16) < rate * 2**32:
                with suppress(FileExistsError):
                    (self.folder / "markers" / digest).touch(exist_ok=False)
                    return [order]
        return []

    def told(self) -> dict[str, Any]:
        """Return what holds for all functions now: `outage` by service, `record`'s rates, the seed."""
        path = self.folder / "told.json"
        with suppress(FileNotFoundError, ValueError):
            written = path.stat().st_mtime_ns
            if written != self._told[0]:
                self._told = (written, json.loads(path.read_text(encoding="utf-8")))
        return self._told[1]

    def strike(self, order: str) -> None:
        """Write down that *order* strikes."""
        line = f"{self.function} {order}\n".encode()
        log = os.open(self.folder / "struck", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(log, line)
        os.close(log)

    def kill(self, step: str) -> None:
        """End this process, as a machine's end does, if it is ordered at *step*."""
        if f"kill:{step}" in self.orders:
            self.strike(f"kill:{step}")
            os._exit(KILLED)

    def of(self, service: str, call: Call) -> str | None:
        """Return what befalls a *call* to *service*: by order of the invocation, or by an outage."""
        for order in list(self.orders):
            kind, _, what = order.partition(":")
            once = what.endswith("-once")
            what = what.removesuffix("-once")
            too_early = what == "late" and not self.published
            another = what == "void" and self.function == "ingest" and not call.saves_event
            if kind != service or too_early or another:
                continue
            self.strike(order)
            if once:
                self.orders.remove(order)
            return what
        lasting: str | None = self.told().get("outage", {}).get(service)
        if lasting is not None:
            self.strike(f"{service}:{lasting}")
        return lasting


@dataclass
class Call:
    """One request to an AWS service, as boto3 is about to send it."""

    service: str
    operation: str
    body: bytes = field(repr=False)

    @classmethod
    def of(cls, request: Any) -> Call:
        """Return what *request*, a prepared one of botocore, asks for."""
        scope = re.search(r"Credential=[^/]+/\d+/[^/]+/([a-z0-9-]+)/aws4", _text(request.headers.get("Authorization")))
        operation = _text(request.headers.get("X-Amz-Target")).rpartition(".")[2] or request.method
        body = request.body if isinstance(request.body, bytes) else _text(request.body).encode()
        return cls(scope[1] if scope else "", operation, body)

    @property
    def writes(self) -> bool:
        """Tell whether it changes something."""
        return self.operation in (*WRITES, "PUT")

    @property
    def saves_event(self) -> bool:
        """Tell whether it is the write that makes an event durable."""
        return self.operation in WRITES and re.search(rb'"kind":\s*\{"S":\s*"EVENT"\}', self.body) is not None


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value or "")


def move_clock(path: Path) -> bool:
    """Put this process's `datetime` ahead by what the file *path* says, and by a skew of its own; tell whether by much.

    `time.time` stays: the local AWS counts an invocation's time limit with it.
    """
    with path.open("rb") as file:
        shared = mmap.mmap(file.fileno(), CLOCK.size, access=mmap.ACCESS_READ)
    share = random.Random(os.getpid()).uniform(-1, 1)  # noqa: S311  # no secret
    real = dt.datetime

    def ahead() -> dt.timedelta:
        offset_s, skew_s = CLOCK.unpack(shared)
        return dt.timedelta(seconds=offset_s + share * skew_s)

    class AnyDatetime(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, real)

        def __subclasscheck__(cls, subclass: type) -> bool:
            return issubclass(subclass, real)

    class Moved(real, metaclass=AnyDatetime):  # type: ignore[valid-type,misc]  # a class held in a variable
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:
            return real.now(tz) + ahead()

        @classmethod
        def utcnow(cls) -> dt.datetime:
            return real.now(dt.UTC).replace(tzinfo=None) + ahead()

    dt.datetime = Moved  # type: ignore[misc]  # all that is imported later takes this one
    return bool(abs(share * CLOCK.unpack(shared)[1]) > SKEWED_S)


def stand_under_boto3(chaos: Chaos) -> None:
    """Let what is ordered befall every request that boto3 sends."""
    from botocore.awsrequest import AWSResponse, HeadersDict
    from botocore.exceptions import EndpointConnectionError, ReadTimeoutError
    from botocore.httpsession import URLLib3Session

    real = URLLib3Session.send
    headers: Any = HeadersDict()

    def send(session: Any, request: Any) -> Any:
        call = Call.of(request)
        if call.writes and call.service in ("dynamodb", "s3"):
            chaos.kill("verify")
        what = chaos.of(call.service, call)
        if what in ("down", "late"):
            raise EndpointConnectionError(endpoint_url=request.url)
        if what == "throttle":
            name = random.choice((b"ProvisionedThroughputExceededException", b"ThrottlingException"))  # noqa: S311
            return AWSResponse(request.url, 400, headers, _Raw(THROTTLED % name))
        if what == "slow":
            time.sleep(SLOW_S)
        answer = real(session, request)
        if what == "void":
            raise ReadTimeoutError(endpoint_url=request.url)
        if answer.status_code < 300 and (call.saves_event if chaos.function == "ingest" else call.writes):
            chaos.kill("save")
        return answer

    URLLib3Session.send = send  # type: ignore[method-assign,assignment]  # as it is called, it is a method


class _Raw:
    """A response's body that never was on the wire."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self) -> list[bytes]:
        return [self._body]


def stand_under_httpx(chaos: Chaos) -> None:
    """Let what is ordered befall every publish to QStash, once QStash has it."""
    import httpx

    real = httpx.HTTPTransport.handle_request

    def handle_request(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        response = real(transport, request)
        if request.method == "POST" and re.match(r"/v2/(publish/|batch)", request.url.path) and response.is_success:
            chaos.published = True
            chaos.kill("publish")
        return response

    httpx.HTTPTransport.handle_request = handle_request  # type: ignore[method-assign,assignment]


def stand_before_handlers(chaos: Chaos) -> None:
    """Let every invocation begin with its orders: the local AWS imports a function's module and takes its handler."""
    real = importlib.import_module

    def import_module(name: str, package: str | None = None) -> Any:
        module = real(name, package)
        handler = getattr(module, "handler", None)
        if not callable(handler) or hasattr(handler, "under_chaos"):
            return module
        if name not in ("record", "query"):
            stand_under_httpx(chaos)

        def handle(event: Any, context: Any) -> Any:
            chaos.begin(name, event)
            answer = handler(event, context)
            chaos.kill("ack")
            return answer

        handle.under_chaos = True  # type: ignore[attr-defined]
        module.handler = handle  # type: ignore[attr-defined]
        return module

    importlib.import_module = import_module


def _begin() -> None:
    folder = os.environ.get("CHAOS_FOLDER")
    if not folder or "AWS_LAMBDA_FUNCTION_NAME" not in os.environ:
        return
    chaos = Chaos(Path(folder))
    chaos.skewed = move_clock(chaos.folder / "clock")
    stand_under_boto3(chaos)
    stand_before_handlers(chaos)


if __name__ == "sitecustomize":
    _begin()
