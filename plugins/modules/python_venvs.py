#!/usr/bin/python
# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: python_venvs
short_description: All Python virtual environments of a host, each exactly what its lock says
version_added: 0.1.0
description:
  - Takes the whole list of virtual environments in one call, makes those that are missing, installs their requirements and removes distributions
    that the requirements neither list nor need.
  - Nothing is resolved or downloaded while a lock is the same as last time and nobody has changed the distributions since.
  - Requirements with hashes are installed in pip's hash-checking mode, and then list all there may be.
  - Every interpreter is looked for before anything is touched; one that is not there fails with what is available.
  - An environment whose Python no longer is the interpreter's minor version is made anew.
  - The environment of a service whose journal says that it runs in a container is left alone.
extends_documentation_fragment:
  - gantry.webstack._attributes
  - gantry.webstack._attributes.action
attributes:
  check_mode:
    support: partial
    details: For requirements without hashes, the distributions that they need in turn are only known in a real run.
  diff_mode:
    support: full
  idempotent:
    support: full
  action:
    support: full
options:
  venvs:
    description: All virtual environments. P(gantry.webstack.venvs#filter) makes the list from service definitions.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the service.
        type: str
        required: true
      path:
        description: The environment's directory.
        type: path
        required: true
      base:
        description: The virtual environment that this one takes the place of, where it is another directory. What changes is told in comparison with it.
        type: path
      requirements:
        description: The text of the requirements. One of this and O(venvs[].requirements_file) is required.
        type: str
      requirements_file:
        description: A requirements file on the control node, absolute or relative to the current directory or the playbook's.
        type: str
      interpreter:
        description: The Python to make it with.
        type: path
      version:
        description: The Python version that is wanted, as in V(3.11) or V(3.11.2). Without it and O(venvs[].interpreter) C(/usr/bin/python3) is taken.
        type: str
      owner:
        description: Who owns it. A service cannot change its own code when that is root.
        type: str
        default: root
  installer:
    description: What installs. V(auto) takes uv where the host has it, pip otherwise.
    type: str
    choices: [auto, pip, uv]
    default: auto
"""

EXAMPLES = r"""
- name: Have the services' virtual environments
  gantry.webstack.python_venvs:
    venvs: "{{ webstack_services | gantry.webstack.complete | gantry.webstack.venvs }}"

- name: Have one that is told here
  gantry.webstack.python_venvs:
    venvs:
      - name: shop
        path: /srv/shop/venv
        version: "3.11"
        requirements: |
          itsdangerous==2.2.0
"""

RETURN = r"""
changed_venvs:
  description: Names of the services whose environments were changed, or would be.
  returned: success
  type: list
  elements: str
  sample: [shop]
contained:
  description: Names of the services that run in a container.
  returned: success
  type: list
  elements: str
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gantry.webstack.plugins.module_utils.install._python_venvs import PythonVenvs


def main() -> None:
    venv = {
        "name": {"type": "str", "required": True},
        "path": {"type": "path", "required": True},
        "base": {"type": "path"},
        "requirements": {"type": "str"},
        "requirements_file": {"type": "str"},
        "interpreter": {"type": "path"},
        "version": {"type": "str"},
        "owner": {"type": "str", "default": "root"},
    }
    checks = {"mutually_exclusive": [("requirements", "requirements_file")], "required_one_of": [("requirements", "requirements_file")]}
    spec = {
        "venvs": {"type": "list", "elements": "dict", "required": True, "options": venv, **checks},
        "installer": {"type": "str", "choices": ["auto", "pip", "uv"], "default": "auto"},
    }
    PythonVenvs(AnsibleModule(argument_spec=spec, supports_check_mode=True)).execute()


if __name__ == "__main__":
    main()
