"""A port behind RFC 2217, made of pyserial's own server side.

    python rfc2217_server.py [unanswered]

The port is pyserial's `loop://`. Prints `listening: HOST:PORT`, then a line for each setting that changes. Each connection
has a port of its own. With `unanswered`, the server takes connections and never says anything.
"""

import logging
import socket
import sys
import threading

import serial
import serial.rfc2217


class Said(logging.Handler):
    """The port manager tells what it does in its log."""

    def emit(self, record):
        if record.levelno >= logging.INFO:
            print(record.getMessage(), flush=True)


log = logging.getLogger("port")
log.setLevel(logging.DEBUG)
log.addHandler(Said())


class Connection:
    def __init__(self, connection):
        self.connection = connection
        self.lock = threading.Lock()

    def write(self, data):
        with self.lock:
            self.connection.sendall(data)


def serve(connection):
    port = serial.serial_for_url("loop://", timeout=0.05)
    try:
        converse(connection, port)
    except OSError:
        # The other side has gone.
        pass
    connection.close()
    print("connection ended", flush=True)


def converse(connection, port):
    manager = serial.rfc2217.PortManager(port, Connection(connection), logger=log)
    over = threading.Event()

    def from_port():
        while not over.is_set():
            data = port.read(port.in_waiting or 1)
            if data:
                try:
                    manager.connection.write(b"".join(manager.escape(data)))
                except OSError:
                    return

    reader = threading.Thread(target=from_port)
    reader.start()
    try:
        while data := connection.recv(4096):
            port.write(b"".join(manager.filter(data)))
    finally:
        over.set()
        reader.join()


listener = socket.create_server(("127.0.0.1", 0))
host, number = listener.getsockname()
print(f"listening: {host}:{number}", flush=True)
kept = []
while True:
    accepted, _ = listener.accept()
    if sys.argv[1:] == ["unanswered"]:
        kept.append(accepted)
    else:
        threading.Thread(target=serve, args=(accepted,), daemon=True).start()
