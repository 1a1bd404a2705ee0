# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Interpreter trees out of archives, several versions side by side, and the proof that every wanted Python is or will be there."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import posixpath
import re
import shutil
from typing import Any, Dict, List, Mapping, Optional, Sequence

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import CommandError, WebstackError, WebstackModule, host_lock, run
from ansible_collections.gantry.webstack.plugins.module_utils.install import _archive, _interpreters, _relocate

ROOT = "/opt/webstack/python"
_SEARCHED = ("/srv", "/opt", "/home", "/var/www", "/var/lib", "/usr/local", "/root")
_DEPTH = 5
_PROOF = ("import platform, sqlite3, ssl, venv\n"
          "try:\n    import ensurepip\nexcept ModuleNotFoundError:\n    pass\n"
          "print(platform.python_version())")


def complete(trees: Sequence[Mapping[str, Any]]) -> List[Dict[str, Any]]:
    """Trees with their prefixes. Pure. Raises WebstackError for what cannot be meant."""
    found: Dict[str, Dict[str, Any]] = {}
    for tree in trees:
        version = tree["version"]
        if not re.match(r"^3\.\d+\.\d+[A-Za-z0-9.+]*$", version):
            raise WebstackError("python_trees: version %r is not a whole one such as 3.12.4" % version)
        if not re.match(r"^[0-9a-f]{64}$", tree["sha256"].lower()):
            raise WebstackError("python_trees[%s].sha256: %r is not 64 hexadecimal digits" % (version, tree["sha256"]))
        prefix = posixpath.normpath(tree.get("prefix") or posixpath.join(ROOT, version))
        if not prefix.startswith("/") or prefix.count("/") < 2:
            raise WebstackError("python_trees[%s].prefix: %r is not a directory of its own" % (version, prefix))
        for other in found:
            if (other + "/").startswith(prefix + "/") or (prefix + "/").startswith(other + "/"):
                raise WebstackError("python_trees: %s and %s are in each other's way (%s, %s)" % (found[other]["version"], version, other, prefix))
        found[prefix] = {**tree, "prefix": prefix, "sha256": tree["sha256"].lower()}
    return list(found.values())


def is_right(tree: Mapping[str, Any], stamp: Optional[Mapping[str, Any]], version: Optional[str]) -> bool:
    """Whether a tree is the wanted archive's, and runs. Pure."""
    return stamp is not None and version == tree["version"] and (stamp.get("sha256"), stamp.get("strip")) == (tree["sha256"], tree.get("strip"))


def python_of(prefix: str, version: str) -> str:
    """A tree's interpreter. Pure."""
    return os.path.join(prefix, "bin", "python" + ".".join(version.split(".")[:2]))


def users_of(prefix: str) -> List[str]:
    """What runs from a tree or is made of it: virtual environments below the directories where services are, and processes."""
    found = {"the virtual environment " + venv for venv in _venvs() if _made_of(venv, prefix)}
    for link in glob.glob("/proc/[0-9]*/exe"):
        with contextlib.suppress(OSError):
            if os.readlink(link).startswith(prefix + "/"):
                found.add("process " + link.split("/")[2])
    return sorted(found)


def _venvs() -> List[str]:
    found = []
    for top in _SEARCHED:
        for directory, names, files in os.walk(top):
            if "pyvenv.cfg" in files:
                found.append(directory)
            if "pyvenv.cfg" in files or directory.count("/") - top.count("/") >= _DEPTH:
                del names[:]
    return found


def _made_of(venv: str, prefix: str) -> bool:
    with contextlib.suppress(OSError), open(os.path.join(venv, "pyvenv.cfg"), encoding="utf-8", errors="replace") as handle:
        if re.search(r"(?m)^(home|executable|base-prefix) *= *%s(/|$)" % re.escape(prefix), handle.read()):
            return True
    return os.path.realpath(os.path.join(venv, "bin", "python")).startswith(prefix + "/")


_TREE = {
    "version": {"type": "str", "required": True},
    "archive": {"type": "str"},
    "url": {"type": "str"},
    "sha256": {"type": "str", "required": True},
    "prefix": {"type": "path"},
    "strip": {"type": "int"},
}
_WANTED = {
    "name": {"type": "str", "required": True},
    "version": {"type": "str"},
    "interpreter": {"type": "path"},
    "origin": {"type": "str", "choices": ["package", "tree"]},
}
_PACK = {"sha256": {"type": "str", "required": True}, "path": {"type": "path", "required": True}}
_ONE_SOURCE = {"mutually_exclusive": [("archive", "url")], "required_one_of": [("archive", "url")]}
SPEC = {
    "trees": {"type": "list", "elements": "dict", "default": [], "options": _TREE, **_ONE_SOURCE},
    "wanted": {"type": "list", "elements": "dict", "default": [], "options": _WANTED},
    "packages": {"type": "list", "elements": "str", "default": []},
    "packs": {"type": "list", "elements": "dict", "default": [], "options": _PACK},
}
"""argument_spec of the module python_trees."""


class PythonTrees(WebstackModule):
    """The module's behaviour; see the documentation of python_trees."""

    def run(self) -> None:
        trees = complete(self.params["trees"])
        stamps = _interpreters.registered()
        there = _interpreters.find(entry.get("interpreter") for entry in self.params["wanted"])
        gone = [prefix for prefix in _interpreters.prefixes() if prefix not in {tree["prefix"] for tree in trees}]
        kept = {prefix: users_of(prefix) for prefix in gone}
        self._check_wanted(trees, {path: found for path, found in there.items() if not _goes(path, trees, kept)})
        todo = [tree for tree in trees if not is_right(tree, stamps.get(tree["prefix"]), self._version(tree, there))]
        for tree in todo:
            self._check_place(tree, stamps)
        self.result.update(unpacked=[tree["prefix"] for tree in todo], removed=[prefix for prefix in gone if not kept[prefix]],
                           kept=[prefix for prefix in gone if kept[prefix]])
        self.changed = bool(todo or self.result["removed"])
        packs = dict(zip([pack["sha256"] for pack in self.params["packs"]], [pack["path"] for pack in self.params["packs"]]))
        needed = sorted({tree["sha256"] for tree in todo} - set(packs))
        if needed and not self.check_mode:
            self.result["archives_needed"] = needed
            return
        with contextlib.nullcontext() if self.check_mode or not self.changed else host_lock():
            for tree in todo:
                if not self.check_mode:
                    self._put(tree, packs[tree["sha256"]], tree["prefix"] in stamps)
                self.add_diff("interpreter tree " + tree["prefix"], _told(stamps.get(tree["prefix"])), _told(tree))
            self._remove(kept, stamps)

    @staticmethod
    def _version(tree: Mapping[str, Any], there: Mapping[str, _interpreters.Found]) -> Optional[str]:
        found = there.get(python_of(tree["prefix"], tree["version"]))
        return found.version if found else None

    def _check_wanted(self, trees: Sequence[Mapping[str, Any]], there: Mapping[str, _interpreters.Found]) -> None:
        """Refuse a Python that neither is there nor comes with a tree or a package, before anything is touched."""
        coming = {**there, **_interpreters.to_come(trees)}
        offered: Optional[Dict[str, str]] = None
        for entry in self.params["wanted"]:
            wish = _interpreters.wish(entry)
            try:
                _interpreters.choose(wish, coming, {})
            except WebstackError:
                if offered is None:
                    offered = _interpreters.offered_packages()
                    names = {name.strip() for item in self.params["packages"] for name in item.rstrip("? ").split("|")}
                    coming.update({"/usr/bin/" + name: _interpreters.Found(version, _interpreters.PACKAGE)
                                   for name, version in offered.items() if name in names and "/usr/bin/" + name not in coming})
                _interpreters.choose(wish, coming, offered)

    @staticmethod
    def _check_place(tree: Mapping[str, Any], stamps: Mapping[str, Any]) -> None:
        prefix = tree["prefix"]
        if prefix not in stamps and os.path.lexists(prefix) and (not os.path.isdir(prefix) or os.listdir(prefix)):
            raise WebstackError("python_trees[%s]: %s is there and is no interpreter tree of this collection; give another prefix, or move it away"
                                % (tree["version"], prefix))

    def _put(self, tree: Mapping[str, Any], pack: str, replaces: bool) -> None:
        """Unpack beside the prefix, prove that it runs, move it into place."""
        prefix, staged = tree["prefix"], tree["prefix"] + ".webstack-new"
        _journal.private_dir(_paths.STATE_DIR)
        self._register(sorted({*_interpreters.prefixes(), prefix}))
        try:
            shutil.rmtree(staged, ignore_errors=True)
            os.makedirs(staged, mode=0o755)
            if digest_of(pack) != tree["sha256"]:
                raise WebstackError("its sha256 is %s, not %s" % (digest_of(pack), tree["sha256"]))
            _archive.unpack(pack, staged)
            minor = ".".join(tree["version"].split(".")[:2])
            root = _archive.find_root(staged, minor, tree.get("strip"))
            if root is None:
                raise WebstackError("it has no bin/python%s at its top or up to two directories below" % minor if tree.get("strip") is None
                                    else "it has no bin/python%s below %d directories" % (minor, tree["strip"]))
            stamp = {"version": tree["version"], "sha256": tree["sha256"], "strip": tree.get("strip")}
            _journal.replace_file(_paths.tree_stamp(root), json.dumps(stamp, sort_keys=True) + "\n", 0o644)
            self._prove(root, prefix, tree["version"], replaces)
        except (WebstackError, OSError) as exc:
            details = exc.details if isinstance(exc, WebstackError) else {}
            raise WebstackError("python_trees[%s]: the archive %s cannot be taken: %s; what was there is as it was"
                                % (tree["version"], tree.get("archive") or tree.get("url"), exc), **details) from exc
        finally:
            shutil.rmtree(staged, ignore_errors=True)
            if not os.path.exists(_paths.tree_stamp(prefix)):
                self._register([known for known in _interpreters.prefixes() if known != prefix])

    def _prove(self, root: str, prefix: str, version: str, replaces: bool) -> None:
        """Run it before it replaces anything; one that only runs at its prefix is proven there when nothing else is there."""
        try:
            prove(root, version)
            _relocate.put(root, prefix)
        except CommandError as exc:
            if replaces:
                raise WebstackError("it does not run anywhere but at its prefix (%s), so that it cannot be proven beside what is there; "
                                    "give it a prefix of its own" % exc, **exc.details) from exc
            if os.path.isdir(prefix):
                os.rmdir(prefix)
            os.rename(root, prefix)
            try:
                prove(prefix, version)
            except WebstackError:
                shutil.rmtree(prefix)
                raise

    def _remove(self, kept: Mapping[str, Sequence[str]], stamps: Mapping[str, Any]) -> None:
        for prefix, users in kept.items():
            if users:
                self.module.warn("the interpreter tree %s is no longer listed and stays, for it is used by %s%s"
                                 % (prefix, ", ".join(users[:5]), " and %d more" % (len(users) - 5) if len(users) > 5 else ""))
                continue
            if not self.check_mode:
                shutil.rmtree(prefix, ignore_errors=True)
                self._register([known for known in _interpreters.prefixes() if known != prefix])
            self.add_diff("interpreter tree " + prefix, _told(stamps.get(prefix)) or "incomplete\n", "")

    @staticmethod
    def _register(prefixes: Sequence[str]) -> None:
        """Note where trees are before there is anything, so that what a killed run leaves is known."""
        if list(prefixes) != _interpreters.prefixes():
            _journal.replace_file(_paths.TREES, json.dumps({"prefixes": list(prefixes)}) + "\n", 0o644)


def prove(root: str, version: str) -> None:
    """Run a tree's interpreter. Raises WebstackError when it is another version, CommandError when it does not run or lacks a module."""
    told = run([python_of(root, version), "-I", "-B", "-c", _PROOF], cwd="/").stdout.strip()
    if told != version:
        raise WebstackError("its interpreter is Python %s, not %s" % (told, version))


def digest_of(path: str) -> str:
    """The SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        for block in iter(lambda: handle.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _goes(path: str, trees: Sequence[Mapping[str, Any]], kept: Mapping[str, Sequence[str]]) -> bool:
    """Whether an interpreter is in a tree that is replaced or removed. Pure."""
    going = [tree["prefix"] for tree in trees] + [prefix for prefix, users in kept.items() if not users]
    return any(path.startswith(prefix + "/") for prefix in going)


def _told(tree: Optional[Mapping[str, Any]]) -> str:
    return "" if tree is None else "Python %s, sha256 %s\n" % (tree["version"], tree["sha256"])
