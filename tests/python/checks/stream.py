# A conversation over a byte stream. Arguments: the node, then steps:
#   send:TEXT       sends one piece
#   size:NUMBER     sends one piece of so many bytes
#   receive         answers the next piece, as Python writes it, or how many bytes it has if they are many
#   finish          says that nothing more will be sent, and goes on receiving
#   end             answers `end` if the other side has finished, and what came otherwise
#   broken          answers why the stream broke: the text of the exporter's status
#   call:NAME       calls a method of the node and answers the result

import anyio
import grpc

target, *steps = arguments


def reason(error):
    while error is not None:
        if isinstance(error, grpc.RpcError):
            return error.details()
        error = error.__cause__ or error.__context__
    return "no status"


def shown(piece):
    return repr(piece) if len(piece) < 100 else len(piece)


client = node(target)
with client.stream() as stream:
    for step in steps:
        kind, _, text = step.partition(":")
        if kind == "send":
            stream.send(text.encode())
        elif kind == "size":
            stream.send(b"x" * int(text))
        elif kind == "receive":
            answer(shown(stream.receive()))
        elif kind == "finish":
            client.portal.call(stream.stream.send_eof)
        elif kind == "end":
            try:
                answer(shown(stream.receive()))
            except anyio.EndOfStream:
                answer("end")
        elif kind == "broken":
            try:
                while True:
                    stream.receive()
            except anyio.EndOfStream:
                answer("end")
            except Exception as error:
                answer(reason(error))
        elif kind == "call":
            answer(client.call(text))
        else:
            raise SystemExit(f"unknown step {step!r}")
