#!/usr/bin/python
# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: systemd_units
short_description: Systemd units that must be there and run
version_added: 0.1.0
description:
  - Writes unit files below C(/etc/systemd/system), enables and starts units, the whole list in one call.
  - A unit that was started before its file was last written is restarted, also when the file was written by an earlier run that did not get that far.
  - Unlike M(ansible.builtin.systemd_service) it bears, in check mode, units whose package is not installed yet.
extends_documentation_fragment:
  - gantry.webstack._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  units:
    description: The units.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the unit with its type, such as C(nginx.service).
        type: str
        required: true
      content:
        description: The unit file. Left out for units that a package brings.
        type: str
      enabled:
        description: Whether it is started at boot.
        type: bool
        default: true
      state:
        description: Whether it runs.
        type: str
        choices: [started, stopped]
        default: started
"""

EXAMPLES = r"""
- name: Have the engine running
  gantry.webstack.systemd_units:
    units:
      - name: docker.service
"""

RETURN = r"""
actions:
  description: What was done, or would be, by unit. C(write) stands for the file, everything else for C(systemctl).
  returned: success
  type: dict
  sample: {"docker.service": ["enable", "start"]}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gantry.webstack.plugins.module_utils.install._systemd_units import SystemdUnits


def main() -> None:
    unit = {
        "name": {"type": "str", "required": True},
        "content": {"type": "str"},
        "enabled": {"type": "bool", "default": True},
        "state": {"type": "str", "choices": ["started", "stopped"], "default": "started"},
    }
    spec = {"units": {"type": "list", "elements": "dict", "required": True, "options": unit}}
    SystemdUnits(AnsibleModule(argument_spec=spec, supports_check_mode=True)).execute()


if __name__ == "__main__":
    main()
