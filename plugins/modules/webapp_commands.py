#!/usr/bin/python
# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: webapp_commands
short_description: Commands that prepare web applications after their code has changed
version_added: 0.1.0
description:
  - Runs each service's commands, such as database migrations or the collection of static files, as the service's user in its code's directory.
  - They run when the commands, the environment, the code (as M(gantry.webstack.webapps) left it) or the virtual environment (as
    M(gantry.webstack.python_venvs) left it) differ from those of the last run that succeeded.
  - Services whose journal says that they run in a container are left alone.
extends_documentation_fragment:
  - gantry.webstack._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: partial
    details: Shows the commands; what they change is their own affair.
  idempotent:
    support: full
options:
  services:
    description: The services. P(gantry.webstack.commands#filter) makes the list from service definitions.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the service.
        type: str
        required: true
      user:
        description: The user to run as.
        type: str
        required: true
      group:
        description: The group to run as.
        type: str
        required: true
      chdir:
        description: The directory to run in.
        type: path
        required: true
      venv:
        description: The virtual environment whose programs come first on C(PATH).
        type: path
      environment:
        description: The environment to run with.
        type: dict
        default: {}
      commands:
        description: The commands, each a list of arguments.
        type: list
        elements: list
        required: true
  changed:
    description: Services whose code or virtual environment changes in this run. In check mode nothing on the target tells.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Prepare the services
  gantry.webstack.webapp_commands:
    services: "{{ webstack_services | gantry.webstack.complete | gantry.webstack.commands }}"
"""

RETURN = r"""
prepared:
  description: Names of the services whose commands were run, or would be.
  returned: success
  type: list
  elements: str
  sample: [shop]
output:
  description: What the commands printed, by service.
  returned: when something was run
  type: dict
  sample: {"shop": ["No migrations to apply.\n"]}
service:
  description: The service whose command failed.
  returned: when a command fails
  type: str
  sample: shop
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gantry.webstack.plugins.module_utils.install._webapp_commands import WebappCommands


def main() -> None:
    service = {
        "name": {"type": "str", "required": True},
        "user": {"type": "str", "required": True},
        "group": {"type": "str", "required": True},
        "chdir": {"type": "path", "required": True},
        "venv": {"type": "path"},
        "environment": {"type": "dict", "default": {}},
        "commands": {"type": "list", "elements": "list", "required": True},
    }
    spec = {
        "services": {"type": "list", "elements": "dict", "required": True, "options": service},
        "changed": {"type": "list", "elements": "str", "default": []},
    }
    WebappCommands(AnsibleModule(argument_spec=spec, supports_check_mode=True)).execute()


if __name__ == "__main__":
    main()
