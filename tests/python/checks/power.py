# Every method of a power interface: on, off, cycle and the readings while on. Argument: the node.
# Answers the readings as JSON: [[voltage, current], ...].

import json

power = node(arguments[0])
power.on()
readings = list(power.read())
assert all(type(r.voltage) is float and type(r.current) is float for r in readings), readings
power.cycle(0)
power.off()
answer(json.dumps([[r.voltage, r.current] for r in readings]))
