# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From a few roots to everything they need: a fixpoint over ELF NEEDED, symlinks and the owning packages. Reads through Fs only."""

from __future__ import annotations

import os
import re
from typing import Callable, Dict, List, Optional, Sequence, Set, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.image import _elf
from ansible_collections.gantry.webstack.plugins.module_utils.image._dpkg import Dpkg
from ansible_collections.gantry.webstack.plugins.module_utils.image._hostfs import Fs, Resolved, Stat
from ansible_collections.gantry.webstack.plugins.module_utils.image._ldso import CACHE_FILE, Linker, parse_cache

DENIED = re.compile(r"(lib)?apt(-.*)?|libapt-pkg.*|aptitude.*|dpkg(-.*)?|libdpkg-perl|debconf.*|python3-(apt|pip|debian|software-properties).*|"
                    r"python-pip-whl|python3-(pip|setuptools)-whl|pipx|gnupg.*|snapd|flatpak|synaptic|unattended-upgrades")
"""Packages that manage packages: never in an image."""

MACHINERY = frozenset((
    "adduser", "base-passwd", "cron", "dbus", "init-system-helpers", "install-info", "libpam-runtime", "lsb-base", "man-db", "passwd", "sensible-utils",
    "systemd", "systemd-sysv", "sysvinit-utils", "ucf", "udev"))
"""What packages depend on for their maintainer scripts and boot only."""

_NOT_RUNTIME = re.compile(r"""
    /usr/share/doc/(?![^/]+(/copyright)?$) | /usr/share/(man|info|lintian|bash-completion|zsh|fish|menu|apport|bug|doc-base|gdb|aclocal|applications|
        initramfs-tools|locale|pkgconfig|polkit-1|python-wheels|debconf|dpkg|metainfo|groff|gtk-doc|help|icons|pixmaps|python3|binfmts|debianutils|gcc)/ |
    /usr/include/ | /usr/lib/(systemd|sysusers\.d|tmpfiles\.d|udev|debug|dpkg|apt|pkgconfig|modules-load\.d|sysctl\.d|binfmt\.d)/ |
    /usr/(sbin/(iconvconfig|zic|update-ca-certificates)|bin/(localedef|py3(clean|compile|versions)))$ |
    /usr/lib/[^/]+/(pkgconfig|cmake)/ | /usr/lib/(systemd|udev)/ | /lib/(systemd|udev)/ |
    /etc/(apt|dpkg|init\.d|init|cron\..*|cron\.d|logrotate\.d|bash_completion\.d|rc.\.d|systemd|pam\.d|default|kernel|apparmor\.d|ufw|sysctl\.d)/ |
    /var/ | /boot/ | /usr/lib/[^/]+/[^/]+\.(a|la|o)$ | /usr/lib/python3/dist-packages/.*\.egg-link$
""", re.X)

_PROGRAM_DIRS = ("/usr/bin/", "/usr/sbin/", "/bin/", "/sbin/", "/usr/games/")
_SHARED_OBJECT = re.compile(r"\.so(\.|$)")
_PYTHON_PACKAGE = re.compile(r"(?:lib)?python(3\.\d+)(?:t64)?(?:-minimal|-stdlib)?(?::.*)?")
_NOT_STDLIB = re.compile(r"-(venv|dev|dbg|doc|examples|testsuite|tk|full|nopie)$|^idle|^python3-tk")
_LOADER_DIR = "/usr/lib/uwsgi/plugins/"
_UNUSED = re.compile(
    r"/libicu(i18n|io|test|tu)\.so|/lib(mvec|expatw)\.so|/usr/share/zoneinfo/right/|"
    r"/usr/lib/python3\.\d+/(pydoc_data/topics\.py$|test/|turtle\.py$|turtledemo/|idlelib/|lib2to3/|(_pydecimal|_pyio|_(osx|aix)_support)\.py$|"
    r"asyncio/(__pycache__/)?windows_|multiprocessing/(__pycache__/)?popen_spawn_win32\.|distutils/(_?msvc|bcpp|cygwin)\w*compiler\.py$)|"
    r"/lib-dynload/(_test|_ctypes_test|_xxtest|xx|nis\.|_dbm\.|readline\.|_curses(_panel)?\.)")
"""Large parts of packages that no service reaches by name: libraries beside the one NEEDED (ICU's, glibc's for vectors, expat's for UTF-16), time zones
with leap seconds, the text of Python's help(), Python's tests and drawings, the translator from Python 2, decimal numbers and files for a Python that was
built without them, what only other systems use, the module for NIS domains, which alone brings Kerberos and RPC, and those for Berkeley DB and terminals,
which services that name them get (``Harvest.extra``). What an ELF file needs comes all the same."""

_RARE = re.compile(
    r"/usr/lib/python3\.\d+/((distutils|unittest|curses|ensurepip|venv|tkinter|xmlrpc|wsgiref|pydoc_data)/|"
    r"encodings/(?!__init__|aliases|ascii|latin_1|utf_|idna|punycode|cp1252|cp437|iso8859_1\.|iso8859_15|unicode_escape|raw_unicode)|"
    r"(aifc|asynchat|asyncore|bdb|cgi|cgitb|chunk|cmd|code|codeop|compileall|cProfile|doctest|fileinput|ftplib|"
    r"imaplib|imghdr|mailbox|mailcap|modulefinder|nntplib|pdb|pickletools|pipes|poplib|profile|pstats|pyclbr|pydoc|sched|smtpd|sndhdr|sunau|symtable|"
    r"tabnanny|telnetlib|this|timeit|trace|uu|wave|webbrowser|xdrlib|zipapp)\.py)")
"""Modules of the standard library that go without byte code: for developers, old protocols, other systems. They work, and load later."""

_GCONV = re.compile(r"/gconv/[^/]+\.so$")


def is_runtime(path: str) -> bool:
    """Whether a package's file is of use to a running program; documents (but the copyright), catalogs and other programs' hooks are not."""
    return not _NOT_RUNTIME.match(path)


def is_program(path: str, found: Stat) -> bool:
    """Whether a file may be ELF, without opening it."""
    return found.kind == "file" and (bool(found.mode & 0o111) or bool(_SHARED_OBJECT.search(os.path.basename(path))))


class Host:
    """What is read of one host once: the file system, dpkg's database, ELF files, the linker's cache."""

    def __init__(self, fs: Fs, dpkg: Optional[Dpkg] = None, elf: Optional[Callable[[str], Optional[_elf.Elf]]] = None) -> None:
        self.fs = fs
        self.dpkg = dpkg if dpkg is not None else Dpkg.load(fs)
        self._parse = elf or self._read_elf
        self._elves: Dict[str, Optional[_elf.Elf]] = {}
        self.cache = parse_cache(fs.read(CACHE_FILE) or b"")
        self.linker = Linker(fs, self.cache, self.elf)

    def _read_elf(self, path: str) -> Optional[_elf.Elf]:
        try:
            with self.fs.open(path) as file:
                return _elf.parse(file)
        except OSError:
            return None

    def elf(self, path: str) -> Optional[_elf.Elf]:
        """The ELF file at a real path; None when it is something else."""
        if path not in self._elves:
            self._elves[path] = self._parse(path)
        return self._elves[path]


class Closure:
    """A growing set of paths. ``paths`` has each file and symlink at its real place with its package's key ("" when none owns it).

    ``parent``: a finished closure whose content counts as given. ``own``: real directories whose files belong elsewhere (the app layer):
    they are followed but not taken. Plugins of uWSGI are taken when they are added, not because their package is.
    """

    def __init__(self, host: Host, parent: Optional["Closure"] = None, own: Sequence[str] = (),
                 library_path: Sequence[str] = ()) -> None:
        self.host = host
        self.parent = parent
        self.own = tuple(path.rstrip("/") + "/" for path in own)
        self.library_path = tuple(library_path)
        self.paths: Dict[str, str] = {}
        self.packages: Set[str] = set()
        self.unresolved: Set[Tuple[str, str]] = set()
        self.denied: Set[Tuple[str, str]] = set()
        self.iconv = False
        self._stdlibs: Set[str] = set()
        self._gconv: Dict[str, str] = {}
        self._seen: Set[Tuple[str, Tuple[str, ...]]] = set()
        self._queue: List[Tuple[str, Tuple[str, ...]]] = []

    def has(self, path: str) -> bool:
        """Whether this or the parent closure has the path."""
        return path in self.paths or (self.parent is not None and self.parent.has(path))

    def has_package(self, key: str) -> bool:
        """Whether this or the parent closure has the package."""
        return key in self.packages or (self.parent is not None and self.parent.has_package(key))

    def add(self, path: str, tool: bool = False) -> bool:
        """Take what ``path`` leads to, with every symlink on the way and the owning packages; False when there is nothing.

        ``tool``: a program that is started: what its package depends on comes too, and the interpreter that its first line names.
        """
        resolved = self.host.fs.resolve(path)
        if resolved.real is None:
            return False
        owner = self.host.dpkg.owner(resolved.real)
        if owner is not None and self._is_denied(owner):
            self.denied.add((path, self.host.dpkg.stanzas[owner].name))
            return True
        self._links(resolved)
        self._take(resolved.real, owner, tool)
        if tool:
            self._interpreter(resolved.real)
        self._run()
        return True

    def add_tree(self, top: str, enter: Callable[[str, Stat], bool] = lambda path, found: True) -> None:
        """Take everything below a directory (its path need not be real) that ``enter`` lets pass."""
        resolved = self.host.fs.resolve(top)
        if resolved.real is None:
            return
        for link in resolved.links:
            self._take(link, None)
        for path, found in self.host.fs.walk(resolved.real, enter):
            if found.kind == "link":
                self._take(path, None)
                target = self.host.fs.resolve(path).real
                if target is not None and not target.startswith(resolved.real + "/") and self.host.fs.kind(target) == "file":
                    self.add(target)
            elif found.kind == "file":
                self._take(path, self.host.dpkg.owner(path))
        self._run()

    def add_package(self, key: str, tool: bool = False) -> None:
        """Take a package's runtime files and close over them."""
        self._package(key, tool)
        self._run()

    def add_file(self, path: str) -> None:
        """Take one file or symlink and where it leads, without its package."""
        resolved = self.host.fs.resolve(path)
        for item in resolved.links + ([resolved.real] if resolved.real is not None else []):
            if not self.has(item):
                self.paths[item] = ""

    def add_gconv(self) -> None:
        """Take every character set that iconv(3) knows on this host, not only those of glibc's short list."""
        for key in filter(None, map(self.host.dpkg.find, ("libc6", "libc-gconv-modules-extra"))):
            for path in self.host.dpkg.files(key):
                if "/gconv/" in path and self.host.fs.kind(path) == "file" and not self.has(path):
                    self.paths[path] = key

    def _basic_gconv(self, path: str) -> bool:
        """glibc lists the usual modules in gconv-modules, the many others beside it (glibc 2.34, iconvdata/gconv-modules)."""
        directory, name = os.path.split(path)
        if directory not in self._gconv:
            self._gconv[directory] = self.host.fs.text(directory + "/gconv-modules")
        return name[:-len(".so")] in self._gconv[directory].split()

    def follow(self, path: str) -> None:
        """Close over a file that another layer has (real path): take what it needs, not itself."""
        found = self.host.fs.lstat(path)
        if found is not None and is_program(path, found):
            elf = self.host.elf(path)
            self.iconv = self.iconv or (elf is not None and elf.iconv)
            self._queue.append((path, ()))
            self._run()

    def _is_denied(self, key: str) -> bool:
        return DENIED.fullmatch(self.host.dpkg.stanzas[key].name) is not None

    def _mine(self, path: str) -> bool:
        return not path.startswith(self.own) if self.own else True

    def _links(self, resolved: Resolved) -> None:
        """Take the symlinks on a way. One to a directory is in the lists of many packages and says nothing about this one."""
        for link in resolved.links:
            self._take(link, self.host.dpkg.owner(link) if self.host.fs.kind(link) == "file" else None)

    def _take(self, path: str, owner: Optional[str], tool: bool = False) -> None:
        if self._mine(path) and not self.has(path):
            self.paths[path] = owner or ""
        if owner is not None and not self._is_denied(owner):
            self._package(owner, tool)
        self._queue.append((path, ()))

    def _package(self, key: str, tool: bool = False) -> None:
        if self.has_package(key) or self._is_denied(key):
            return
        self.packages.add(key)
        fs = self.host.fs
        for path in self.host.dpkg.files(key):
            if not is_runtime(path) or path.startswith(_LOADER_DIR) or _UNUSED.search(path) or (_GCONV.search(path) and not self._basic_gconv(path)):
                continue
            found = fs.lstat(path)
            if found is None or found.kind not in ("file", "link") or (path.startswith("/etc/") and found.kind == "file" and not found.mode & 0o004):
                continue
            if not self.has(path):
                self.paths[path] = key
            if found.kind == "link":
                self._target(path)
            elif is_program(path, found):
                self._queue.append((path, ()))
            elif path.endswith(".py") and not _RARE.match(path):
                self._bytecode(path, key)
        self._depends(key, tool)
        python = _PYTHON_PACKAGE.fullmatch(key)
        if python is not None:
            self._stdlib(python.group(1))

    def _target(self, link: str) -> None:
        """A package's symlink is no use without its file, which alternatives or another package may hold."""
        resolved = self.host.fs.resolve(link)
        if resolved.real is None or self.host.fs.kind(resolved.real) != "file" or not is_runtime(resolved.real):
            return
        owner = self.host.dpkg.owner(resolved.real)
        if owner is None or not self._is_denied(owner):
            self._links(resolved)
            self._take(resolved.real, owner)

    def _bytecode(self, path: str, key: str) -> None:
        """The byte code that the package's own scripts compiled (py3compile), which no list names."""
        directory, name = os.path.split(path)
        version = re.match(r"/usr/lib/python(\d)\.(\d+)/", path)
        versions = ["%s%s" % version.groups()] if version else sorted(self._versions())
        for tag in versions:
            compiled = "%s/__pycache__/%s.cpython-%s.pyc" % (directory, name[:-3], tag)
            if self.host.fs.lstat(compiled) is not None and not self.has(compiled):
                self.paths[compiled] = key

    def _versions(self) -> Set[str]:
        keys = self.packages | (self.parent.packages if self.parent is not None else set())
        return {match.group(1).replace(".", "") for match in map(_PYTHON_PACKAGE.fullmatch, keys) if match}

    def _stdlib(self, version: str) -> None:
        """The standard library of a packaged Python: whatever owns files in its directory, and python3's own name."""
        if version in self._stdlibs:
            return
        self._stdlibs.add(version)
        dpkg = self.host.dpkg
        top = "/usr/lib/python%s/" % version
        for key, stanza in sorted(dpkg.stanzas.items()):
            if not _NOT_STDLIB.search(stanza.name) and any(path.startswith(top) for path in dpkg.files(key)):
                self._package(key)
        minimal = dpkg.find("python3-minimal")
        if minimal is not None and self.host.fs.resolve("/usr/bin/python3").real == "/usr/bin/python" + version:
            self._package(minimal)

    def _depends(self, key: str, tool: bool) -> None:
        """Libraries are found by NEEDED. Of the rest, data packages always count (libmagic1 -> libmagic-mgc), others for tools only."""
        dpkg = self.host.dpkg
        for alternatives in dpkg.stanzas[key].depends:
            found = next((item for item in map(dpkg.find, alternatives) if item is not None), None)
            if found is None or dpkg.stanzas[found].name in MACHINERY:
                continue
            if tool or self._is_data(found):
                self._package(found, tool)

    def _is_data(self, key: str) -> bool:
        return not any(path.startswith(_PROGRAM_DIRS) or _SHARED_OBJECT.search(os.path.basename(path)) for path in self.host.dpkg.files(key))

    def _interpreter(self, path: str) -> None:
        """What the first line of a script names (execve(2))."""
        with self.host.fs.open(path) as file:
            first = file.read(256).split(b"\n", 1)[0].decode("utf-8", "replace")
        words = first[2:].split() if first.startswith("#!") else []
        if words and self.host.fs.resolve(words[0]).real != path:
            self.add(words[0], tool=os.path.basename(words[0]) != "env")
            if os.path.basename(words[0]) == "env":
                names = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
                found = next((item for item in (which(self.host.fs, name) for name in names[:1]) if item), None)
                if found is not None:
                    self.add(found, tool=True)

    def _run(self) -> None:
        """Until nothing is left: each ELF file's interpreter and libraries."""
        while self._queue:
            path, inherited = self._queue.pop()
            if (path, inherited) in self._seen:
                continue
            self._seen.add((path, inherited))
            item = self.host.fs.lstat(path)
            elf = self.host.elf(path) if item is not None and item.kind == "file" else None
            if elf is None:
                continue
            origin = os.path.dirname(path)
            chain = self.host.linker.chain(elf, origin, inherited)
            if elf.interp:
                self._library(elf.interp, ())
            for name in elf.needed:
                found = self.host.linker.find(name, elf, origin, inherited, self.library_path)
                if found is None:
                    self.unresolved.add((path, name))
                else:
                    self._library(found, chain)

    def _library(self, path: str, chain: Tuple[str, ...]) -> None:
        resolved = self.host.fs.resolve(path)
        if resolved.real is None:
            return
        self._links(resolved)
        self._take(resolved.real, self.host.dpkg.owner(resolved.real))
        self._queue.append((resolved.real, chain))


SEARCH_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
"""PATH of images and of programs that are looked up by name."""


def which(fs: Fs, name: str, path: Sequence[str] = SEARCH_PATH) -> Optional[str]:
    """The program a shell would start for ``name``; None when there is none."""
    candidates = [name] if name.startswith("/") else [os.path.join(directory, name) for directory in path]
    for candidate in candidates:
        real = fs.resolve(candidate).real
        found = fs.lstat(real) if real is not None else None
        if found is not None and found.kind == "file" and found.mode & 0o111:
            return candidate
    return None
