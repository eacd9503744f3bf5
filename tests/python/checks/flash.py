# Flashes an image and dumps it again, plain and with every compression, comparing digests. Arguments: the node, then
# what to make of a dump that the exporter packs: `complete`, or `truncated` for exporters of version 0.9.0.

import bz2
import gzip
import hashlib
import lzma
import random
import tempfile
from pathlib import Path

from backports import zstd
from jumpstarter.streams.encoding import Compression

storage, packed_dumps = node(arguments[0]), arguments[1]
packers = {
    None: (bytes, bytes),
    "gzip": (gzip.compress, gzip.decompress),
    "xz": (lzma.compress, lzma.decompress),
    "bz2": (bz2.compress, bz2.decompress),
    "zstd": (zstd.compress, zstd.decompress),
}


def digest(data):
    return hashlib.sha256(data).hexdigest()


folder = Path(tempfile.mkdtemp())
for name, (pack, unpack) in packers.items():
    compression = name and Compression(name)
    # Random bytes and a long run of one byte: what does not compress and what expands greatly, of another size each time.
    image = random.Random(name).randbytes(200_003) + bytes(700_000 + len(name or ""))
    source, plain, packed = folder / "source", folder / "plain", folder / "packed"
    source.write_bytes(pack(image))
    storage.flash(str(source), compression=compression)
    storage.dump(str(plain))
    assert digest(plain.read_bytes()) == digest(image), f"{name}: the image came back changed"
    if name is None:
        answer("plain", len(image), digest(image))
        continue
    storage.dump(str(packed), compression=compression)
    try:
        complete = digest(unpack(packed.read_bytes())) == digest(image)
    except (EOFError, OSError, ValueError, lzma.LZMAError, zstd.ZstdError):
        complete = False
    assert complete == (packed_dumps == "complete"), f"{name}: the packed dump is complete: {complete}"
    answer(name, len(image), digest(image))
