#!/usr/bin/python
# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: webapps
short_description: Users, directories, code, secrets and crontabs of all web applications of a host
version_added: 0.1.0
description:
  - Takes the whole list of services in one call and makes what each needs around it. It does not run anything; see M(gantry.webstack.uwsgi_vassals).
  - Code comes from a directory on the control node. It is compared by content and only sent where it differs. Files that are not in the source are
    removed, except below the service's own O(services[].directories) and O(services[].venv). Code belongs to root.
  - Secret files are C(0400) and owned by the service's user. Their values appear in no log and no diff.
  - Crontabs and tmpfiles.d lines of services that are no longer in the list are removed; users, code, directories and secrets stay.
  - Of a service whose journal says that it runs in a container, code, crontab and socket directory are left alone.
extends_documentation_fragment:
  - gantry.webstack._attributes
  - gantry.webstack._attributes.action
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Of code it names the files that differ; values of secrets are left out.
  idempotent:
    support: full
  action:
    support: full
options:
  services:
    description: All services. P(gantry.webstack.webapps#filter) makes the list from service definitions.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the service.
        type: str
        required: true
      user:
        description: The user it runs as. What is missing is made as a system account; ids that are there already are never changed.
        type: dict
        required: true
        suboptions:
          name:
            description: Name of the user.
            type: str
            required: true
          uid:
            description: Its id; any that is free unless given.
            type: int
          group:
            description: Its group, the user's name unless given.
            type: str
          gid:
            description: The group's id; any that is free unless given.
            type: int
      code_path:
        description: Where its code stands on the host.
        type: path
        required: true
      code_source:
        description: A directory on the control node, absolute or relative to the current directory or the playbook's. Left out, only the directory is made.
        type: str
      code_digest:
        description: Set by the action plugin.
        type: str
      code_pack:
        description: Set by the action plugin.
        type: path
      venv:
        description: Its virtual environment, which is left alone when it lies inside the code.
        type: path
      directories:
        description: Directories that the service writes to.
        type: list
        elements: dict
        default: []
        suboptions:
          path:
            description: The directory. A file that is there in its place is left alone.
            type: path
            required: true
          mode:
            description: Its mode in octal.
            type: str
            default: "0750"
      secret_files:
        description: Files that hold a secret.
        type: list
        elements: dict
        default: []
        suboptions:
          name:
            description: Name of the secret in O(secrets).
            type: str
            required: true
          path:
            description: The file.
            type: path
            required: true
      environment:
        description: Environment of its scheduled jobs.
        type: dict
        default: {}
      schedule:
        description: Its scheduled jobs, which become C(/etc/cron.d/webstack-NAME).
        type: list
        elements: dict
        default: []
        suboptions:
          when:
            description: Five cron fields, or C(@daily) and the like.
            type: str
            required: true
          user:
            description: The user that runs it.
            type: str
            required: true
          command:
            description: The command.
            type: str
            required: true
      socket_dir:
        description: The directory of its UNIX socket, made now and at boot, with the mode C(2750).
        type: path
  secrets:
    description: Values of the secrets, a dictionary of dictionaries by service and secret.
    type: dict
    default: {}
  socket_group:
    description: The group that may connect to the sockets, nginx's.
    type: str
    default: www-data
"""

EXAMPLES = r"""
- name: Have everything that the services need
  gantry.webstack.webapps:
    services: "{{ webstack_services | gantry.webstack.complete | gantry.webstack.webapps }}"
    secrets: "{{ webstack_secrets }}"
"""

RETURN = r"""
code:
  description: Names of the services whose code was changed, or would be.
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

from ansible_collections.gantry.webstack.plugins.module_utils.install._webapps import Webapps


def main() -> None:
    required = {"type": "str", "required": True}
    user = {"name": required, "uid": {"type": "int"}, "group": {"type": "str"}, "gid": {"type": "int"}}
    path = {"type": "path", "required": True}
    service = {
        "name": required,
        "user": {"type": "dict", "required": True, "options": user},
        "code_path": path,
        "code_source": {"type": "str"},
        "code_digest": {"type": "str"},
        "code_pack": {"type": "path"},
        "venv": {"type": "path"},
        "directories": {"type": "list", "elements": "dict", "default": [], "options": {"path": path, "mode": {"type": "str", "default": "0750"}}},
        "secret_files": {"type": "list", "elements": "dict", "default": [], "no_log": False, "options": {"name": required, "path": path}},
        "environment": {"type": "dict", "default": {}},
        "schedule": {"type": "list", "elements": "dict", "default": [], "options": {"when": required, "user": required, "command": required}},
        "socket_dir": {"type": "path"},
    }
    spec = {
        "services": {"type": "list", "elements": "dict", "required": True, "options": service},
        "secrets": {"type": "dict", "default": {}, "no_log": True},
        "socket_group": {"type": "str", "default": "www-data"},
    }
    Webapps(AnsibleModule(argument_spec=spec, supports_check_mode=True)).execute()


if __name__ == "__main__":
    main()
