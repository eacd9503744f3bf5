"""What the generated clients share: calls with types, files, byte streams, and commands that print."""

import dataclasses
import json
import keyword
import os
import re
import stat
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import timedelta
from enum import Enum, StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, NoReturn, Self

import anyio
import click
import rich
from anyio import EndOfStream, create_task_group, to_thread
from anyio.abc import ObjectStream
from jumpstarter.client import DriverClient
from jumpstarter.client.base import StubDriverClient
from jumpstarter.client.core import DriverError
from jumpstarter.client.decorators import driver_click_group
from jumpstarter.common.resources import PresignedRequestResource
from jumpstarter.streams.progress import ProgressAttribute
from pydantic import ConfigDict, SkipValidation, TypeAdapter, ValidationError

Source = Annotated[str | os.PathLike[str] | BinaryIO, SkipValidation]
"""A file to send: its path, an open file, or an `http://` or `https://` URL, which the exporter fetches itself."""

Sink = Annotated[str | os.PathLike[str] | BinaryIO, SkipValidation]
"""A file to receive: its path, an open file, or an `http://` or `https://` URL, to which the exporter puts it."""

if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
else:
    # Older versions of click have no parameter here.
    _ParamType = click.ParamType

CHECKED = ConfigDict(arbitrary_types_allowed=True)

_CHUNK = 64 * 1024
_ANY: TypeAdapter[Any] = TypeAdapter(Any)


class Calls:
    """What `DriverClient` does, with types."""

    if TYPE_CHECKING:

        def call(self, method: str, *args: object) -> Any: ...

        def streamingcall(self, method: str, *args: object) -> Iterator[Any]: ...

    @classmethod
    def of(cls, client: DriverClient) -> Self:
        """These methods for a device that was found as another class, for example as a group of its parts."""
        make: Callable[..., Self] = cls
        return make(
            uuid=client.uuid,
            labels=client.labels,
            stub=client.stub,
            portal=client.portal,
            stack=client.stack.enter_context(ExitStack()),
            children=client.children,
            description=client.description,
            methods_description=client.methods_description,
        )


def arguments(*values: object, defaults: tuple[object, ...]) -> list[object]:
    """Arguments in order. Trailing ones that are their defaults stay away: an older driver may not know them."""
    kept = list(values)
    for default in reversed(defaults):
        if type(kept[-1]) is not type(default) or kept[-1] != default:
            break
        kept.pop()
    return kept


# Structures whose form differs between Python and the wire.


def from_wire(value: Any, names: Mapping[str, str], as_list: bool) -> Any:
    """`names` are those on the wire and those in Python, in order."""
    if as_list and isinstance(value, list | tuple):
        return dict(zip(names.values(), value, strict=False))
    if isinstance(value, dict):
        return {names.get(name, name): item for name, item in value.items()}
    return value


def to_wire(value: Any, names: Mapping[str, str], as_list: bool) -> Any:
    """The reverse of `from_wire`."""
    fields = {name: getattr(value, attribute) for name, attribute in names.items()}
    return list(fields.values()) if as_list else fields


# Files.


@dataclasses.dataclass(kw_only=True)
class _File(ObjectStream[bytes]):
    file: BinaryIO
    ended: bool = False

    async def receive(self) -> bytes:
        piece = await to_thread.run_sync(self.file.read, _CHUNK)
        if not piece:
            raise EndOfStream
        return piece

    async def send(self, item: bytes) -> None:
        await to_thread.run_sync(self.file.write, item)

    async def send_eof(self) -> None:
        self.ended = True

    async def aclose(self) -> None:
        pass

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        try:
            status = os.fstat(self.file.fileno())
        except OSError:
            return {}
        if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
            return {}
        return {ProgressAttribute.total: lambda: float(status.st_size)}


class _NothingToSend(_File):
    async def receive(self) -> bytes:
        raise EndOfStream


@asynccontextmanager
async def _resource(client: DriverClient, stream: _File) -> AsyncGenerator[Any]:
    share: Callable[..., Any] = client.resource_async
    async with share(stream) as handle:
        yield handle


def progress_aside() -> None:
    """Upstream shows progress and log records on standard output. That belongs to data and results, so both go to standard
    error from here on: also what is shown when a transfer is over.
    """
    rich.get_console().stderr = True


def _is_url(file: object) -> bool:
    return isinstance(file, str) and file.startswith(("http://", "https://"))


@contextmanager
def reading(client: DriverClient, file: Source) -> Generator[Any]:
    """A handle by which a driver reads a file of ours."""
    if isinstance(file, str) and _is_url(file):
        yield PresignedRequestResource(headers={}, url=file, method="GET").model_dump(mode="json")
        return
    with ExitStack() as stack:
        opened = (
            stack.enter_context(open(file, "rb")) if isinstance(file, str | os.PathLike) else file
        )
        stream = _File(file=opened)
        yield stack.enter_context(
            client.portal.wrap_async_context_manager(_resource(client, stream))
        )


@contextmanager
def writing(client: DriverClient, file: Sink) -> Generator[Any]:
    """A handle by which a driver writes a file of ours. A file whose end is missing is an error."""
    if isinstance(file, str) and _is_url(file):
        yield PresignedRequestResource(headers={}, url=file, method="PUT").model_dump(mode="json")
        return
    with ExitStack() as stack:
        opened = (
            stack.enter_context(open(file, "wb")) if isinstance(file, str | os.PathLike) else file
        )
        if opened is getattr(sys.stdout, "buffer", None):
            progress_aside()
        stream = _NothingToSend(file=opened)
        with client.portal.wrap_async_context_manager(_resource(client, stream)) as handle:
            yield handle
        if not stream.ended:
            raise DriverError("the file is incomplete: its end did not arrive")
        opened.flush()


def standard_input(name: str) -> Source:
    """The file of a command line; `-` is standard input."""
    return sys.stdin.buffer if name == "-" else name


def standard_output(name: str) -> Sink:
    """The file of a command line; `-` is standard output."""
    return sys.stdout.buffer if name == "-" else name


# Byte streams.


async def _standard_input_piece() -> bytes:
    number = sys.stdin.fileno()
    if not stat.S_ISREG(os.fstat(number).st_mode):
        await anyio.wait_readable(number)
    return os.read(number, _CHUNK)


def pipe(
    client: DriverClient,
    method: str,
    *,
    output: str | None,
    append: bool,
    force_input: bool,
    no_input: bool,
    no_output: bool,
) -> None:
    """Prints what a device says, and sends it what comes on standard input."""
    send = not no_input and (force_input or not sys.stdin.isatty())
    connect: Callable[[str], Any] = client.stream_async

    async def run() -> None:
        with ExitStack() as files:
            target = (
                files.enter_context(Path(output).open("ab" if append else "wb"))
                if output is not None
                else sys.stdout.buffer
            )
            async with connect(method) as stream, create_task_group() as group:

                async def forward() -> None:
                    while piece := await _standard_input_piece():
                        await stream.send(piece)
                    await stream.send_eof()
                    if no_output:
                        group.cancel_scope.cancel()

                if send:
                    group.start_soon(forward)
                elif no_output:
                    return
                try:
                    while True:
                        piece = await stream.receive()
                        if not no_output:
                            target.write(piece)
                            target.flush()
                except EndOfStream:
                    group.cancel_scope.cancel()

    client.portal.call(run)


def pipe_options(function: Callable[..., None]) -> Callable[..., None]:
    """The options of a command that pipes."""
    for option in (
        click.option("--no-output", is_flag=True, help="Send standard input and end."),
        click.option(
            "--no-input", is_flag=True, help="Send nothing, although standard input is no terminal."
        ),
        click.option(
            "-i",
            "--input",
            "force_input",
            is_flag=True,
            help="Send standard input, although it is a terminal.",
        ),
        click.option("-a", "--append", is_flag=True, help="Append to the file."),
        click.option(
            "-o", "--output", metavar="FILE", help="Write what the device says to a file."
        ),
    ):
        function = option(function)
    return function


# Commands.


def group(client: DriverClient, doc: str) -> click.Group:
    """The commands of a device: its own, and below it those of its children."""

    def base() -> None:
        progress_aside()

    base.__doc__ = doc
    decorate: Callable[[Callable[[], None]], click.Group] = driver_click_group(client)
    commands = decorate(base)
    for name, child in client.children.items():
        if not isinstance(child, StubDriverClient) and hasattr(child, "cli"):
            commands.add_command(child.cli(), name)
    return commands


def given(**values: object) -> dict[str, Any]:
    """The options that somebody gave."""
    return {name: value for name, value in values.items() if value is not None}


def output_option(function: Callable[..., None]) -> Callable[..., None]:
    """The option that chooses how results are printed."""
    return click.option(
        "--output",
        "print_as",
        type=click.Choice(["text", "json"]),
        default="text",
        help="How to print results; JSON is one value per line.",
    )(function)


class Words(_ParamType):
    """One of the words of an enum."""

    name = "choice"

    def __init__(self, kind: type[StrEnum]) -> None:
        self.kind = kind

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str | None:
        if isinstance(param, click.Argument):
            return None
        return f"[{'|'.join(member.value for member in self.kind)}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        for member in self.kind:
            if str(value).lower() == member.value.lower():
                return member
        words = ", ".join(member.value for member in self.kind)
        self.fail(f"'{value}' is not one of {words}", param, ctx)


class Parsed(_ParamType):
    """A value that is read from text, or from JSON where it has parts."""

    def __init__(self, name: str, adapter: TypeAdapter[Any], *, is_json: bool = False) -> None:
        self.name = name
        self.adapter = adapter
        self.is_json = is_json

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self.adapter.validate_python(json.loads(value) if self.is_json else value)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            self.fail(f"{place}: {first['msg']}" if place else first["msg"], param, ctx)
        except ValueError as error:
            self.fail(f"expected JSON: {error}", param, ctx)


class _Time(_ParamType):
    """A length of time such as `2s`, `500ms`, `1h 30m` or `PT2S`, or a number of seconds."""

    name = "time"

    _UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6}
    _ISO: TypeAdapter[timedelta] = TypeAdapter(timedelta)

    def _wrong(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> NoReturn:
        self.fail(f"'{value}' is no length of time such as 2s, 500ms, 1h 30m or PT2S", param, ctx)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, timedelta):
            return value
        text = str(value).strip()
        try:
            if text.upper().startswith("P"):
                time = self._ISO.validate_python(text.upper())
            else:
                time = timedelta(seconds=self._seconds(text))
        except (ValueError, OverflowError):
            self._wrong(value, param, ctx)
        if time < timedelta(0):
            self._wrong(value, param, ctx)
        return time

    def _seconds(self, text: str) -> float:
        parts = re.findall(r"(\d+(?:\.\d+)?)\s*([a-z]+)", text)
        if not parts or re.sub(r"\d+(?:\.\d+)?\s*[a-z]+|\s", "", text):
            return float(text)
        try:
            return sum(float(number) * self._UNITS[unit] for number, unit in parts)
        except KeyError as error:
            raise ValueError(f"unknown unit {error}") from None


TIME = _Time()


def _plain(value: Any) -> Any:
    return _ANY.dump_python(value, mode="json")


def _wire_name(name: str) -> str:
    """The name that a field has elsewhere: words that Python keeps for itself got an underscore."""
    return name[:-1] if name.endswith("_") and keyword.iskeyword(name[:-1]) else name


def _by_name(value: Any) -> Any:
    """As JSON, with names also where calls carry a list."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            _wire_name(field.name): _by_name(getattr(value, field.name))
            for field in dataclasses.fields(value)
        }
    if isinstance(value, list):
        return [_by_name(item) for item in value]
    if isinstance(value, dict):
        return {name: _by_name(item) for name, item in value.items()}
    return _plain(value)


def _json(value: Any) -> str:
    return json.dumps(_by_name(value), ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _line(value: Any) -> str:
    """A value on one line: numbers with their units, parts of parts as JSON."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        shown = []
        for field in dataclasses.fields(value):
            part = getattr(value, field.name)
            if part is not None:
                nested = dataclasses.is_dataclass(part) or isinstance(part, list | dict)
                unit = f" {field.metadata['unit']}" if "unit" in field.metadata else ""
                shown.append(
                    f"{_wire_name(field.name)}={_json(part) if nested else _line(part)}{unit}"
                )
        return "  ".join(shown)
    if isinstance(value, Enum):
        return str(value.value)
    plain = _plain(value)
    return (
        plain
        if isinstance(plain, str)
        else json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
    )


def show(value: Any, print_as: str = "text") -> None:
    """Prints a result as people or programs read it; nothing is nothing."""
    if print_as == "json":
        click.echo(_json(value))
    elif isinstance(value, list):
        for item in value:
            click.echo(_line(item))
    elif isinstance(value, dict):
        for name, item in value.items():
            click.echo(f"{name}={_line(item)}")
    elif value is not None:
        click.echo(_line(value))
