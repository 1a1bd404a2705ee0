"""Hold the model of nginx's configuration against nginx itself; what is done on the host is extensions/molecule/nginx_choice/files/host.py.

    prove.py tasks READ.json TASKS.json SEED    from ``host.py read``: copies that tell their places, and requests, also of random configurations
    prove.py compare READ.json TASKS.json ANSWERS.json
"""

from __future__ import annotations

import fnmatch
import json
import posixpath
import re
import sys
from pathlib import Path
from typing import Any

import ask
import generate
import instrument

from ansible_collections.gantry.webstack.plugins.module_utils.discover import _nginx_text
from ansible_collections.gantry.webstack.plugins.plugin_utils import nginx_config

MAIN = "/etc/nginx/nginx.conf"
REQUESTS, RANDOM = 250, 40


def gathered(files: dict[str, str | None]) -> tuple[str, list[str]]:
    """What discover reads of these files without nginx's help."""
    def read(path: str) -> str:
        text = files.get(path)
        if text is None:
            raise FileNotFoundError(2, "No such file or directory", path)
        return text

    def find(pattern: str) -> list[str]:
        names = [pattern] if not re.search(r"[*?\[]", pattern) else sorted(fnmatch.filter(files, pattern))
        return [name for name in names if name in files and name.count("/") == pattern.count("/")
                and (not posixpath.basename(name).startswith(".") or name == pattern)]

    return _nginx_text.gather(MAIN, read, find)


def model(found: dict[str, Any]) -> tuple[nginx_config.Nginx, str]:
    """What discover makes of a host's configuration, and the text that it is made of."""
    text = found["text"] if not found["error"] else gathered(found["files"])[0]
    return nginx_config.parse(_nginx_text.clean(text)), text


def random_hosts(seed: int) -> dict[str, dict[str, Any]]:
    """Configurations as ``host.py read`` would tell of them."""
    texts = {f"random-{seed + number}": generate.Generator(seed + number).text() for number in range(RANDOM)}
    return {name: {"text": f"# configuration file {MAIN}:\n{text}", "error": "", "files": {}} for name, text in texts.items()}


def tasks(read: dict[str, Any], seed: int) -> dict[str, Any]:
    """{name: {files, requests}} for ``host.py ask``; each configuration twice, once as it is and once with try_files at work."""
    done = {}
    for number, (name, found) in enumerate({**read, **random_hosts(seed)}.items()):
        nginx, text = model(found)
        if not nginx.sites or any("is being read already" in problem for problem in nginx.problems):
            continue  # nginx has nothing to answer with, or would read for ever
        asked = ask.requests(nginx, seed + number, REQUESTS)
        done[name] = {"files": instrument.instrumented(text), "requests": asked, "seed": seed}
        if "try_files" in text:
            done[f"{name}+try_files"] = {"files": instrument.instrumented(text, follow=True), "requests": asked, "seed": seed}
    return done


def compare(read: dict[str, Any], wanted: dict[str, Any], answers: dict[str, Any]) -> list[str]:
    """Every difference, in a sentence; what was compared is printed."""
    wrong: list[str] = []
    every = {**read, **random_hosts(next(iter(wanted.values()))["seed"])}
    count = {"accepted": 0, "refused": 0, "random": 0, "requests": 0, "went on": 0}
    for name, found in every.items():
        nginx, text = model(found)
        kind = "random" if name.startswith("random-") else "refused" if found["error"] else "accepted"
        count[kind] += 1
        wrong += [f"{name}: {problem}" for problem in (_reading(nginx, found, text) if kind != "random" else nginx.problems)]
        asked = differing = 0
        told = ask.Model(nginx)
        for key in [key for key in (name, f"{name}+try_files") if key in wanted]:
            if answers[key]["error"]:
                wrong.append(f"{key}: the instrumented copy does not start: {answers[key]['error']}")
            for request, answer in zip(wanted[key]["requests"], answers[key]["answers"]):
                expected, said = told.expected(tuple(request), follow=key != name), ask.told(answer)
                asked += 1
                count["went on"] += key != name and said not in told.expected(tuple(request))
                if said not in expected:
                    differing += 1
                    wrong.append(f"{key}: {request}: nginx {said}, the model {sorted(map(str, expected))}")
        count["requests"] += asked
        if told.unclear:
            wrong.append(f"{name}: {told.unclear} requests met an expression that the model cannot read")
        if kind != "random":
            print(f"{name:32} {kind:9} {len(nginx.sites):3} servers {sum(len(site.locations) for site in nginx.sites):3} locations {asked:4} requests "
                  f"{differing} differ" + (f"  ({_refusal(found['error'])})" if found["error"] else ""))
    print(", ".join(f"{number} {what}" for what, number in count.items()) + f", {len(wrong)} differences")
    return wrong


def _reading(nginx: nginx_config.Nginx, found: dict[str, Any], text: str) -> list[str]:
    """Whether the files that discover would follow are those that nginx reads, and whether all of an accepted configuration is understood."""
    if found["error"]:
        titles = re.search(r"# the model finds: (.*)", str(found["files"].get(MAIN)))
        got = sorted(site.title for site in nginx.sites)
        return [f"the model finds {got}"] if titles and got != sorted(titles[1].split()) else []
    theirs, (own, blind) = _nginx_text.files(text), gathered(found["files"])
    ours = _nginx_text.files(own)
    differing = sorted({*theirs} ^ {*ours}) + [path for path in theirs if path in ours and theirs[path].strip() != ours[path].strip()]
    outside = [path for path in differing if not path.startswith("/etc/nginx/")]
    return [*nginx.problems, *blind, *(f"{path} is read differently" for path in differing if path not in outside)]


def _refusal(error: str) -> str:
    lines = [line.partition("[emerg] ")[2] for line in error.splitlines() if "[emerg]" in line] or error.splitlines()[-1:]
    return re.sub(r"^\d+#\d+: ", "", lines[0])[:90] if lines else ""


def main() -> int:
    command, *paths = sys.argv[1:]
    if command == "tasks":
        Path(paths[1]).write_text(json.dumps(tasks(json.loads(Path(paths[0]).read_text(encoding="utf-8")), int(paths[2]))), encoding="utf-8")
        return 0
    wrong = compare(*(json.loads(Path(path).read_text(encoding="utf-8")) for path in paths))
    print("\n".join(wrong[:60]))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
