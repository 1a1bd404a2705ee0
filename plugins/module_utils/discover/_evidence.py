# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Everything that a plan is made of, collected on the target in one go. Changes nothing; what is returned holds no secret value.

``collect`` returns {nginx, instances, converted, listeners, sizes, cron, blind}; the instances' shape is built in ``_evidence_service.Service.facts``.
"""

from __future__ import annotations

import os
import socket
from typing import Any, Dict, List

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError, WebstackModule, yield_cpu
from ansible_collections.gantry.webstack.plugins.module_utils.discover import (
    _evidence_files,
    _evidence_host,
    _evidence_service,
    _evidence_shared,
    _evidence_units,
    _evidence_uwsgi,
)


def collect() -> Dict[str, Any]:
    """The evidence of this host. Raises WebstackError when it is not run by root: too much would stay unseen."""
    if os.geteuid() != 0:
        raise WebstackError("discover must run as root on the target (become: true): other users' processes and files cannot be read otherwise")
    host = _evidence_shared.Host()
    serving, emperors = _evidence_uwsgi.instances(host.table, host.units, socket.gethostname(), host.sockets)
    converted, blind = _evidence_host.converted()
    host.blind += blind
    names = {service["name"] for service in converted}
    serving = [item for item in serving if item.name not in names]
    answers = {item.master.pid: _evidence_service.ask(host, item) for item in serving}
    facts = [found for item in host.look_again(serving) for found in _facts(host, item, answers[item.master.pid])]
    lines, blind = _evidence_host.cron_lines(host.owner)
    host.blind += blind
    _evidence_units.assign_cron(facts, lines)
    _evidence_units.assign(facts, host.own_units)
    listeners = _evidence_host.listeners(host.sockets, host.holders, host.table)
    for item in listeners:
        item["package"] = host.owner(item.pop("exe")) or ""
    state = sorted({place["path"] for item in facts + converted for place in item.get("state", [])})
    trees = sorted({path for item in facts for path in (item["code"], item["python"].get("venv")) if path})
    sizes = _evidence_files.sizes(list(dict.fromkeys(state + trees)))
    return _evidence_files.printable({
        "nginx": host.nginx, "instances": sorted(facts, key=lambda item: item["name"]), "converted": converted,
        "emperors": sorted({place for item in emperors for place in item.config.all("emperor")}),
        "listeners": listeners, "sizes": sizes,
        "cron": [line._asdict() for line in lines], "blind": sorted(set(host.blind))})


def _facts(host: _evidence_shared.Host, instance: _evidence_uwsgi.Instance, health: Dict[str, Any]) -> List[Dict[str, Any]]:
    """The facts of one instance, or none and a blind spot: one that cannot be read hides no other."""
    try:
        return [_evidence_service.Service(host, instance, health).facts()]
    except Exception as exc:
        host.blind.append("the uWSGI instance %s could not be read (%s)" % (instance.name, _evidence_shared.reason(exc)))
        return []


class EvidenceModule(WebstackModule):
    """The module evidence_info."""

    def run(self) -> None:
        """See WebstackModule."""
        yield_cpu()
        self.result["evidence"] = collect()
