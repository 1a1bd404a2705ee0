#!/usr/bin/python
# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: decommission
short_description: Take the host stacks of services that run in containers out of service
version_added: 0.2.0
description:
  - Disables the units that kept these services on the host, an emperor's when it has no other vassal and no other service of this host needs it,
    and sets aside the packages of uWSGI when nobody else needs them.
  - A package is needed when a process runs it, a vassal, unit, crontab or init script names it, another service could go back to it, another
    package depends on it, or its archive is not offered any more. Its archive is kept on the host, so that it comes back without a network.
  - Vassals were set aside by the switch; virtual environments and code stay where they are.
  - With O(state=absent) all of it is undone. With O(purge=true) it is removed for good.
extends_documentation_fragment:
  - gantry.webstack._attributes
attributes:
  check_mode:
    support: full
    details: Names the units and packages, and with O(purge=true) every path that would be removed.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  services:
    description: Names of services. One that runs on the host is left alone, with a warning.
    type: list
    elements: str
    required: true
  state:
    description: Whether the decommissioning shall be in force.
    type: str
    choices: [present, absent]
    default: present
  purge:
    description:
      - Also remove what leads back to the host. This cannot be undone. Removed are the vassal that was set aside, the service's own unit when no package
        brought it, its virtual environment and code, and the configuration and archives of packages that were set aside.
      - A directory stays when state, secrets, mounts, paths of nginx, running processes, other jobs or other services are in it.
      - The service's container, images, state and secrets are not touched. Of state that was copied to volumes, what the host had before goes.
    type: bool
    default: false
seealso:
  - module: gantry.webstack.switch
"""

EXAMPLES = r"""
- name: Take the host stacks out of service
  gantry.webstack.decommission:
    services: [shop, blog]

- name: Have them ready again
  gantry.webstack.decommission:
    services: [shop, blog]
    state: absent

- name: Give up the way back
  gantry.webstack.decommission:
    services: [blog]
    purge: true
"""

RETURN = r"""
services:
  description: Each service, where it runs, and whether its host stack is C(ready), C(decommissioned) or C(purged).
  returned: success
  type: list
  elements: dict
  sample: [{"service": "shop", "runtime": "container", "host_stack": "decommissioned"}]
packages:
  description: The packages that were set aside by this run.
  returned: success
  type: list
  elements: str
  sample: [uwsgi-core, uwsgi-plugin-python3]
kept_packages:
  description: The packages that stay, each with the reason.
  returned: success
  type: dict
  sample: {"uwsgi-core": "service blog needs it"}
removed:
  description: What a purge removed.
  returned: success
  type: list
  elements: str
  sample: [/var/lib/webstack/shop/parked, /srv/shop/releases]
left:
  description: The directories that a purge left, each with the reason.
  returned: success
  type: dict
  sample: {"/srv/shop/code": "its state /srv/shop/code/media is in it"}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gantry.webstack.plugins.module_utils.move._decommission import Decommission


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "services": {"type": "list", "elements": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "purge": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    Decommission(module).execute()


if __name__ == "__main__":
    main()
