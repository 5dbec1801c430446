"""The life of a driver process (section 2 of the contract): how it was started, what it serves, and how it ends.

A vendor keeps this module and changes NAME and VERSION.
"""

import argparse
import asyncio
import json
import logging
import os
import resource
import secrets
import signal
import socket
import stat
import sys
import threading
import time
from contextlib import suppress
from typing import NoReturn

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health

from errors import Refusal
from service import Service
from storagedriver import handshake_pb2, handshake_pb2_grpc
from storagedriver.v1alpha1.storage_driver_pb2_grpc import add_StorageDriverServicer_to_server

NAME, VERSION = "python", "0.1.0"
PACKAGE = "storagedriver.v1alpha1"
SERVICE = f"{PACKAGE}.StorageDriver"
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
# The contract gives calls in flight 10 seconds; some of that is for the exit itself.
DRAIN = 9.5
# A path has up to 512 components, and following one costs a few frames each.
FRAMES = 10_000
# After the last call its caller has this long to read the answer before the connection is closed.
FAREWELL = 0.2
OPTIONS = [
    ("grpc.max_concurrent_streams", 2**31 - 1),  # [G9]
    ("grpc.http2.lookahead_bytes", 256 << 10),  # what a stream may send before it is read
    ("grpc.http2.max_frame_size", 256 << 10),
    ("grpc.http2.write_buffer_size", 64 << 10),  # what is held of a stream that nobody reads
    ("grpc.http2.max_ping_strikes", 0),  # a registry may ask as often as it likes whether a connection lives
    ("grpc.max_receive_message_length", 4 << 20),
    ("grpc.max_send_message_length", 4 << 20),
]
log = logging.getLogger(__name__)


class Handshake(handshake_pb2_grpc.HandshakeServicer):
    def __init__(self, nonce: bytes) -> None:
        self._answer = handshake_pb2.HelloResponse(
            driver_name=NAME,
            driver_version=VERSION,
            protocols=[PACKAGE],
            nonce=nonce,
            instance=1 + secrets.randbelow(2**64 - 1),  # [H3]
            environment=[],  # [H4] name here what the store reads of the environment
        )

    async def Hello(
        self, request: handshake_pb2.HelloRequest, context: grpc.aio.ServicerContext
    ) -> handshake_pb2.HelloResponse:
        return self._answer


class Health(health.HealthServicer):
    """The process works until it is told to stop [P1]; the store is looked at whenever somebody asks [P2]."""

    def __init__(self, service: Service) -> None:
        super().__init__()
        self._service = service

    async def Check(
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        if request.service == SERVICE:
            await self.set(SERVICE, SERVING if await self._service.is_usable() else NOT_SERVING)
        return await super().Check(request, context)


class JsonLines(logging.Formatter):
    """Standard error is the log [L7]."""

    def format(self, record: logging.LogRecord) -> str:
        timestamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        line = {"timestamp": timestamp, "level": record.levelname, "message": super().format(record)}
        return json.dumps(line)


def give_up(message: str) -> NoReturn:
    sys.exit(f"bulkhead-driver-{NAME}: {message}")


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"bulkhead-driver-{NAME}", description="A registry needs no arguments.")
    parser.add_argument("--listen", metavar="unix:PATH", help="run for a registry to attach to")
    parser.add_argument("--config", metavar="FILE", help="the parameters of the store: a JSON object of strings")
    arguments = parser.parse_args()
    if (arguments.listen is None) != (arguments.config is None):
        give_up("--listen and --config go together: an attached driver is configured by its operator")
    return arguments


def socket_path(listen: str | None) -> str:
    """Where to bind [L2] [L3]."""
    if listen is not None:
        if not listen.startswith("unix:") or listen == "unix:":
            give_up(f"--listen takes unix:PATH, not {listen}")
        return listen.removeprefix("unix:")
    if "STORAGE_DRIVER_LISTEN_FD" in os.environ:
        give_up("gRPC for Python cannot serve on an inherited socket: set `driver: {socket: path}` in the registry")
    if path := os.environ.get("STORAGE_DRIVER_SOCKET"):
        return path
    give_up("a registry sets STORAGE_DRIVER_SOCKET; to run it without one: --listen unix:PATH --config FILE")


def read_parameters(file: str) -> dict[str, str]:
    try:
        with open(file, encoding="utf-8") as text:
            parameters = json.load(text)
    except (OSError, ValueError) as problem:
        give_up(f"the configuration {file} cannot be read: {problem}")
    if not isinstance(parameters, dict) or not all(isinstance(value, str) for value in parameters.values()):
        give_up(f"the configuration {file} is not a JSON object of strings")
    return parameters


def bind(server: grpc.aio.Server, path: str) -> None:
    """Binds `path`, for the user of this process alone. gRPC removes the socket that is there; one on which somebody
    serves stays."""
    with suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            probe.connect(path)
            give_up(f"another process serves on {path}")
    usual = os.umask(0o177)
    try:
        server.add_insecure_port(f"unix:{path}")
    except RuntimeError as problem:
        give_up(f"the socket {path} cannot be bound: {problem}")
    finally:
        os.umask(usual)


def end_with_registry() -> None:
    """The pipe ends when the registry is dead; then there is nobody to finish anything for [L5]."""
    number = int(os.environ["STORAGE_DRIVER_LIVENESS_FD"])
    with suppress(OSError):
        while os.read(number, 64):
            pass
    os._exit(0)


def descriptors() -> int:
    """Raises the limit of open files as far as it goes, and leaves half of it to connections and short calls."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return min(most, 1 << 20) // 2


async def serve(path: str, nonce: bytes, parameters: dict[str, str] | None) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    service = Service(descriptors())
    if parameters is not None:
        await service.configure(parameters, by_operator=True)
    healths = Health(service)
    await healths.set("", SERVING)
    server = grpc.aio.server(options=OPTIONS)
    add_StorageDriverServicer_to_server(service, server)
    handshake_pb2_grpc.add_HandshakeServicer_to_server(Handshake(nonce), server)
    health_pb2_grpc.add_HealthServicer_to_server(healths, server)
    bind(server, path)
    await server.start()
    log.info("the driver serves")
    await stop.wait()
    log.info("asked to stop; finishing what is in flight")
    await drain(server, service, healths)


async def drain(server: grpc.aio.Server, service: Service, healths: Health) -> None:
    """Reports NOT_SERVING, refuses new calls, and finishes those in flight [L6]."""
    service.is_stopping = True
    await healths.enter_graceful_shutdown()
    deadline = time.monotonic() + DRAIN - 2 * FAREWELL
    while service.in_flight and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    await asyncio.sleep(FAREWELL)
    await asyncio.wait({asyncio.ensure_future(server.stop(FAREWELL))}, timeout=FAREWELL)


def main() -> None:
    sys.setrecursionlimit(FRAMES)
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    arguments = read_arguments()
    path = socket_path(arguments.listen)
    parameters = read_parameters(arguments.config) if arguments.config else None
    try:
        nonce = bytes.fromhex(os.environ.get("STORAGE_DRIVER_NONCE", ""))
    except ValueError:
        give_up("STORAGE_DRIVER_NONCE is not hexadecimal")
    if "STORAGE_DRIVER_LIVENESS_FD" in os.environ:
        threading.Thread(target=end_with_registry, daemon=True).start()
    try:
        asyncio.run(serve(path, nonce, parameters))
    except (Refusal, OSError) as problem:
        give_up(str(problem))
    # An operation that hangs in a thread must not keep the process from ending.
    os._exit(0)


if __name__ == "__main__":
    main()
