"""Runs a piece of Python with the unmodified upstream client.

    python run.py FILE [ARGUMENT...]        (FILE may be - for standard input)

`client` is the root of the tree that JUMPSTARTER_HOST leads to; `node` finds a client below it by its dotted path;
`arguments` are the rest of the command line; `answer` prints a line so that it can be told from the log lines and
progress bars that the library prints on standard output. A failed check ends the program with an exception, so with status 1.
"""

import sys
from pathlib import Path

from jumpstarter.utils.env import env

file, *arguments = sys.argv[1:]
code = sys.stdin.read() if file == "-" else Path(file).read_text()

with env() as client:

    def node(path):
        found = client
        for name in filter(None, path.split(".")):
            found = found.children[name]
        return found

    def answer(*words):
        print("=", *words)

    names = {"client": client, "node": node, "arguments": arguments, "answer": answer, "__name__": "__check__"}
    exec(compile(code, file, "exec"), names)
