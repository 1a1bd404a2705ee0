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
  - New files are first read by C(systemd-analyze verify) in a stage. If systemd refuses one, or one does not start or stay up, all of them are put back,
    new ones removed, and the message has the last log lines.
  - A unit that was started before its file or one of its O(units[].watch) files was last written is restarted, also when an earlier run wrote it and did
    not get that far.
  - Unlike M(ansible.builtin.systemd_service) it bears, in check mode, units whose package is not installed yet.
extends_documentation_fragment:
  - gantry.webstack._attributes
  - gantry.webstack._attributes.action
attributes:
  action:
    support: full
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
        description: Whether it is started at boot. Of no meaning for a unit without an C([Install]) section.
        type: bool
        default: true
      state:
        description: Whether it runs. C(any) is for units that something else starts, such as a timer.
        type: str
        choices: [started, stopped, any]
        default: started
      watch:
        description: Files whose change it takes a restart to notice.
        type: list
        elements: path
        default: []
      stays:
        description: Whether it is watched for some seconds after its start, and a failure when it ends within them.
        type: bool
        default: false
      service:
        description: The service that it belongs to. A file of that name which is not ours is then refused.
        type: str
      moves:
        description: Whether it is left alone while the journal says that its service runs in a container.
        type: bool
        default: false
  services:
    description: The units are all that services have. Others that were written for services are stopped, disabled and removed, and so are the crontabs that
      earlier versions wrote.
    type: bool
    default: false
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
removed:
  description: Files that were removed, or would be.
  returned: success
  type: list
  elements: str
  sample: [/etc/systemd/system/webstack-shop-mail.service]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gantry.webstack.plugins.module_utils.install._systemd_units import SPEC, SystemdUnits


def main() -> None:
    SystemdUnits(AnsibleModule(argument_spec=SPEC, supports_check_mode=True)).execute()


if __name__ == "__main__":
    main()
