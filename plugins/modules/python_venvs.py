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
  - Takes the whole list of virtual environments in one call. One that is missing, or is not what its requirements say, is built anew beside what is
    there, and put in its place in one step, so that distributions that are not in the requirements are gone, and a build that fails, or is killed,
    or fills the disk leaves the former environment as it was.
  - Nothing is resolved or downloaded while a lock is the same as last time and nobody has changed the distributions since, by hand or otherwise.
  - Requirements with hashes are installed in pip's hash-checking mode, and then list all there may be.
  - Every interpreter is looked for before anything is touched; one that is not there fails with what is available.
  - An environment is also built anew when its interpreter is another one, or another minor version.
  - Indexes and their credentials reach pip and uv in their environment, never on a command line, and are hidden in every message.
  - The environment of a service whose journal says that it runs in a container is left alone, unless O(deploy=true).
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
      origin:
        description: V(package) takes the distribution's interpreters only, V(tree) those that M(gantry.webstack.python_trees) has unpacked.
        type: str
        choices: [package, tree]
      system_site_packages:
        description: Whether its Python sees the distributions of the system. What the requirements list is installed all the same.
        type: bool
        default: false
      index_url:
        description: The package index, in place of the one that the host's pip is set to. It may hold credentials.
        type: str
      extra_index_urls:
        description: Further indexes. They may hold credentials.
        type: list
        elements: str
      wheel_dir:
        description: A directory with wheels to install from, on the control node unless O(wheel_dir_on_target). Wheels that the requirements cannot want are
          not sent; none are while nothing changes.
        type: str
      no_index:
        description: Ask no index at all, for this environment.
        type: bool
      wheel_pack_dir:
        description: Where in O(wheel_pack) its wheels are. The control node's half sets it.
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
  uv:
    description: Where uv is. Without it C(PATH) and C(/usr/local/bin) are searched.
    type: path
  index_url:
    description: The package index, in place of the one that the host's pip is set to. It may hold credentials.
    type: str
  extra_index_urls:
    description: Further indexes. They may hold credentials.
    type: list
    elements: str
  wheel_dir:
    description: A directory with wheels to install from, on the control node unless O(wheel_dir_on_target). Wheels that the requirements cannot want are
      not sent; none are while nothing changes.
    type: str
  no_index:
    description: Ask no index at all.
    type: bool
  trees:
    description: The trees that M(gantry.webstack.python_trees) is given. In check mode those that it would unpack count as there.
    type: list
    elements: dict
    default: []
  wheel_dir_on_target:
    description: Whether the directories with wheels are on the target.
    type: bool
    default: false
  deploy:
    description: Whether environments of services that run in containers are made too, for the image of their next release.
    type: bool
    default: false
    version_added: 0.2.0
  wheel_pack:
    description: The wheels that were sent. The control node's half sets it.
    type: path
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

- name: Have one from wheels beside the playbook, without any index
  gantry.webstack.python_venvs:
    no_index: true
    wheel_dir: files/wheels
    venvs:
      - name: shop
        path: /srv/shop/venv
        requirements_file: files/requirements.txt
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

from ansible_collections.gantry.webstack.plugins.module_utils.install._python_venvs import SPEC, PythonVenvs


def main() -> None:
    PythonVenvs(AnsibleModule(argument_spec=SPEC, supports_check_mode=True)).execute()


if __name__ == "__main__":
    main()
