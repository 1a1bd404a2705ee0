"""A channel with one package, python, out of a directory, and an environment of it by rattler, a client of conda's.

The shape of a package and of a channel: docs.conda.io, Concepts (packages, channels). Arguments: directory, channel, environment.
"""

import asyncio
import hashlib
import json
import os
import platform
import sys
import tarfile

import rattler

source, channel, prefix = sys.argv[1:]
name = "python-%s-0.tar.bz2" % platform.python_version()
package = {"name": "python", "version": platform.python_version(), "build": "0", "build_number": 0, "depends": [], "subdir": "linux-64"}


def put(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as handle:
        json.dump(data, handle)


def digest(path, kind):
    with open(path, "rb") as handle:
        return hashlib.new(kind, handle.read()).hexdigest()


paths = []
for top, directories, files in os.walk(source):
    for name_ in sorted(files + [name_ for name_ in directories if os.path.islink(os.path.join(top, name_))]):
        path = os.path.join(top, name_)
        link = os.path.islink(path)
        paths.append({"_path": os.path.relpath(path, source), "path_type": "softlink" if link else "hardlink", "size_in_bytes": os.lstat(path).st_size,
                      "sha256": hashlib.sha256().hexdigest() if link else digest(path, "sha256")})
put(channel + "/info/index.json", package)
put(channel + "/info/paths.json", {"paths": paths, "paths_version": 1})
os.makedirs(channel + "/linux-64")
archive = os.path.join(channel, "linux-64", name)
with tarfile.open(archive, "w:bz2", compresslevel=1) as handle:
    handle.add(channel + "/info", "info")
    for item in paths:
        handle.add(os.path.join(source, item["_path"]), item["_path"])
record = {**package, "md5": digest(archive, "md5"), "sha256": digest(archive, "sha256"), "size": os.path.getsize(archive)}
for subdir, packages in (("linux-64", {name: record}), ("noarch", {})):
    put("%s/%s/repodata.json" % (channel, subdir), {"info": {"subdir": subdir}, "packages": packages, "packages.conda": {}, "repodata_version": 1})


async def install():
    records = await rattler.solve(sources=["file://" + channel], specs=["python"], platforms=["linux-64", "noarch"], gateway=rattler.Gateway(),
                                  virtual_packages=[])
    await rattler.install(records, target_prefix=prefix)


asyncio.run(install())
sys.stdout.flush()
os._exit(0)  # rattler's threads outlive the interpreter, and now and then its end is a segmentation fault
