# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What convert will do with a service, in order, told from its definition. Pure."""

from __future__ import annotations

from ansible_collections.gantry.webstack.plugins.module_utils.move import _beside, _user_crontabs, _worker_units
from ansible_collections.gantry.webstack.plugins.plugin_utils.model import Service
from ansible_collections.gantry.webstack.plugins.plugin_utils.report_text import count

Step = tuple[str, str]
"""(what, how), both plain text."""


def steps(service: Service) -> list[Step]:
    """The steps of a service that convert would move; none for one that is blocked or has moved."""
    if service.get("runtime") == "container" or service.get("fit", {}).get("verdict") == "blocked":
        return []
    schedule = service.get("schedule", [])
    moving = [line for line in schedule if not (_user_crontabs.is_users(line.get("source", "")) and _user_crontabs.stays(line))]
    found = [("Harvest the image", _image(service)), ("Start a candidate", _candidate(service, len(moving))), ("Prove it equal", _parity(service)),
             ("Switch the socket", f"A link to the container's socket takes the place of {service.get('uwsgi', {}).get('socket', 'the socket')} by one "
              "rename; requests that are under way end on the host's process. nginx is neither edited nor reloaded.")]
    if moving:
        found.append(("Move the schedule", f"{count(len(moving), 'command')} of {_listed([line.get('source', 'a timer') for line in moving])} "
                      f"{'runs' if len(moving) == 1 else 'run'} in the container from then on; the clock stays the host's."))
    units = _worker_units.moving(service)
    if units:
        found.append(("Move the workers", f"{_listed(list(units))} {'keeps its' if len(units) == 1 else 'keep their'} unit: stopped, and started again with a "
                      "drop-in that runs a container of the same image."))
    found.append(("Set the host's process aside", _aside(service)))
    beside = _beside_it(service)
    if beside:
        found.append(("Let the rest begin", f"{_listed(beside)} {'waits' if len(beside) == 1 else 'wait'} in the container until then, so that nothing runs "
                      "twice."))
    left = _left(service, len(schedule) - len(moving))
    if left:
        found.append(("Leave on the host", left))
    return found


def _listed(values: list[str], most: int = 4) -> str:
    values = list(dict.fromkeys(values))
    return ", ".join(values[:most]) + (f" and {len(values) - most} more" if len(values) > most else "")


def _image(service: Service) -> str:
    python, uwsgi, secrets = service.get("python", {}), service.get("uwsgi", {}), len(service.get("secrets", []))
    parts = [f"Python {python['version']}" if python.get("version") else "Python", f"uWSGI {uwsgi['version']}" if uwsgi.get("version") else "uWSGI"]
    if service.get("system_packages"):
        parts.append(count(len(service["system_packages"]), "package") + " of the distribution")
    parts += [f"the venv {python['venv']}"] if python.get("venv") else []
    parts += [f"the code below {service['code']['path']}"] if service.get("code", {}).get("path") else []
    looked = f" It is searched for the {'value' if secrets == 1 else 'values'} of {count(secrets, 'secret')} first." if secrets else ""
    return f"Made of the host's own files, nothing is downloaded: {', '.join(parts)}.{looked}"


def _candidate(service: Service, moving: int) -> str:
    user = service.get("user", {})
    numbers = f" ({user['uid']}:{user.get('gid', user['uid'])})" if "uid" in user else ""
    text = f"A container that runs as {user.get('name', 'the service')}{numbers} beside the host's process, on a socket of its own, with a read-only root."
    stays, goes = ([item["path"] for item in service.get("state", []) if bool(item.get("volume")) is there] for there in (False, True))
    if stays:
        text += f" It writes to {_listed(stays)}, which stays in its place."
    if goes:
        text += f" It writes to {_listed(goes)}, which is copied to a volume, the rest of it while requests wait at the switch."
    if service.get("secrets"):
        text += f" {count(len(service['secrets']), 'secret comes', 'secrets come')} from the same places as on the host."
    return text + (" Scheduled commands are held back." if moving else "")


def _parity(service: Service) -> str:
    path = service.get("health", {}).get("path", "/")
    return (f"Host, candidate and host again are asked the same: GET {path}, the locations, pages that do not exist, static files, what the access log "
            "holds, and what these answers lead to. A difference in status, header, cookie or body stops the run here.")


def _aside(service: Service) -> str:
    manager = service.get("uwsgi", {}).get("manager", {})
    if manager.get("kind") == "emperor":
        return f"The vassal {manager.get('vassal', '')} moves to /var/lib/webstack/{service['name']}/parked; rollback brings it back."
    return f"A drop-in keeps {manager.get('unit', 'its unit')} from starting; rollback takes it away."


def _beside_it(service: Service) -> list[str]:
    """What its uWSGI runs beside web requests, in words."""
    options = service.get("uwsgi", {}).get("options", {})
    kinds = (("each mule", _beside.MULE_KEYS), ("each spooler", _beside.SPOOLER_KEYS), ("each daemon", _beside.DAEMON_KEYS),
             ("uWSGI's cron", _beside.CRON_KEYS))
    return [words for words, keys in kinds if _beside.values(options, keys)]


def _left(service: Service, lines: int) -> str:
    moved = _worker_units.moving(service)
    kept = [worker.get("what") or worker.get("name", "") for worker in service.get("workers", [])
            if worker.get("kind") in ("unit", "timer", "process", "periodic", "at") and worker.get("what") not in moved]
    parts = [_listed(kept)] if kept else []
    if lines:
        parts.append(f"{count(lines, 'line')} of {'a crontab' if lines == 1 else 'crontabs'} that users own")
    return f"{' and '.join(parts)}, as before, with the same code and state." if parts else ""
