"""The life of a driver process (section 2 of the contract): how it was started, what it serves, and how it ends.

A vendor keeps this file, and changes NAME and VERSION.
"""

import logging
import os
import resource
import secrets
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from service import Service
from storagedriver import handshake_pb2, handshake_pb2_grpc
from storagedriver.v1alpha1.storage_driver_pb2_grpc import add_StorageDriverServicer_to_server

NAME, VERSION = "python", "0.1.0"
PACKAGE = "storagedriver.v1alpha1"
SERVICE = f"{PACKAGE}.StorageDriver"
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
# The contract gives calls in flight 10 seconds [L6]; some of that is for the exit itself.
DRAIN = 9.5
# So many calls and streams are at work at once, each in a thread; more wait [G9].
THREADS = 1024
OPTIONS = [
    ("grpc.max_concurrent_streams", 2**31 - 1),
    ("grpc.http2.lookahead_bytes", 256 << 10),  # what a stream may send before it is read
    ("grpc.http2.max_frame_size", 256 << 10),
    ("grpc.http2.write_buffer_size", 64 << 10),  # what is held of a stream that nobody reads
    ("grpc.http2.max_ping_strikes", 0),  # a registry may ask as often as it likes whether a connection lives
]


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

    def Hello(self, request: handshake_pb2.HelloRequest, context: grpc.ServicerContext) -> handshake_pb2.HelloResponse:
        return self._answer


class Health(health.HealthServicer):
    """The process works until it is told to stop [P1]; the store is looked at whenever somebody asks [P2]."""

    def __init__(self, service: Service) -> None:
        super().__init__()
        self._service = service
        self.set("", SERVING)

    def Check(
        self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        self.set(SERVICE, SERVING if self._service.is_usable() else NOT_SERVING)
        return super().Check(request, context)


def socket_path() -> str:
    if "STORAGE_DRIVER_LISTEN_FD" in os.environ:
        sys.exit("gRPC for Python cannot serve on an inherited socket: set `driver: {socket: path}` in the registry")
    if "STORAGE_DRIVER_SOCKET" not in os.environ:
        sys.exit("a registry starts this driver; to run it by hand set STORAGE_DRIVER_SOCKET to a path")
    return os.environ["STORAGE_DRIVER_SOCKET"]


def end_with_registry() -> None:
    """The pipe ends when the registry is dead; then there is nobody to finish anything for [L5]."""
    while os.read(int(os.environ["STORAGE_DRIVER_LIVENESS_FD"]), 64):
        pass
    os._exit(1)


def main() -> None:
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")  # to standard error [L7]
    os.umask(0o077)  # socket and store are for the user of this process alone
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    path, nonce = socket_path(), bytes.fromhex(os.environ.get("STORAGE_DRIVER_NONCE", ""))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if "STORAGE_DRIVER_LIVENESS_FD" in os.environ:
        threading.Thread(target=end_with_registry, daemon=True).start()
    service = Service()
    healths = Health(service)
    server = grpc.server(ThreadPoolExecutor(THREADS), options=OPTIONS)
    add_StorageDriverServicer_to_server(service, server)
    handshake_pb2_grpc.add_HandshakeServicer_to_server(Handshake(nonce), server)
    health_pb2_grpc.add_HealthServicer_to_server(healths, server)
    server.add_insecure_port(f"unix:{path}")  # in the place of what a dead process left there [L2]
    server.start()
    stop.wait()
    healths.enter_graceful_shutdown()
    server.stop(DRAIN).wait()
    os._exit(0)  # a thread that hangs must not keep the process from ending


if __name__ == "__main__":
    main()
