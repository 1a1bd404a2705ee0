#!/usr/bin/python
# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: switch
short_description: Move services over their sockets, to containers or back to the host
version_added: 0.1.0
description:
  - To a container, the path that nginx connects to becomes a link to the container's socket, by one rename(2).
    Requests in flight are finished by the host's process, which is then set aside. nginx is neither edited nor reloaded.
  - To the host, the host's process is started on a socket beside the path, and once healthy that socket takes the path by rename(2).
    The container finishes what it has and is removed.
  - Scheduled commands move with it; the host's cron and its timers stay their only clock.
  - Every step looks first, so a run that was killed is finished, or undone, by the next.
extends_documentation_fragment:
  - gantry.webstack._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
    details: A service that is where it shall be is left alone.
requirements:
  - docker (the SDK for Python) on the target
options:
  services:
    description: Names of services; their journals on the host know the rest.
    type: list
    elements: str
    required: true
  to:
    description: Where requests shall go.
    type: str
    choices: [container, host]
    required: true
  edge:
    description: The plan's C(edge); nginx's group must reach the container's socket.
    type: dict
    default: {}
  drain_timeout:
    description: Seconds that requests in flight may take before their process is stopped all the same.
    type: int
    default: 60
  timeout:
    description: Seconds that the host's process may take to become healthy.
    type: int
    default: 60
seealso:
  - module: gantry.webstack.candidate
  - module: gantry.webstack.parity
"""

EXAMPLES = r"""
- name: Let the containers serve
  gantry.webstack.switch:
    services: [shop, blog]
    to: container

- name: Go back to the host
  gantry.webstack.switch:
    services: [shop]
    to: host
"""

RETURN = r"""
services:
  description: Where each service runs now and when it was switched, in seconds since the epoch.
  returned: success
  type: list
  elements: dict
  sample:
    - service: shop
      runtime: container
      switched_at: 1764000000.123
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gantry.webstack.plugins.module_utils.move._switch import SwitchModule


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "services": {"type": "list", "elements": "str", "required": True},
            "to": {"type": "str", "choices": ["container", "host"], "required": True},
            "edge": {"type": "dict", "default": {}},
            "drain_timeout": {"type": "int", "default": 60},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    SwitchModule(module).execute()


if __name__ == "__main__":
    main()
