"""Service definitions as hypothesis makes them: what a user may write, in any combination."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import strategies as st

CODE = Path(__file__).resolve().parents[1] / "faults/apps/hello"

NAMES = st.from_regex(r"[a-z][a-z0-9]{0,6}(-[a-z0-9]{1,4})?", fullmatch=True).map(lambda name: "p" + name)

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=30).filter(
    lambda text: text == text.strip() and "%(" not in text)
"""Values of environment variables: anything that fits one line."""

OPTIONS = st.fixed_dictionaries({}, optional={
    "processes": st.integers(1, 2), "threads": st.integers(1, 3), "harakiri": st.integers(20, 60), "buffer-size": st.sampled_from([8192, 16384]),
    "lazy-apps": st.booleans(), "single-interpreter": st.booleans()})


@st.composite
def service(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """One definition."""
    made: dict[str, Any] = {
        "name": name,
        "code": {"path": f"/srv/{name}/current", "source": str(CODE)},
        "uwsgi": {"options": {"module": "wsgi:application", "virtualenv": "/usr", "processes": 1, **draw(OPTIONS)}},
        "environment": {f"V{number}": value for number, value in enumerate(draw(st.lists(TEXT, max_size=3)))},
    }
    if draw(st.booleans()):
        more = draw(st.lists(st.sampled_from(["www", "api", "old"]), unique=True, max_size=2))
        site: dict[str, Any] = {"server_names": [f"{name}.test", *(f"{word}.{name}.test" for word in more)]}
        if draw(st.booleans()):
            site["client_max_body_size"] = draw(st.sampled_from(["1m", "20m"]))
        made["nginx"] = {"sites": [site]}
        if draw(st.booleans()):
            made["nginx"]["static"] = [{"location": "/static/", "path": f"/srv/{name}-static"}]
    if draw(st.booleans()):
        made["state"] = [{"path": f"/srv/{name}-state"}]
    if draw(st.booleans()):
        made["secrets"] = [{"name": "TOKEN"}]
    if draw(st.booleans()):
        made["schedule"] = [{"when": f"{draw(st.integers(0, 59))} 4 1 1 *", "command": "/bin/true"}]
    return made


def service_lists(least: int = 0, most: int = 4) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Lists of services with names of their own, none of which is a part of another (so that a path tells whose it is)."""
    def apart(names: list[str]) -> bool:
        return not any(one != other and one in other for one in names for other in names)

    names = st.lists(NAMES, min_size=least, max_size=most, unique=True).filter(apart)
    return names.flatmap(lambda chosen: st.tuples(*(service(name) for name in chosen)).map(list))


def secrets_of(services: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
    """Values for the secrets that the services name."""
    return {item["name"]: {secret["name"]: f"value-of-{item['name']}" for secret in item["secrets"]} for item in services if "secrets" in item}
