# What users of the library see of failed calls. Arguments: the node, then calls: NAME, or NAME=[ARGUMENT, ...] in JSON, or
# the same with a * in front for streaming calls. Answers one JSON list for each: the exception's class, the built-in
# classes that it can be caught as, and its text; null when nothing was raised.

import json

target, *calls = arguments
interesting = {"ValueError", "NotImplementedError", "TimeoutError", "DriverError"}

for call in calls:
    name, _, values = call.lstrip("*").partition("=")
    values = json.loads(values) if values else []
    try:
        if call.startswith("*"):
            list(node(target).streamingcall(name, *values))
        else:
            node(target).call(name, *values)
    except Exception as error:
        caught = sorted({k.__name__ for k in type(error).__mro__} & interesting)
        answer(json.dumps([type(error).__name__, caught, str(error)]))
    else:
        answer("null")
