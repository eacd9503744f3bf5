# Uses every shape of the generated client `shapes`, and the classes `family` of nodes with children.

import hashlib
import tempfile
from datetime import UTC, datetime, timedelta
from io import BytesIO
from ipaddress import IPv6Address
from pathlib import Path
from uuid import UUID

from jumpstarter.client.core import DriverError
from jumpstarter_driver_composite.client import CompositeClient
from jumpstarter_driver_x.client import FamilyClient, ShapesClient
from jumpstarter_driver_x.shapes import Color, Drawing, Label, Limit, Point, Received
from pydantic import ValidationError

shapes = node("shapes")
assert type(shapes) is ShapesClient, type(shapes)


def same(got, wanted):
    assert type(got) is type(wanted) and got == wanted, f"{got!r} is not {wanted!r}"


def refused(error, text, function, *arguments, **named):
    try:
        function(*arguments, **named)
    except error as problem:
        assert text in str(problem), f"{text!r} is not in {problem}"
    else:
        raise AssertionError(f"{function} accepted {arguments} {named}")


# Numbers, and what is outside of their ranges.
same(shapes.sum(255, -7, 2**40, 0.5, 0.25, 2**50), float(255 - 7 + 2**40 + 2**50) + 0.75)
refused(ValidationError, "less than or equal to 255", shapes.sum, 256, 0, 0, 0, 0, 0)
refused(ValidationError, "valid integer", shapes.sum, 1.5, 0, 0, 0, 0, 0)

# Defaults, options, names.
same(shapes.set_limit("main"), Limit(channel="main", amps=1.5, steps=None))
same(shapes.set_limit("main", 2), Limit(channel="main", amps=2.0))
same(shapes.set_limit("main", steps=4), Limit(channel="main", amps=1.5, steps=4))
refused(ValidationError, "Field required", Limit, channel="main")
refused(ValidationError, "valid number", Limit, channel="main", amps="much")
assert shapes.toggle() is True and shapes.toggle(False) is False
same(shapes.maybe(None), None)
same(shapes.maybe(3), 3)
same(shapes.names("a ", "b", "c"), ["a b", "a c"])
same(shapes.names(None, "b"), ["b"])
same(shapes.names(), [])

# Enums, maps, structures, lists.
same(shapes.paint(Color.LIGHT_BLUE), [Color.LIGHT_BLUE, Color.LIGHT_BLUE])
same(shapes.paint("red", ground=Color.RED), [Color.RED, Color.RED])
refused(ValidationError, "'red' or 'light_blue'", shapes.paint, "green")
same(shapes.mix({"a": Color.RED}), {"a": Color.RED})
inner = Drawing(corners=[], inside=[], notes={})
same(inner.color, Color.RED)
same(inner.lasts, timedelta(seconds=2))
drawing = Drawing(
    corners=[Point(x=1.0, y=2.5)],
    color=Color.LIGHT_BLUE,
    inside=[inner],
    notes={"by": "hand"},
    lasts=timedelta(milliseconds=5),
)
same(shapes.draw(drawing), drawing)
same(shapes.corner(Point(x=1.0, y=-2.0)), Point(x=1.0, y=-2.0))

# Types that travel as text.
same(shapes.pause(), timedelta(milliseconds=1500))
same(shapes.pause(timedelta(days=2, microseconds=5)), timedelta(days=2, microseconds=5))
label = Label(
    id=UUID("4a5c4a3e-5f6b-4f6c-9d6e-0a1b2c3d4e5f"),
    at=datetime(2026, 11, 28, 12, 30, tzinfo=UTC),
    ip=IPv6Address("::1"),
    path="/dev/null",
    link="https://example.org/a?b=c",
)
same(shapes.label(label.id, label.at, label.ip, label.path, label.link), label)
same(shapes.raw("Grüße".encode()), "Grüße".encode())
same(shapes.anything({"a": [1.5, None, True]}), {"a": [1.5, None, True]})

# Streams, and one that fails.
limits = list(shapes.count(-1, 2))
same(limits, [Limit(channel="-1", amps=0.0), Limit(channel="0", amps=1.0)])
same(len(list(shapes.count(5))), 3)
stumbling = shapes.stumble()
same(next(stumbling), 1)
refused(DriverError, "a stone", next, stumbling)

# Files: by path, open, empty, large, packed or not.
folder = Path(tempfile.mkdtemp())
content = bytes(range(256)) * 4096
(folder / "content").write_bytes(content)
digest = hashlib.sha256(content).hexdigest()
for file in (folder / "content", str(folder / "content"), BytesIO(content)):
    same(shapes.upload(file), Received(from_="some", size=len(content), sha256=digest))
same(shapes.upload(BytesIO(), "empty").size, 0)
same(shapes.upload(BytesIO(), "empty").from_, "empty")
refused(FileNotFoundError, "absent", shapes.upload, folder / "absent")
shapes.download(folder / "copy", 1_000_001)
same((folder / "copy").read_bytes(), b"x" * 1_000_001)
memory = BytesIO()
shapes.download(memory, 3)
same(memory.getvalue(), b"xxx")
refused(DriverError, "", shapes.download_half, BytesIO())

# A byte stream.
with shapes.chat() as stream:
    stream.send(b"hello")
    same(stream.receive(), b"HELLO")

# Names that mean something else in Python or in the base class.
same(shapes.list(), ["one", "two"])
same(shapes.call_(), "called")
refused(DriverError, "on purpose", shapes.fail)

# A node with children: upstream's class, and its own methods all the same.
family = node("family")
assert type(family) is CompositeClient, type(family)
same(FamilyClient.of(family).size(), 2)
same(family.shapes.toggle(), True)
# One that asked for its own class has both in one.
typed = node("typed")
assert type(typed) is FamilyClient, type(typed)
same(typed.size(), 1)
typed.power.on()
answer("done")
