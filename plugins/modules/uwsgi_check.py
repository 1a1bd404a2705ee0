#!/usr/bin/python
# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: uwsgi_check
short_description: Refuse services that this host's uWSGI cannot run, before anything is touched
version_added: 0.2.0
description:
  - Holds the uWSGI options of services against what the installed uWSGI knows with the plugins that the service loads (C(uwsgi --help)).
  - Refuses a text for an option that takes no value, and anything but a number where uWSGI reads a number; uWSGI itself would take C(many) for 0.
  - Refuses a Python plugin that is built for another Python than the service's.
extends_documentation_fragment:
  - gantry.webstack._attributes
  - gantry.webstack._attributes.action
attributes:
  action:
    support: full
  check_mode:
    support: full
    details: Reads only.
  diff_mode:
    support: none
    details: Nothing is changed, so there is nothing to show.
  idempotent:
    support: full
options:
  services:
    description: The services. P(gantry.webstack.uwsgi_checks#filter) makes the list from service definitions.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the service.
        type: str
        required: true
      options:
        description: Its uWSGI options.
        type: dict
        required: true
      binary:
        description: The uWSGI program that runs it, when it is not O(binary).
        type: path
      python_version:
        description: The Python version that its definition wants.
        type: str
      interpreter:
        description: The interpreter that its definition wants.
        type: path
      venv:
        description: Its virtual environment.
        type: path
        required: true
  binary:
    description: The uWSGI program of services that name none. What is not there yet is not checked.
    type: path
    default: /usr/bin/uwsgi
"""

EXAMPLES = r"""
- name: Check that uWSGI can run the services
  gantry.webstack.uwsgi_check:
    services: "{{ webstack_services | gantry.webstack.complete | gantry.webstack.uwsgi_checks }}"
"""

RETURN = r""" # """

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gantry.webstack.plugins.module_utils.install._uwsgi_binary import SPEC, UwsgiCheck


def main() -> None:
    UwsgiCheck(AnsibleModule(argument_spec=SPEC, supports_check_mode=True)).execute()


if __name__ == "__main__":
    main()
