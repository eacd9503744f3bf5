# Runs a program with the message bus of a node in place of this machine's. Arguments: the node, then the program's words.

import subprocess

target, *words = arguments

with node(target):
    output = subprocess.run(words, check=True, capture_output=True, text=True).stdout
for line in output.splitlines():
    answer(line.strip())
