# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hold the reader of uWSGI's configurations against what the host's uWSGI itself says of the same files (--show-config)."""

from __future__ import annotations

import contextlib
import glob
import os
import random
import re
import select
import signal
import socket
import subprocess
import time
from typing import Any, Dict, List, Optional

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gantry.webstack.plugins.module_utils.discover import _evidence_host, _uwsgi_config

HEAD, TAIL = ";uWSGI instance configuration", b";end of configuration"
ASKED = ["--show-config", "--no-server", "--logto", "/dev/stdout"]
ENVIRON = {"PATH": "/usr/bin:/bin", "HOME": "/root", "TOP": "/srv/top", "INDIRECT": "%(project)"}


def says(program: str, argv: List[str], cwd: str) -> Optional[List[str]]:
    """uWSGI's own lines; None when it refuses the configuration or does not come to an end. It prints them before it does anything else, and is ended then.

    They go to its log, so the log is told to be here, and the log's own prefix is taken away.
    """
    with subprocess.Popen([program, *argv, *ASKED], cwd=cwd, env=ENVIRON, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          start_new_session=True) as process:
        assert process.stdout is not None
        text, end = b"", time.monotonic() + 2
        while TAIL not in text and time.monotonic() < end:
            if select.select([process.stdout], [], [], 0.2)[0]:
                part = os.read(process.stdout.fileno(), 65536)
                if not part:
                    break
                text += part
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    lines = text.decode("utf-8", "surrogateescape").split("\n")
    head = next((index for index, line in enumerate(lines) if line.endswith(HEAD)), None)
    tail = next((index for index, line in enumerate(lines) if line.endswith(TAIL.decode())), None)
    if head is None or tail is None:
        return None
    prefix = len(lines[tail]) - len(TAIL)
    return own([line[prefix:] for line in lines[head + 2:tail]])


def own(printed: List[str]) -> List[str]:
    """Without what was asked for, and an XML file's name, which uWSGI spoils when it carries an id."""
    asked = ("show-config = true", "no-server = true", "logto = /dev/stdout")
    return [line for line in printed if line and line not in asked and not line.startswith("xml = ")]


def reads(program: str, argv: List[str], cwd: str, libyaml: bool, version: str) -> _uwsgi_config.Config:
    """Our reading of the same."""
    magic = {"b": os.path.realpath(program), "k": str(os.sysconf("SC_NPROCESSORS_ONLN")), "V": version}
    for letters, number, name in (("uU", os.getuid(), _evidence_host.user_name(os.getuid())), ("gG", os.getgid(), _evidence_host.group_name(os.getgid()))):
        magic.update({letters[0]: str(number), letters[1]: name})
    host = _uwsgi_config.Host(hostname=socket.gethostname(), realpath=os.path.realpath, is_link=os.path.islink, glob=lambda pattern: sorted(glob.glob(pattern)),
                              inode=lambda path: os.lstat(path).st_ino, libyaml=libyaml, magic=magic)
    return _uwsgi_config.effective([program, *argv], cwd, ENVIRON, read, host=host)


def read(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as handle:
        return handle.read()


class Maker:
    """Random configurations: every placeholder, condition, loop and way to another file, from a seed."""

    def __init__(self, seed: int, directory: str) -> None:
        self.pick, self.directory = random.Random(seed), directory
        self.names = ["project", "base", "x-one", "x-two"]

    def value(self, key: str = "") -> str:
        """A value; what others refer to refers to nothing itself, since uWSGI does not come to an end with a circle."""
        kinds = [lambda: self.pick.choice(["shop", "/srv/shop", "4", "a b", "x=y", "true", "", "50%%", "c:d", "'q'", '"q"', "a;b", "a#b"]),
                 lambda: "$(%s)" % self.pick.choice(["HOME", "TOP", "NOPE"]),
                 lambda: "@(%s)" % self.pick.choice(["word.txt", os.path.join(self.directory, "word.txt")]),
                 lambda: "%" + self.pick.choice("nsdpxceovhkuUgGVjib0123NSDPXCEOJ"),
                 lambda: "%%(%s)" % self.pick.choice(self.names + ["nowhere"]),
                 lambda: "%%(%s %s %s)" % (self.pick.choice(["project", "x-one", "7"]), self.pick.choice("+-*/"), self.pick.choice(["x-two", "3"])),
                 lambda: "$(INDIRECT)"]
        return "".join(self.pick.choice(kinds[:4] if key in self.names else kinds)() for _count in range(self.pick.choice([1, 1, 2, 3])))

    def option(self) -> str:
        key = self.pick.choice(self.names + ["env", "socket", "chdir", "processes", "module", "harakiri", "master", "threads", "vacuum", "pythonpath", "mount"])
        form = self.pick.choice(["%s = %s", "%s=%s", "  %s =   %s  ", "%s\t=\t%s"])
        return form % (key, self.value(key)) if self.pick.random() < 0.95 else key

    def block(self) -> List[str]:
        opening = self.pick.choice([
            "for = a b  c", "for-times = %d" % self.pick.randint(0, 3), "for-readline = lines.txt", "for-glob = *.txt", "if-env = HOME", "if-env = HOME=/root",
            "if-env = NOPE", "if-not-env = NOPE", "if-exists = word.txt", "if-not-exists = word.txt", "if-file = word.txt", "if-dir = .", "if-dir = word.txt",
            "if-opt = project", "if-opt = project=shop", "if-not-opt = x-two", "if-hostname = nobody"])
        keys = [self.pick.choice(["env", "x-one", "mount"]) for _count in range(self.pick.randint(1, 2))]
        inner = ["%s = %s" % (key, self.pick.choice(["%(_)", "is-%(_)", self.value(key)])) for key in keys]
        return [opening, *inner, self.pick.choice(["endfor =", "end-for =", "end ="] if opening.startswith("for") else ["endif =", "end-if =", "end ="])]

    def ini(self) -> str:
        lines = ["; made", "[uwsgi]"]
        for _count in range(self.pick.randint(3, 12)):
            roll = self.pick.random()
            if roll < 0.6:
                lines.append(self.option())
            elif roll < 0.85:
                lines += self.block()
            else:
                lines.append(self.pick.choice([
                    "", "# a comment %(x)", "; another", "include = more.ini", "inherit = 0more.ini", "ini = :other", "ini = more.ini:side", "set = x-two=%n",
                    "set-placeholder = ph=%(project)", "include = more.json", "include = more.xml", "inherit = more.yml"]))
        return "\n".join([*lines, "[other]", "x-one = other-%x", self.option(), ""])

    def write(self, count: int) -> List[str]:
        """Files and what they load; the names of the files to start with."""
        others = {"word.txt": "word\n", "lines.txt": "first\nsecond \n\nthird\n", "more.ini": "[uwsgi]\nx-two = more-%n-%x-%N\n[side]\nenv = SIDE=%x\n",
                  "0more.ini": "[uwsgi]\nproject = inherited\nenv = %(x-one)\n",
                  "more.json": '{"uwsgi": {"env": ["A=%n", "B=%(project)"], "master": true, "threads": 3}}',
                  "more.xml": "<uwsgi><env>C=%s</env><master/></uwsgi>", "more.yml": "uwsgi:\n    env: D=%d\n    harakiri: 7\n"}
        for name, text in others.items():
            self.put(name, text)
        for number in range(count):
            self.put("made%d.ini" % number, self.ini())
        return ["made%d.ini" % number for number in range(count)]

    def put(self, name: str, text: str) -> None:
        with open(os.path.join(self.directory, name), "w", encoding="utf-8") as handle:
            handle.write(text)


def main() -> None:
    module = AnsibleModule({"files": {"type": "list", "elements": "str", "default": []}, "directory": {"type": "path"}, "seed": {"type": "int", "default": 1},
                            "count": {"type": "int", "default": 0}, "program": {"type": "path", "default": "/usr/bin/uwsgi-core"}})
    program = module.params["program"]
    cases = [(["--%s" % kind_of(path), path], os.path.dirname(path)) for path in module.params["files"]]
    if module.params["count"]:
        os.makedirs(module.params["directory"], exist_ok=True)
        made = Maker(module.params["seed"], module.params["directory"]).write(module.params["count"])
        cases += [(["--ini", name], module.params["directory"]) for name in made]
    libyaml = "libyaml" in subprocess.run(["ldd", program], stdout=subprocess.PIPE, check=True).stdout.decode()
    version = re.sub(r"\s", "", subprocess.run([program, "--version"], stdout=subprocess.PIPE, check=True).stdout.decode())
    agreed, refused, differing = [], [], []
    for argv, cwd in cases:
        theirs, config = says(program, argv, cwd), reads(program, argv, cwd, libyaml, version)
        timed = tuple("%s = " % option.key for option in config.exported if re.search("%[tT]", option.raw))
        theirs = theirs and [re.sub(r"\d{10,16}", "", line) if line.startswith(timed) else line for line in theirs]  # the time of its start
        mine = own("\n".join("%s = %s" % (option.key, _uwsgi_config.text(option)) for option in config.exported).split("\n"))
        result: Dict[str, Any] = {"argv": argv, "ours": mine, "theirs": theirs, "warnings": config.warnings}
        if theirs is None:
            refused.append(result)
        elif mine == theirs:
            agreed.append(argv[1])
        else:
            differing.append(result)
    module.exit_json(changed=bool(module.params["count"]), agreed=agreed, refused=refused, differing=differing, version=version)


def kind_of(path: str) -> str:
    return next((kind for end, kind in _uwsgi_config.FORMATS.items() if path.endswith(end)), "inherit")


if __name__ == "__main__":
    main()
