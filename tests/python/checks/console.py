# A conversation through pexpect. Arguments: the node, then steps:
#   send:TEXT       sends a line
#   expect:PATTERN  waits for a regular expression; answers what matched
#   call:NODE.NAME  calls a method of another node, `board.power.on` say

console, *steps = arguments

with node(console).pexpect() as session:
    for step in steps:
        kind, _, text = step.partition(":")
        if kind == "send":
            session.sendline(text)
        elif kind == "expect":
            session.expect(text, timeout=30)
            answer(session.after.decode())
        elif kind == "call":
            path, _, method = text.rpartition(".")
            node(path).call(method)
        else:
            raise SystemExit(f"unknown step {step!r}")
