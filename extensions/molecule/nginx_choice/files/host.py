"""What is done on a test host: nginx configurations are laid out, read by a real nginx, and asked. Python 3.9, standard library.

    host.py build DIR          lay out every configuration of DIR/corpus.json and DIR/corpus below DIR/hosts, with what packages bring
    host.py read DIR           writes read.json, {name: {text, error, files}}: what nginx -T says of each, and the files themselves
    host.py ask DIR            writes answers.json, {name: {answers, error}}, from tasks.json, {name: {files, requests}}: nginx is started and asked

Each nginx has a mount and a network namespace of its own: /etc/nginx is the configuration's own, every port is free, and nothing reaches out.
"""

from __future__ import annotations

import ctypes
import fcntl
import glob
import gzip
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from typing import Any, Dict, List, Optional, Tuple

ETC, MODULES = "/etc/nginx", "/usr/lib/nginx/modules"
PROGRAMS = ("nginx-core", "nginx")
"""Packages that bring the program: the former on Debian 11, the latter since Debian 12."""


# -- laying out

def package(directory: str, name: str) -> str:
    """Where a package lies unpacked; empty when this Debian does not have it."""
    place = os.path.join(directory, "packages", name)
    if not os.path.isdir(place):
        os.makedirs(place)
        done = subprocess.run(["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", name], cwd=place, capture_output=True, check=False)
        for deb in glob.glob(os.path.join(place, "*.deb")):
            subprocess.run(["dpkg-deb", "-x", deb, place], check=True)
        if done.returncode or not os.listdir(place):
            shutil.rmtree(place)
            return ""
    return place


def text_of(path: str) -> Optional[str]:
    """A file's text, compressed or not."""
    for name in (path, path + ".gz"):
        if os.path.isfile(name):
            with open(name, "rb") as handle:
                data = handle.read()
            return (data if name == path else gzip.decompress(data)).decode("utf-8", "replace")
    return None


def write(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as handle:
        handle.write(text)


def unescape(path: str) -> None:
    """Bytes that no source file of ours may have stand in the corpus as ``@0d@``."""
    with open(path, "rb") as handle:
        data = handle.read()
    meant = re.sub(rb"@([0-9a-f]{2})@", lambda match: bytes.fromhex(match.group(1).decode("ascii")), data)
    if meant != data:
        with open(path, "wb") as handle:
            handle.write(meant)


def build(directory: str) -> None:
    """Debian's own configuration with, for each name, what a package or the corpus adds to it."""
    with open(os.path.join(directory, "corpus.json"), encoding="utf-8") as handle:
        wanted: List[Dict[str, str]] = json.load(handle)
    common = package(directory, "nginx-common")
    for name in (*PROGRAMS, "libnginx-mod-stream"):
        package(directory, name)
    for item in wanted:
        place = package(directory, item["package"])
        text = text_of(os.path.join(place, item["path"])) if place else None
        if text is None:
            continue
        host = start(directory, common, item["name"])
        statements = re.sub(r"#[^\n]*", "", text)
        if "default_server" in statements:
            os.unlink(host + "/sites-enabled/default")
        if re.search(r"^\s*http\s*\{", statements, re.MULTILINE):
            write(host + "/nginx.conf", text)
        elif re.search(r"\bserver\s*\{", statements):
            write(host + "/sites-enabled/example", text)
        else:
            write(host + "/snippets/example.conf", text)
            write(host + "/sites-enabled/example", "server {\n    listen 80;\n    server_name example.test;\n    include snippets/example.conf;\n}\n")
    for source in sorted(glob.glob(os.path.join(directory, "corpus", "*"))):
        host = start(directory, common, os.path.basename(source))
        os.unlink(host + "/sites-enabled/default")
        for path, _directories, names in os.walk(source):
            for name in names:
                relative = os.path.relpath(os.path.join(path, name), source)
                os.makedirs(os.path.dirname(os.path.join(host, relative)), exist_ok=True)
                shutil.copy2(os.path.join(path, name), os.path.join(host, relative))
                unescape(os.path.join(host, relative))
        main = readable(host + "/nginx.conf") or ""
        write(host + "/nginx.conf", main.replace("load_module modules/", "load_module %s%s/" % (package(directory, "libnginx-mod-stream"), MODULES)))
        for line in (readable(os.path.join(source, "links")) or "").splitlines():
            os.symlink(line.split(" ", 1)[1], os.path.join(host, line.split(" ", 1)[0]))
    start(directory, common, "debian")


def start(directory: str, common: str, name: str) -> str:
    """Debian's configuration, as its package enables it."""
    host = os.path.join(directory, "hosts", name)
    shutil.rmtree(host, ignore_errors=True)
    shutil.copytree(common + ETC, host, symlinks=True)
    for folder in ("sites-enabled", "conf.d", "modules-enabled"):
        os.makedirs(os.path.join(host, folder), exist_ok=True)
    if not os.path.lexists(host + "/sites-enabled/default"):
        os.symlink(ETC + "/sites-available/default", host + "/sites-enabled/default")
    return host


# -- inside the namespaces

def run(directory: str, task: Dict[str, Any]) -> Dict[str, Any]:
    """Do one task in namespaces of its own."""
    done = subprocess.run(["unshare", "-m", "-n", "--", sys.executable, __file__, "inside", directory], input=json.dumps(task).encode(), capture_output=True,
                          check=False)
    if done.returncode:
        return {"error": done.stderr.decode("utf-8", "replace")[-2000:], "answers": [], "text": "", "files": {}}
    found: Dict[str, Any] = json.loads(done.stdout)
    return found


def inside(directory: str, task: Dict[str, Any]) -> Dict[str, Any]:
    mount(task["etc"], ETC)
    for path in ("/run", "/var/log/nginx", "/var/lib/nginx"):
        if os.path.isdir(path):
            mount(None, path)
    loopback()
    nginx = program(directory)
    if "requests" not in task:
        done = subprocess.run([*nginx, "-T"], capture_output=True, check=False)
        files = {}
        for path, _directories, names in os.walk(ETC):
            files.update({os.path.join(path, name): readable(os.path.join(path, name)) for name in names})
        refusal = done.stderr.decode("utf-8", "replace") or "nginx ended with %d" % done.returncode
        return {"text": done.stdout.decode("utf-8", "replace"), "error": refusal if done.returncode else "", "files": files}
    os.makedirs("/run/empty")
    master = subprocess.Popen([*nginx, "-g", "daemon off;"], stderr=subprocess.PIPE)
    try:
        for _attempt in range(100):
            if os.path.exists("/run/nginx-corpus.pid") or master.poll() is not None:
                break
            time.sleep(0.05)
        time.sleep(0.1)
        if master.poll() is not None:
            said = (master.stderr.read() if master.stderr else b"").decode("utf-8", "replace")
            return {"error": said or "nginx ended with %d" % master.returncode, "answers": []}
        return {"error": "", "answers": [ask(*request) for request in task["requests"]]}
    finally:
        if master.poll() is None:
            master.send_signal(signal.SIGTERM)
            master.wait(10)


def readable(path: str) -> Optional[str]:
    try:
        with open(path, encoding="utf-8", errors="replace", newline="") as handle:
            return handle.read()
    except OSError:
        return None


def program(directory: str) -> List[str]:
    """Debian's nginx as its package has it, where it runs here; else the host's."""
    for name in PROGRAMS:
        place = package(directory, name) + "/usr/sbin/nginx"
        if os.path.isfile(place) and subprocess.run([place, "-v"], capture_output=True, check=False).returncode == 0:
            return [place]
    return ["nginx"]


def mount(source: Optional[str], target: str) -> None:
    """Bind a directory, or put an empty file system, over another one; in this namespace only."""
    libc = ctypes.CDLL(None, use_errno=True)
    private, recursive, bind = 1 << 18, 16384, 4096
    libc.mount(b"none", b"/", None, private | recursive, None)
    what = (source.encode(), target.encode(), None, bind, None) if source else (b"tmpfs", target.encode(), b"tmpfs", 0, None)
    if libc.mount(*what):
        raise OSError(ctypes.get_errno(), "mount %s" % target)


def loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, 0x8914, struct.pack("16sh", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS: IFF_UP, IFF_RUNNING


def ask(address: str, port: int, host: Optional[str], path: str) -> Optional[Tuple[int, str]]:
    """(status, X-Place) of a request; None when nobody listens there. Without a Host header where ``host`` is None."""
    try:
        sock = socket.create_connection((address, port), 5)
    except OSError:
        return None
    head = "GET %s HTTP/1.0\r\n\r\n" % path if host is None else "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % (path, host)
    with sock:
        sock.sendall(head.encode("utf-8", "surrogateescape"))
        data = b""
        while b"\r\n\r\n" not in data:
            try:
                part = sock.recv(65536)
            except OSError as exc:
                return 0, str(exc)
            if not part:
                break
            data += part
    lines = data.split(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    status = int((lines[0].split(" ") + ["0", "0"])[1] or 0)
    return status, next((line[9:] for line in lines if line.lower().startswith("x-place: ")), "")


def main() -> None:
    command, directory = sys.argv[1:3]
    if command == "build":
        build(directory)
        return
    if command == "inside":
        json.dump(inside(directory, json.load(sys.stdin)), sys.stdout)
        return
    done = read(directory) if command == "read" else answers(directory)
    write(os.path.join(directory, "read.json" if command == "read" else "answers.json"), json.dumps(done))


def read(directory: str) -> Dict[str, Any]:
    hosts = os.path.join(directory, "hosts")
    return {name: run(directory, {"etc": os.path.join(hosts, name)}) for name in sorted(os.listdir(hosts))}


def answers(directory: str) -> Dict[str, Any]:
    with open(os.path.join(directory, "tasks.json"), encoding="utf-8") as handle:
        tasks = json.load(handle)
    found = {}
    for name, task in tasks.items():
        etc = os.path.join(directory, "copies", name)
        shutil.rmtree(etc, ignore_errors=True)
        for path, text in task["files"].items():
            write(os.path.join(etc, os.path.relpath(path, ETC)), text)
        found[name] = run(directory, {"etc": etc, "requests": task["requests"]})
    return found


if __name__ == "__main__":
    main()
