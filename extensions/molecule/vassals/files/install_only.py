"""Makes of the Python that runs this an archive as python-build-standalone's install_only ones are, which cannot be had without a way out.

Like theirs it has everything below ``python/``, no entries for directories, ``bin/python3`` and ``bin/python`` as links, libpython found relative
to the program, ``/install`` as the prefix that was built for, and no tests. Prints the version. Usage: install_only.py ARCHIVE
"""

import os
import pathlib
import platform
import sys
import sysconfig
import tarfile
import tempfile

MINOR = "%d.%d" % sys.version_info[:2]
PREFIX = pathlib.Path(sys.base_prefix)
LEFT_OUT = {"__pycache__", "test", "tests", "idlelib", "turtledemo", "site-packages", "dist-packages"}


def relocated(path):
    """A program that finds libpython beside itself, wherever it is: its RUNPATH is changed where it stands."""
    content, runpath = path.read_bytes(), os.fsencode("%s/lib" % PREFIX) + b"\0"
    return content.replace(runpath, b"$ORIGIN/../lib".ljust(len(runpath), b"\0")) if len(runpath) > 15 else content


def add_text(archive, name, content, mode):
    with tempfile.NamedTemporaryFile() as made:
        made.write(content)
        made.flush()
        os.chmod(made.name, mode)
        archive.add(made.name, name)


with tarfile.open(sys.argv[1], "w:gz", compresslevel=1) as archive:
    add_text(archive, "python/bin/python" + MINOR, relocated(pathlib.Path(os.path.realpath(sys.executable))), 0o755)
    for name in ("python3", "python"):
        link = tarfile.TarInfo("python/bin/" + name)
        link.type, link.linkname = tarfile.SYMTYPE, "python" + MINOR
        archive.addfile(link)
    for library in (PREFIX / "lib").glob("libpython*.so*"):
        archive.add(library, "python/lib/" + library.name)
    for wheel in (PREFIX / "share/python-wheels").glob("*.whl"):  # Debian 11's pip has its libraries there
        archive.add(wheel, "python/share/python-wheels/" + wheel.name)
    stdlib = pathlib.Path(sysconfig.get_path("stdlib"))
    for directory, names, files in os.walk(stdlib):
        names[:] = [name for name in names if name not in LEFT_OUT and not name.startswith("config-")]
        for name in files:
            path = pathlib.Path(directory, name)
            target = "python/lib/python%s/%s" % (MINOR, path.relative_to(stdlib))
            if path.suffix == ".pyc" or path.is_symlink() and not path.exists():
                continue
            if name.startswith("_sysconfigdata") and PREFIX != pathlib.Path("/usr"):
                add_text(archive, target, path.read_bytes().replace(os.fsencode(PREFIX), b"/install"), 0o644)
            else:
                archive.add(os.path.realpath(path), target)
print(platform.python_version())
