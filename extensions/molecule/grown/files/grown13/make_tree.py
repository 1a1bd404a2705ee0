"""An interpreter as pyenv keeps it, out of the distribution's own files: PREFIX/bin/pythonX.Y with its standard library."""

import os
import platform
import shutil
import sys

prefix = sys.argv[1]
minor = ".".join(platform.python_version_tuple()[:2])
os.makedirs(prefix + "/bin")
os.makedirs(prefix + "/lib")
shutil.copy("/usr/bin/python" + minor, prefix + "/bin")
for name in ("python3", "python"):
    os.symlink("python" + minor, prefix + "/bin/" + name)
shutil.copytree("/usr/lib/python" + minor, prefix + "/lib/python" + minor,
                ignore=lambda top, names: [name for name in names if name == "__pycache__" or os.path.islink(os.path.join(top, name))])
