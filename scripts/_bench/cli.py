"""Bare hosts and the control node's environment by hand.

    eval "$(./scripts/bench env)"          the venv with Ansible, Molecule and the rest on PATH, DOCKER_HOST
    ./scripts/bench image SUITE...         make the images of bare hosts
    ./scripts/bench host NAME SUITE        start a bare host and print its address
    ./scripts/bench rm NAME...             remove bare hosts
    ./scripts/bench install [--quick]      measure what an install costs; --help tells the rest
    ./scripts/bench discover [--quick]     measure what discover costs; --help tells the rest
    ./scripts/bench convert [--quick]      measure what a move and a container cost; --help tells the rest
    ./scripts/bench stop                   stop the engine in .cache/engine, if the scripts started one
"""

from __future__ import annotations

import os
import shlex
import sys

from . import control, convert_bench, discover_bench, engine, guarded, hosts, images, install_bench, setup_lock


def main() -> int:
    command, *words = sys.argv[1:] or ["help"]
    if command == "env":
        # Only the exports go to stdout, for eval.
        stdout, sys.stdout = sys.stdout, sys.stderr
        with setup_lock():
            control.setup()
            engine.setup()
        for name in [*control.environment(), "DOCKER_HOST", "WEBSTACK_CAP_DROP"]:
            if name in os.environ:
                print(f"export {name}={shlex.quote(os.environ[name])}", file=stdout)
    elif command == "image" and words:
        with setup_lock():
            engine.setup()
            for suite in words:
                print(images.ensure(suite))
    elif command == "host" and len(words) == 2:
        with setup_lock():
            engine.setup()
            hosts.start(words[0], words[1])
        print(hosts.address(words[0]))
    elif command == "rm" and words:
        engine.setup()
        for name in words:
            hosts.remove(name)
    elif command == "install":
        return install_bench.main(words)
    elif command == "discover":
        return discover_bench.main(words)
    elif command == "convert":
        return convert_bench.main(words)
    elif command == "stop":
        engine.stop()
    else:
        print((__doc__ or "").strip())
        return 0 if command in ("help", "--help", "-h") else 2
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
