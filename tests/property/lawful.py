"""Service definitions for the law of discover: every field that ``install`` takes, in any combination that it does not refuse."""

from __future__ import annotations

import zlib
from typing import Any

from hypothesis import strategies as st
from strategies import CODE, NAMES, TEXT

PLACE = "/opt/law"
"""Where the host has an interpreter tree and a wheel; see test_law.py."""
LOCK = CODE.parents[2] / "property/law.txt"
"""The lock file of all."""

_WORDS = st.sampled_from(["media", "uploads", "data", "cache", "sessions", "x1"])
_COMMANDS = st.sampled_from([
    "exec sleep 100000", "while :; do sleep 100; done", "sleep 99999; echo \"$HOME\" 'it''s' 100% \\n", "exec python3 -c 'import time; time.sleep(1e6)'"])
_JOBS = st.sampled_from(["/bin/true", "cd /tmp && test ! -e x || echo \"${HOME}\"", "python3 -c 'print(\"%s\" % 1)'", "find . -name '*.pyc' | wc -l"])
_WHEN = st.one_of(
    st.builds("{} {} 1 1 *".format, st.integers(0, 59), st.integers(0, 23)),
    st.sampled_from(["@yearly", "@monthly", "0 3 1 jan *", "*-01-01 04:00:00", "Mon *-02-01 10:00", "15 2 1 1 mon-fri"]))
_TRICKY = st.sampled_from(["$(HOME) 100% %n", "a=b;c,d", "[x] #y ;z", "\"both\" 'quotes'", "\\n \\", "/srv/nowhere/at all", "0", "true", "${HOME} $HOME $$"])
_EXTRA = st.lists(st.sampled_from(["Nice=5", "IOSchedulingClass=idle", "LimitNOFILE=4096", "Environment=X_EXTRA=1", "PrivateTmp=no"]), max_size=2, unique=True)


def _maybe(draw: st.DrawFn, made: dict[str, Any], key: str, strategy: st.SearchStrategy[Any]) -> None:
    if draw(st.booleans()):
        made[key] = draw(strategy)


@st.composite
def lawful(draw: st.DrawFn, name: str, first: str) -> dict[str, Any]:
    """One definition; ``first`` names the users that it may share."""
    number = zlib.crc32(name.encode()) % 10000  # for ports and ids: users stay when their services go, and a port is free only after its service went
    made: dict[str, Any] = {"name": name, "code": {"source": str(CODE)}, "uwsgi": {"options": {"module": "wsgi:application", **draw(_options())}}}
    top = draw(st.sampled_from([f"/srv/{name}", f"/opt/apps/{name}", f"/home/{name}/www"]))
    made["code"]["path"] = f"{top}/{draw(st.sampled_from(['current', 'live']))}"
    _maybe(draw, made["code"], "keep", st.integers(1, 5))
    _python(draw, made, top)
    _socket(draw, made, number)
    _user(draw, made, number, first)
    made["environment"] = {f"V_{index}": value for index, value in enumerate(draw(st.lists(TEXT | _TRICKY, max_size=3)))}
    made["secrets"] = [{"name": key} for key in draw(st.lists(st.sampled_from(["TOKEN", "DB_PASSWORD", "PLAIN"]), unique=True, max_size=2))]
    places = [f"{made['code']['path']}/{{}}", f"{made['code']['path']}/var/{{}}", f"{top}/{{}}", f"/var/lib/{name}/{{}}", f"/var/lib/{name}-{{}}"]
    chosen = draw(st.lists(st.tuples(st.sampled_from(places), _WORDS), max_size=2, unique=True))
    kinds = draw(st.lists(st.sampled_from(["data", "uploads", "cache"]), max_size=2))
    made["state"] = [{"path": place.format(word), **({"kind": kinds[index]} if index < len(kinds) else {})} for index, (place, word) in enumerate(chosen)]
    if draw(st.booleans()):
        made["health"] = draw(st.sampled_from([{"path": "/ping"}, {"timeout": 20}, {"path": "/a/b?c=d", "host": "localhost", "timeout": 5}]))
    _nginx(draw, made, top)
    made["workers"] = [{"name": f"w{index}", **worker} for index, worker in enumerate(draw(st.lists(_worker(), max_size=2)))]
    made["schedule"] = draw(st.lists(_job(), max_size=2, unique_by=lambda job: (job["command"], job["when"])))
    for index, job in enumerate(made["schedule"]):
        if draw(st.booleans()):
            job["name"] = f"j{index}"
    return made


def _options() -> st.SearchStrategy[dict[str, Any]]:
    more = st.fixed_dictionaries({}, optional={
        "threads": st.integers(1, 3), "harakiri": st.integers(20, 60), "buffer-size": st.sampled_from([8192, 16384]), "lazy-apps": st.booleans(),
        "single-interpreter": st.booleans(),
        "add-header": st.lists(st.sampled_from(["X-A: 1", "X-B: 2 ; 3", "X-C: 100%"]), min_size=1, max_size=2, unique=True),
        "cron": st.just("0 0 1 1 -1 /bin/true"), "listen": st.sampled_from([64, 512]), "master": st.just(True), "max-requests": st.integers(100, 10000)})
    workers = st.one_of(st.fixed_dictionaries({"processes": st.integers(1, 2)}),
                        st.fixed_dictionaries({"processes": st.integers(3, 4), "cheaper": st.integers(1, 2)}))
    return st.builds(lambda one, two: {**one, **two}, workers, more)


def _python(draw: st.DrawFn, made: dict[str, Any], top: str) -> None:
    """The interpreter as it is, an environment from a lock, one of an interpreter tree; uWSGI of the distribution, or pyuwsgi out of the lock."""
    kind = draw(st.sampled_from(["bare", "bare", "system", "lock", "venv", "tree"]))
    if kind == "system":
        made["python"] = {"venv": "/usr"}
    elif kind != "bare":
        made["python"] = {"requirements": str(LOCK)}
        _maybe(draw, made["python"], "system_site_packages", st.booleans())
        _maybe(draw, made["python"], "venv", st.sampled_from([f"{made['code']['path']}/.venv", f"{made['code']['path']}/env", f"{top}/env"]))
        if kind != "lock":
            made["uwsgi"]["origin"] = "venv"
        if kind == "tree":
            made["python"].update(interpreter=f"{PLACE}/tree/bin/python3.11", origin="tree")
        elif draw(st.booleans()):
            made["python"].update(draw(st.sampled_from([{"version": "3.11"}, {"interpreter": "/usr/bin/python3.11"}, {"origin": "package"}])))


def _socket(draw: st.DrawFn, made: dict[str, Any], number: int) -> None:
    kinds = [None, None, f"127.0.0.1:{10000 + number}", f"/run/uwsgi/{made['name']}/app.sock", f"/run/{made['name']}-sock/web"]
    socket = draw(st.sampled_from(kinds))
    if socket:
        made["uwsgi"]["socket"] = socket
    if draw(st.booleans()):
        made["uwsgi"]["stats"] = f"127.0.0.1:{20000 + number}" if socket and ":" in socket else True
    _maybe(draw, made["uwsgi"], "log", st.sampled_from(["file", "journal"]))


def _user(draw: st.DrawFn, made: dict[str, Any], number: int, first: str) -> None:
    users = [None, {"name": f"u-{made['name']}"}, {"name": f"s-{first}"}, {"name": f"u-{made['name']}", "uid": 3000 + number},
             {"name": f"w-{first}", "group": "www-data"}, {"name": f"u-{made['name']}", "group": f"g-{made['name']}", "gid": 4000 + number}]
    user = draw(st.sampled_from(users))
    if user:
        made["user"] = user


def _nginx(draw: st.DrawFn, made: dict[str, Any], top: str) -> None:
    name = made["name"]
    made["nginx"] = {"sites": []}
    for index in range(draw(st.sampled_from([0, 1, 1, 1, 2]))):
        more = draw(st.lists(st.sampled_from(["www", "api", "*"]), unique=True, max_size=2))
        site: dict[str, Any] = {"server_names": [f"{name}{index or ''}.test", *(f"{word}.{name}{index or ''}.test" for word in more)]}
        _maybe(draw, site, "location", st.sampled_from(["/", "/app", "/app/", "^~ /app/"]))
        _maybe(draw, site, "client_max_body_size", st.sampled_from(["1m", "20m", "0"]))
        _maybe(draw, site, "listen", st.sampled_from([["8080"], ["80", "[::]:80"], [{"port": 81}, {"address": "127.0.0.1", "port": 82}]]))
        _maybe(draw, site, "params", st.just({"X_SITE": f"{name} site", "HTTPS": "on"}))
        _maybe(draw, site, "access_log", st.sampled_from([f"/var/log/nginx/{name}.log", False]))
        made["nginx"]["sites"].append(site)
    trees = [("/static/", f"{top}-static/"), ("/assets/", f"{top}-assets"), ("/media/", f"{made['code']['path']}/static"), ("/files", f"{top}-public")]
    chosen = draw(st.lists(st.sampled_from(trees), unique=True, max_size=2))
    if made["state"] and draw(st.booleans()):
        chosen.append(("/up/", made["state"][0]["path"]))
    if made["nginx"]["sites"]:
        made["nginx"]["static"] = [{"location": location, "path": path} for location, path in chosen]


def _entry(command: st.SearchStrategy[str], **more: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    optional = {"user": st.sampled_from(["root", "nobody"]), "memory_max": st.sampled_from(["200M", "1G"]), "extra": _EXTRA,
                "writable": st.sampled_from([["/var/tmp"], ["/srv", "/opt/a place"]]), **more}
    return st.fixed_dictionaries({"command": command}, optional=optional)


def _worker() -> st.SearchStrategy[dict[str, Any]]:
    return _entry(_COMMANDS, instances=st.integers(1, 3), stop_timeout=st.sampled_from([5, 90]))


def _job() -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(lambda when, job: {"when": when, **job}, _WHEN, _entry(_JOBS, persistent=st.booleans(), timeout=st.sampled_from([60, 3600])))


def lawful_lists(least: int = 3, most: int = 6) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Lists of such services with names of their own."""
    names = st.lists(NAMES, min_size=least, max_size=most, unique=True)
    return names.flatmap(lambda chosen: st.tuples(*(lawful(name, chosen[0]) for name in chosen)).map(list))
