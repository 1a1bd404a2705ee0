"""Make the files that no program likes, below the directories that are given: code, state."""

import os
import sys

code, state = (os.fsencode(path) for path in sys.argv[1:])
os.symlink(code, code + b"/loop")
os.symlink(b"itself", code + b"/itself")
os.mkfifo(code + b"/conf/pipe.ini")
with open(code + b"/caf\xe9.py", "wb") as handle:
    handle.write(b"NAME = '\xff'\n")
with open(code + b"/conf/two\nlines.ini", "wb") as handle:
    handle.write(b"[x]\npassword = CANARY-newline-9\n")
os.mkdir(state + b"/many")
for number in range(100000):
    os.close(os.open(state + b"/many/%d" % number, os.O_CREAT | os.O_WRONLY))
with open(state + b"/big.log", "wb") as handle:
    handle.truncate(2 << 30)
for name in (b"caf\xe9", b"two\nlines", b"-rf", b"a" * 255):
    with open(state + b"/" + name, "wb"):
        pass
