# Log lines of the exporter while a method is called. Arguments: the node and the method.
# Answers them as JSON: [[logger, level, message], ...].

import json
import logging
import time

lines = []


class Keep(logging.Handler):
    def emit(self, record):
        if record.name.startswith("exporter:"):
            lines.append([record.name, record.levelname, record.getMessage()])


logging.getLogger().addHandler(Keep())
logging.getLogger().setLevel(logging.DEBUG)
with client.log_stream():
    # A line that is logged before the reader is there is kept for it.
    node(arguments[0]).call(arguments[1])
    deadline = time.monotonic() + 20
    while not any(logger == "exporter:driver" for logger, _, _ in lines) and time.monotonic() < deadline:
        time.sleep(0.02)
answer(json.dumps(lines))
