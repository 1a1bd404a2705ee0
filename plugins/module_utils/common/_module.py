# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The shell around every module: one error family, one result, one way to run a command."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import subprocess
import time
import traceback
from abc import ABC, abstractmethod
from typing import Any, Dict, Iterator, List, Mapping, NoReturn, Optional, Sequence

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.parameters import remove_values

from ansible_collections.gantry.webstack.plugins.module_utils.common._paths import LOCK_FILE


class WebstackError(Exception):
    """Anything a user can act on: one clear sentence, and details for the module's result."""

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.details = details


class CommandError(WebstackError):
    """A command ended with a code other than zero, or could not be started."""


def run(argv: Sequence[str], stdin: Optional[str] = None, env: Optional[Mapping[str, str]] = None,
        cwd: Optional[str] = None, check: bool = True) -> "subprocess.CompletedProcess[str]":
    """Run a command (an argument list, never a shell string) under LC_ALL=C and return what it printed.

    Raises CommandError with cmd, rc, stdout and stderr when it fails and ``check`` is true.
    """
    full_env = dict(os.environ, LC_ALL="C", **(env or {}))
    try:
        done = subprocess.run(list(argv), input=stdin, env=full_env, cwd=cwd, stdin=subprocess.DEVNULL if stdin is None else None,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", errors="replace", check=False)
    except OSError as exc:
        raise CommandError("%s could not be started: %s" % (argv[0], exc.strerror), cmd=list(argv)) from exc
    if check and done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        raise CommandError("%s failed (rc %d): %s" % (" ".join(argv[:3]), done.returncode, last),
                           cmd=list(argv), rc=done.returncode, stdout=done.stdout, stderr=done.stderr)
    return done


def yield_cpu() -> None:
    """Let the host's services go first: what reads much or asks often runs at a lower priority (nice(2))."""
    with contextlib.suppress(OSError):
        os.nice(10)


LOCK_SECONDS = 180
"""How long a module waits for another one on its host: the rest of a run whose control node was killed ends by itself."""


@contextlib.contextmanager
def host_lock(path: str = LOCK_FILE, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Hold the host's lock: two runs never change one host at the same time. Raises WebstackError when it is not free in time."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + seconds
        while not _locked(fd):
            if time.monotonic() > deadline:
                raise WebstackError("another gantry.webstack run is at work on this host (%s has been locked for %d s); "
                                    "wait for it to end and run again" % (path, seconds))
            time.sleep(0.2)
        yield
    finally:
        os.close(fd)


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        if exc.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        return False
    return True


class WebstackModule(ABC):
    """Base of our modules: subclasses fill ``changed``, ``diffs`` and ``result`` in ``run`` and raise WebstackError."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.params: Dict[str, Any] = module.params
        self.check_mode: bool = module.check_mode
        self.changed = False
        self.settled = True  # in check mode: a real run would write nothing at all, not even notes of its own, which are no change to tell
        self.own_words = False  # the result holds names and paths of ours alone, and no text that others wrote
        self.diffs: List[Dict[str, str]] = []
        self.result: Dict[str, Any] = {}

    @abstractmethod
    def run(self) -> None:
        """Compute the desired state, compare, act unless ``check_mode``."""

    def add_diff(self, header: str, before: str, after: str) -> None:
        """Note one change for ``--diff``; text must be free of secrets. Sets ``changed`` when the texts differ."""
        if before != after:
            self.changed = True
            self.diffs.append({"before_header": header, "after_header": header, "before": before, "after": after})

    def execute(self) -> NoReturn:
        """Run, and leave by exit_json or fail_json."""
        try:
            self.run()
        except WebstackError as exc:
            self.module.fail_json(msg=str(exc), **{**self.result, **exc.details})
        except OSError as exc:  # a full or read-only disk, a file that went away
            what = " ".join(str(name) for name in (exc.filename, exc.filename2) if name) or "the host"
            self.module.fail_json(msg="%s: %s" % (what, exc.strerror or exc), exception=traceback.format_exc(), **self.result)
        if self.own_words:
            # Ansible masks the values of secrets wherever they stand, also in a path that has the same word in it, and the next task would use that path.
            self.result["invocation"] = {"module_args": remove_values(self.module.params, self.module.no_log_values)}
            self.module.no_log_values = set()
        self.module.exit_json(changed=self.changed, diff=self.diffs, **self.result)
        raise AssertionError("exit_json returned")
