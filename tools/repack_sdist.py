"""Make sdists byte-reproducible: fixed order, owner and modes, times from SOURCE_DATE_EPOCH, which setuptools ignores.

python tools/repack_sdist.py dist/*.tar.gz
"""

import gzip
import io
import os
import sys
import tarfile


def repack(path: str, epoch: int) -> None:
    archive = io.BytesIO()
    with (
        tarfile.open(path) as source,
        tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as target,
    ):
        for old in sorted(source.getmembers(), key=lambda member: member.name):
            new = tarfile.TarInfo(old.name)
            new.type, new.size, new.mtime = old.type, old.size, epoch
            new.mode = 0o755 if old.isdir() or old.mode & 0o100 else 0o644
            target.addfile(new, source.extractfile(old) if old.isfile() else None)
    with open(path, "wb") as raw, gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=epoch) as file:
        file.write(archive.getvalue())


for argument in sys.argv[1:]:
    repack(argument, int(os.environ["SOURCE_DATE_EPOCH"]))
