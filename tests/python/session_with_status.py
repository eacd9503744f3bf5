"""An upstream session on a unix socket whose status is set by lines on standard input.

    python session_with_status.py EXPORTER.yaml

Prints `listening: PATH`, then for each line NAME read, `status: NAME` once the session has that status. Ends with its
input. The message of each status is "message for NAME".
"""

import sys
from pathlib import Path

import anyio
from anyio import to_thread
from jumpstarter.common import ExporterStatus
from jumpstarter.config.exporter import ExporterConfigV1Alpha1, ExporterConfigV1Alpha1DriverInstance
from jumpstarter.exporter import Session


async def main(path: Path) -> None:
    config = ExporterConfigV1Alpha1.load_path(path)
    root = ExporterConfigV1Alpha1DriverInstance(
        type="jumpstarter_driver_composite.driver.Composite",
        description=config.description,
        children=config.export,
    )
    with Session(root_device=root.instantiate()) as session:
        async with session.serve_unix_async() as socket:
            print(f"listening: {socket}", flush=True)
            while line := await to_thread.run_sync(sys.stdin.readline):
                name = line.strip()
                session.update_status(ExporterStatus[name], f"message for {name}")
                print(f"status: {name}", flush=True)


anyio.run(main, Path(sys.argv[1]))
