#!/usr/bin/python
# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: webapps
short_description: Users, directories, code and secrets of all web applications of a host
version_added: 0.1.0
description:
  - Takes the whole list of services in one call and makes what each needs around it. It does not run anything; see M(gantry.webstack.uwsgi_vassals).
  - Code comes from a directory, a git repository or an archive, as the control node sees it. It is compared by content and only sent where it differs.
  - Each state of code and lock is a release in a directory of its own, C(DIR/releases/ID) below the directory of O(services[].code_path). It is
    written beside the one that runs, belongs to root and is not changed any more. M(gantry.webstack.uwsgi_vassals) lets O(services[].code_path), a
    symbolic link, lead to it.
  - O(services[].directories) inside the code are shared by all releases; their real place is C(DIR/shared).
  - A directory that stands at O(services[].code_path) already becomes the first release, in one step and with its state.
  - Secret files are C(0400) and owned by the service's user. Their values appear in no log and no diff.
  - tmpfiles.d lines of services that are no longer in the list are removed; users, code, directories and secrets stay.
  - Of a service whose journal says that it runs in a container, code and socket directory are left alone.
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
        description: A directory on the control node, absolute or relative to the current directory or the playbook's.
        type: str
      code_git:
        description: A git repository that the control node can read, and what of it is wanted.
        type: dict
        suboptions:
          repo:
            description: Its URL or path.
            type: str
            required: true
          version:
            description: A branch, a tag or a commit.
            type: str
            default: HEAD
          subdirectory:
            description: The directory of the repository that is the code.
            type: str
          submodules:
            description: Whether its submodules belong to the code.
            type: bool
            default: false
      code_archive:
        description: A tar or zip archive on the control node, or one that it downloads.
        type: dict
        suboptions:
          path:
            description: A file on the control node.
            type: str
          url:
            description: Where to download it from.
            type: str
          sha256:
            description: Its checksum. An archive with another one is refused.
            type: str
            required: true
          strip:
            description: How many leading directories to leave off.
            type: int
            default: 0
      code_digest:
        description: Set by the action plugin.
        type: str
      code_pack:
        description: Set by the action plugin.
        type: path
      code_note:
        description: Set by the action plugin.
        type: str
      requirements_file:
        description: The lock of its environment on the control node.
        type: str
      lock_digest:
        description: The digest of that lock. Set by the action plugin; of nothing for an environment without a lock.
        type: str
      interpreter:
        description: The Python of its environment.
        type: path
      system_site_packages:
        description: Whether its environment sees the distributions of the system.
        type: bool
        default: false
      version:
        description: The Python version of its environment.
        type: str
      origin:
        description: Whether the interpreter of its environment must be the distribution's or from a tree.
        type: str
        choices: [package, tree]
      venv:
        description: Where its virtual environment is found, a link to that of the release unless it is inside the code.
        type: path
      keep:
        description: How many releases are kept beside the one that runs.
        type: int
        default: 3
      release:
        description: A kept release to go to, by its ID, or V(previous) for the one that served before; the source is not looked at then.
        type: str
      static:
        description: Directories for static files that the service's commands write.
        type: list
        elements: path
        default: []
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
      commands:
        description: The service's entry of O(gantry.webstack.webapp_commands#module:services), to tell in RV(due) whether they have to be run.
        type: dict
      secret_environment:
        description: Names of the secrets in O(secrets) that are environment variables. They go to C(/etc/webstack/secrets/NAME.ini).
        type: list
        elements: str
        default: []
      secret_units:
        description: Whether systemd units need them too, in C(/etc/webstack/secrets/NAME.env).
        type: bool
        default: false
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
  deploy:
    description: Also bring releases of services that run in containers, where M(gantry.webstack.deployment) takes them up; they are left alone otherwise.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Have everything that the services need
  gantry.webstack.webapps:
    services: "{{ webstack_services | gantry.webstack.complete | gantry.webstack.webapps }}"
    secrets: "{{ webstack_secrets }}"
"""

RETURN = r"""
code:
  description: Names of the services that get another release.
  returned: success
  type: list
  elements: str
  sample: [shop]
due:
  description: Names of the services with commands that have not been run for their release.
  returned: success
  type: list
  elements: str
  sample: [shop]
staged:
  description: The release that each service shall have, and where it lies, by service.
  returned: success
  type: dict
  sample: {"shop": {"release": "4f1c09ab77de", "path": "/srv/shop/releases/4f1c09ab77de", "former": "09ab77de4f1c"}}
releases:
  description: The releases that each service has on the host, the one that was taken up last first.
  returned: success
  type: dict
  sample: {"shop": [{"id": "4f1c09ab77de", "current": true, "served": 1764000000.0, "source": "git v2 0a1b2c3d4e5f"}]}
contained:
  description: Names of the services that run in a container.
  returned: success
  type: list
  elements: str
  sample: []
units:
  description: Units and crontabs of services of ours that are on the host; what no service wants any more is among them.
  returned: success
  type: list
  elements: str
  sample: [/etc/systemd/system/webstack-shop-mails.service]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gantry.webstack.plugins.module_utils.install._webapps import SPEC, Webapps


def main() -> None:
    Webapps(AnsibleModule(argument_spec=SPEC, supports_check_mode=True)).execute()


if __name__ == "__main__":
    main()
