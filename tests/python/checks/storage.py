"""Every method of the storage family. Arguments: the node with a folder of its own, the one with a bucket, and the address
of a file. Answers `DRIVER METHOD` once each has done what it should."""

import hashlib
import tempfile
import urllib.request
from pathlib import Path

from jumpstarter.common.exceptions import JumpstarterException

store, bucket, url = arguments
storage, s3 = node(store), node(bucket)
folder = Path(tempfile.mkdtemp())
DATA = bytes(range(256)) * 1171 + b"x" * 224


def works(driver, *methods):
    for method in methods:
        answer(driver, method)


def messages(error):
    if isinstance(error, BaseExceptionGroup):
        return [message for inner in error.exceptions for message in messages(inner)]
    return [str(error)]


def fails(text, call, *args):
    try:
        call(*args)
    except (JumpstarterException, BaseExceptionGroup) as error:
        # While a file is on its way, the library raises everything at once.
        assert any(text in message for message in messages(error)), messages(error)
    else:
        raise AssertionError(f"{call} {args} did not fail")


def same(left, right):
    assert left == right, (left, right)


# Files
storage.create_dir("dir/sub/")
assert storage.stat("dir/").mode.entry_is_dir
works("opendal", "create_dir")
storage.write_bytes("dir/a.txt", DATA)
same(storage.read_bytes("dir/a.txt"), DATA)
(folder / "local").write_bytes(DATA)
storage.write_from_path("dir/b.txt", str(folder / "local"))
storage.read_into_path("dir/b.txt", str(folder / "back"))
same((folder / "back").read_bytes(), DATA)
storage.write_from_path("dir/from-web", url)
same(storage.read_bytes("dir/from-web"), b"from the web")
storage.write_bytes("dir/empty", b"")
same(storage.read_bytes("dir/empty"), b"")
works("opendal", "open", "file_read", "file_write", "file_close")
metadata = storage.stat("dir/a.txt")
same((metadata.content_length, metadata.mode.is_file()), (len(DATA), True))
fails("NotFound (permanent) at stat => ", storage.stat, "nosuch")
works("opendal", "stat")
same(storage.hash("dir/a.txt"), hashlib.sha256(DATA).hexdigest())
same(storage.hash("dir/a.txt", "md5"), hashlib.md5(DATA).hexdigest())
works("opendal", "hash")

# Open files
file = storage.open("dir/a.txt", "rb")
same((file.readable(), file.writable(), file.seekable(), file.closed, file.tell()), (True, False, True, False, 0))
same((file.seek(4), file.tell(), file.seek(-2, 2), file.seek(1, 1)), (4, 4, len(DATA) - 2, len(DATA) - 1))
fails("invalid seek to a negative", file.seek, -1000000, 1)
same(file.read_bytes(), DATA[-1:])
same(file.read_bytes(), b"")
fails("I/O operation failed for writing on read only file.", file.write_bytes, b"x")
file.close()
same((file.closed, file.readable(), file.read_bytes()), (True, False, b""))
fails("I/O operation failed for reading on closed file.", file.tell)
fails("I/O operation failed for writing on closed file.", file.write_bytes, b"x")
file = storage.open("dir/c.txt", "wb")
same((file.readable(), file.writable(), file.seekable(), file.closed), (False, True, False, False))
fails("I/O operation failed for reading on write only file.", file.tell)
file.write_bytes(b"one ")
file.write_bytes(b"two")
file.close()
same(storage.read_bytes("dir/c.txt"), b"one two")
works(
    "opendal",
    "file_seek",
    "file_tell",
    "file_closed",
    "file_readable",
    "file_seekable",
    "file_writable",
)

# Arranging
storage.copy("dir/c.txt", "dir/d.txt")
storage.rename("dir/d.txt", "other/e.txt")
same((storage.exists("dir/d.txt"), storage.read_bytes("other/e.txt")), (False, b"one two"))
works("opendal", "copy", "rename", "exists")
same(sorted(storage.list("other/")), ["other/", "other/e.txt"])
same(list(storage.list("other")), ["other/"])
same(list(storage.list("nosuch/")), [])
names = ["a.txt", "b.txt", "c.txt", "empty", "from-web", "sub/"]
same(sorted(storage.scan("dir/")), ["dir/", *(f"dir/{name}" for name in names)])
works("opendal", "list", "scan")
storage.delete("other/e.txt")
storage.delete("other/e.txt")
storage.remove_all("dir/")
same(sorted(storage.scan("/")), ["/", "other/"])
works("opendal", "delete", "remove_all")
storage.write_bytes("made/here.txt", b"content")
storage.call("register_path", "registered//there")
made = storage.get_created_resources()
assert {"made/here.txt", "registered/there"} <= made and "other/e.txt" not in made, made
works("opendal", "get_created_resources", "register_path")
capability = storage.capability()
assert capability.copy and capability.rename and capability.blocking and not capability.presign, capability
works("opendal", "capability")
fails("Unsupported (permanent) at presign => ", storage.presign_read, "a", 60)

# A bucket
s3.write_bytes("dir/a.bin", DATA)
same(s3.read_bytes("dir/a.bin"), DATA)
same(s3.stat("dir/a.bin").content_length, len(DATA))
request = s3.presign_read("dir/a.bin", 60)
with urllib.request.urlopen(urllib.request.Request(request.url, headers=request.headers)) as response:
    same(response.read(), DATA)
request = s3.presign_stat("dir/a.bin", 60)
same(request.method, "HEAD")
with urllib.request.urlopen(urllib.request.Request(request.url, headers=request.headers, method="HEAD")) as response:
    same(response.headers["content-length"], str(len(DATA)))
request = s3.presign_write("dir/put.bin", 60)
same(request.method, "PUT")
headers = {**request.headers, "content-type": "application/octet-stream"}
with urllib.request.urlopen(urllib.request.Request(request.url, data=b"put", headers=headers, method="PUT")) as response:
    same(response.status, 200)
same(s3.read_bytes("dir/put.bin"), b"put")
same(sorted(s3.scan("dir/")), ["dir/a.bin", "dir/put.bin"])
s3.remove_all("dir/")
assert not s3.exists("dir/a.bin")
works("opendal", "presign_stat", "presign_read", "presign_write")

# Mocks
flasher = node("flasher")
flasher.flash(str(folder / "local"))
flasher.flash({"boot": str(folder / "local"), "web": url})
works("MockFlasher", "flash")
flasher.dump(str(folder / "dumped"))
same((folder / "dumped").read_bytes(), DATA)
flasher.dump(str(folder / "dumped-web"), target="web")
same((folder / "dumped-web").read_bytes(), b"from the web")
works("MockFlasher", "dump")
for name, driver in [("mux", "MockStorageMux"), ("mux_flasher", "MockStorageMuxFlasher")]:
    mux = node(name)
    for method in ["host", "dut", "off"]:
        same(getattr(mux, method)(), None)
        works(driver, method)
    mux.write_local_file(str(folder / "local"))
    works(driver, "write")
    mux.read_local_file(str(folder / name))
    same((folder / name).read_bytes(), DATA)
    works(driver, "read")
mux.flash(url)
mux.dump(str(folder / "medium"))
same((folder / "medium").read_bytes(), b"from the web")
works("MockStorageMuxFlasher", "flash", "dump")
