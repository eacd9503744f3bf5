"""What the drivers of the installed packages offer, found in the packages themselves.

    python surface.py MODULE...        (modules with drivers)

Prints a line `DRIVER KIND NAME CLIENT` for each method that a driver exports (`export`), and for its client class each
method that it calls on its driver (`call`) and each of its commands (`command`).

Commands are read from the sources: of those of `OpendalClient`, none is registered when it runs.
"""

import ast
import importlib
import inspect
import sys
import textwrap

from jumpstarter.client import DriverClient
from jumpstarter.driver import Driver
from jumpstarter.driver.decorators import MARKER_DRIVERCALL, MARKER_MAGIC, MARKER_STREAMCALL, MARKER_STREAMING_DRIVERCALL

MARKERS = [MARKER_DRIVERCALL, MARKER_STREAMCALL, MARKER_STREAMING_DRIVERCALL]


def exported(driver):
    for name, method in inspect.getmembers(driver, inspect.isfunction):
        if any(getattr(method, marker, None) == MARKER_MAGIC for marker in MARKERS):
            yield name


def sources(client):
    """The classes that make up a client, without those that all clients have, and without other libraries'."""
    for part in client.__mro__:
        if part not in DriverClient.__mro__ and part.__module__.startswith("jumpstarter"):
            yield ast.parse(textwrap.dedent(inspect.getsource(part)))


def called(client):
    for node in (node for tree in sources(client) for node in ast.walk(tree)):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="self"), attr="call" | "streamingcall"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield name


def commands(client):
    for node in (node for tree in sources(client) for node in ast.walk(tree)):
        for decorator in node.decorator_list if isinstance(node, ast.FunctionDef) else []:
            keywords = decorator.keywords if isinstance(decorator, ast.Call) else []
            match decorator.func if isinstance(decorator, ast.Call) else decorator:
                case ast.Attribute(attr="command"):
                    names = [keyword.value.value for keyword in keywords if keyword.arg == "name"]
                    yield from names or [node.name.replace("_", "-")]


for module in map(importlib.import_module, sys.argv[1:]):
    for _, driver in inspect.getmembers(module, inspect.isclass):
        if not issubclass(driver, Driver) or driver.__module__ != module.__name__ or inspect.isabstract(driver):
            continue
        try:
            path = driver.client()
        except NotImplementedError:
            # A reference is what it leads to.
            continue
        package, name = path.rsplit(".", 1)
        client = getattr(importlib.import_module(package), name)
        for kind, find in [("export", exported(driver)), ("call", called(client)), ("command", commands(client))]:
            for name in sorted(set(find)):
                print(f"{driver.__module__}.{driver.__name__}", kind, name, path)
