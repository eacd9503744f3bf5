"""Both ends of a tunnel, as the existing implementation opens them, and a third caller whose token is worth nothing.

Usage: router_peers.py HOST:PORT TOKEN FOREIGN_TOKEN
"""

import sys

import anyio
import grpc
from jumpstarter.common.grpc import aio_secure_channel, ssl_channel_credentials
from jumpstarter.common.streams import connect_router_stream
from jumpstarter.config.tls import TLSConfigV1Alpha1
from jumpstarter.streams.common import create_memory_stream
from jumpstarter_protocol import router_pb2, router_pb2_grpc

TLS = TLSConfigV1Alpha1(insecure=True)
CONTENT = bytes(range(250)) * 1200


async def speak(name, endpoint, token, first, lines):
    near, far = create_memory_stream()
    async with connect_router_stream(endpoint, token, far, TLS, {}):
        async with near:
            heard = bytearray()
            if first:
                await near.send(CONTENT)
            while len(heard) < len(CONTENT):
                heard += await near.receive()
            assert bytes(heard) == CONTENT
            lines[name] = [f"{name} heard {len(heard)} bytes"]
            if not first:
                await near.send(CONTENT)
            await near.send_eof()
            try:
                while True:
                    assert await near.receive() == b""
            except anyio.EndOfStream:
                lines[name].append(f"{name} heard the end")


async def knock(endpoint, token):
    credentials = grpc.composite_channel_credentials(
        await ssl_channel_credentials(endpoint, TLS), grpc.access_token_call_credentials(token)
    )
    async with aio_secure_channel(endpoint, credentials, {}) as channel:
        call = router_pb2_grpc.RouterServiceStub(channel).Stream(metadata=())
        # Nothing is written: grpcio reports a write that meets the refusal on its way as an error of its own, instead of the
        # refusal.
        try:
            await call.read()
        except grpc.aio.AioRpcError:
            pass
        return f"a foreign token: {await call.code()} {await call.details()}"


async def main(endpoint, token, foreign):
    lines = {}
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(speak, "exporter", endpoint, token, False, lines)
            tasks.start_soon(speak, "client", endpoint, token, True, lines)
        for index in range(2):
            for name in ("exporter", "client"):
                print(lines[name][index])
        print(await knock(endpoint, foreign))


anyio.run(main, *sys.argv[1:])
