#!/usr/bin/python
# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: status_info
short_description: Tell where the services of a host run
version_added: 0.2.0
description:
  - Reads the journals of moved services, the vassals that were installed, the sockets and the engine's containers, and asks each service that was
    ever moved for its health path. Nothing is changed.
extends_documentation_fragment:
  - gantry.webstack._attributes
attributes:
  check_mode:
    support: full
    details: Reads only.
  diff_mode:
    support: none
    details: Nothing is changed, so there is nothing to show.
  idempotent:
    support: full
options: {}
seealso:
  - module: gantry.webstack.switch
"""

EXAMPLES = r"""
- name: Look where the services run
  gantry.webstack.status_info:
  register: status

- name: Stop when one does not answer
  ansible.builtin.assert:
    that: status.services | map(attribute='problem') | select | length == 0
"""

RETURN = r"""
services:
  description: One item per service, by name.
  returned: success
  type: list
  elements: dict
  contains:
    service:
      description: The service's name.
      type: str
      returned: always
      sample: shop
    runtime:
      description: Where requests go, C(host) or C(container).
      type: str
      returned: always
      sample: container
    phase:
      description: How far its last move has come; C(switching) and C(returning) are finished by the next run of convert or rollback.
      type: str
      returned: always
      sample: switched
    socket:
      description: What nginx connects to.
      type: str
      returned: always
      sample: /run/uwsgi/shop/uwsgi.sock
    problem:
      description: What is wrong with its answers, empty when nothing is. Of one that was never moved, only whether somebody listens is known.
      type: str
      returned: always
      sample: ""
    container:
      description: Its container's name.
      type: str
      returned: when it has one
      sample: webstack-shop-0123456789ab
    state:
      description: The container's state; C(missing) when the engine does not know it.
      type: str
      returned: when it has one, and an engine answers
      sample: running
    health:
      description: What the container's health check says; empty without one.
      type: str
      returned: when it has one, and the engine knows it
      sample: healthy
    restarts:
      description: How often the engine has restarted the container.
      type: int
      returned: when it has one, and the engine knows it
      sample: 0
    image:
      description: The container's image.
      type: str
      returned: when it has one
      sample: sha256:6f1d3c0f4b0e7c58a4b3d6f1d3c0f4b0e7c58a4b3d6f1d3c0f4b0e7c58a4b3d6
    images:
      description: The images that are kept to go back to, the oldest first, each with its C(id), C(tag), when it was taken up and whether it runs.
      type: list
      elements: dict
      returned: when it was ever moved
      sample: [{"id": "sha256:6f1d3c0f4b0e", "tag": "webstack/shop:6f1d3c0f4b0e", "since": "2026-11-24T10:11:12Z", "current": true}]
    host_stack:
      description: Whether its processes on the host can be started, C(ready), or were C(decommissioned) or C(purged).
      type: str
      returned: when it was ever moved
      sample: ready
    since:
      description: When requests went there, in UTC.
      type: str
      returned: when it was ever moved
      sample: "2026-11-24T10:11:12Z"
edge:
  description: nginx itself; of one that was never moved, only that it is on the host is known.
  returned: success
  type: dict
  contains:
    runtime:
      description: Where it runs, C(host) or C(container).
      type: str
      returned: always
      sample: container
    phase:
      description: How far its last move has come; C(switching) and C(returning) are finished by the next run of convert or rollback.
      type: str
      returned: always
      sample: switched
    problem:
      description: What is wrong with its container, empty when nothing is.
      type: str
      returned: always
      sample: ""
    container:
      description: Its container's name. With it come C(image), C(state), C(health) and C(restarts), as of services.
      type: str
      returned: when it has one
      sample: webstack.edge-0123456789ab
    since:
      description: When it moved, in UTC.
      type: str
      returned: when it was ever moved
      sample: "2026-11-24T10:11:12Z"
table:
  description: The same as a table for people, line by line.
  returned: success
  type: list
  elements: str
  sample: ["service  runtime  answers  container  image  since"]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gantry.webstack.plugins.module_utils.move._status import Status


def main() -> None:
    """Entry point."""
    Status(AnsibleModule(argument_spec={}, supports_check_mode=True)).execute()


if __name__ == "__main__":
    main()
