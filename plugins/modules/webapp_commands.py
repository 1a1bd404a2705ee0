#!/usr/bin/python
# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: webapp_commands
short_description: Commands that check, migrate for and prepare the new releases of web applications
version_added: 0.1.0
description:
  - Runs each service's commands as the service's user, with its environment and secrets, in the directory of the release that
    M(gantry.webstack.webapps) has put beside the one that runs. Where they name the code's path or the virtual environment, those of the release are meant.
  - They run when the commands, the environment, the release or its virtual environment (as M(gantry.webstack.python_venvs) left it) differ from
    those of the last run that succeeded; migrations when they or the origin of the release do.
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
        description: The path of its code.
        type: path
        required: true
      venv:
        description: The virtual environment whose programs come first on C(PATH).
        type: path
      environment:
        description: The environment to run with.
        type: dict
        default: {}
      check:
        description: Commands, each a list of arguments, that must succeed before anything else is done with a release.
        type: list
        elements: list
        default: []
      migrate:
        description: Commands that change what all hosts share, such as a database's schema.
        type: list
        elements: list
        default: []
      migrated_by:
        description: The host that has run O(services[].migrate) for this one.
        type: str
      postponed:
        description: Kinds of commands that are not run now. RV(todo) tells whether they will have to be.
        type: list
        elements: str
        choices: [migrate, prepare]
        default: []
      prepare:
        description: Commands that make what the host needs of a release, such as collected static files.
        type: list
        elements: list
        default: []
      origin:
        description: The digest of code and lock that the release was made of.
        type: str
  changed:
    description: Services whose code or virtual environment changes in this run. In check mode nothing on the target tells.
    type: list
    elements: str
    default: []
  deploy:
    description: Also run the commands of services that run in containers; see O(gantry.webstack.webapps#module:deploy).
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Prepare the services
  gantry.webstack.webapp_commands:
    services: "{{ webstack_services | gantry.webstack.complete | gantry.webstack.commands }}"
"""

RETURN = r"""
check:
  description: Names of the services whose checks were run, or would be.
  returned: success
  type: list
  elements: str
  sample: [shop]
migrate:
  description: Names of the services whose migrations were run, or would be.
  returned: success
  type: list
  elements: str
  sample: [shop]
prepare:
  description: Names of the services whose releases were prepared, or would be.
  returned: success
  type: list
  elements: str
  sample: [shop]
todo:
  description: Names of the services with commands that are postponed and will have to be run.
  returned: success
  type: list
  elements: str
  sample: []
migrated:
  description: What the migrations of each service have been run for, now or before.
  returned: success
  type: dict
  sample: {"shop": "4f1c09ab77de"}
output:
  description: What the commands printed, by service.
  returned: success
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
    commands = {"type": "list", "elements": "list", "default": []}
    service = {
        "name": {"type": "str", "required": True},
        "user": {"type": "str", "required": True},
        "group": {"type": "str", "required": True},
        "chdir": {"type": "path", "required": True},
        "venv": {"type": "path"},
        "environment": {"type": "dict", "default": {}},
        "check": commands,
        "migrate": commands,
        "migrated_by": {"type": "str"},
        "prepare": commands,
        "postponed": {"type": "list", "elements": "str", "choices": ["migrate", "prepare"], "default": []},
        "origin": {"type": "str"},
    }
    spec = {
        "services": {"type": "list", "elements": "dict", "required": True, "options": service},
        "changed": {"type": "list", "elements": "str", "default": []},
        "deploy": {"type": "bool", "default": False},
    }
    WebappCommands(AnsibleModule(argument_spec=spec, supports_check_mode=True)).execute()


if __name__ == "__main__":
    main()
