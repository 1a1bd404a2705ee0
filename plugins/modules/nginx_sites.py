#!/usr/bin/python
# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nginx_sites
short_description: All nginx sites of a host as one transaction
version_added: 0.1.0
description:
  - Takes the whole list of sites in one call and makes one file of each in a directory that nginx includes.
  - The files carry a mark; marked files that are not in the list are removed, files of others are never touched.
  - The configuration is tested as it will stand before anything is moved, then moved, nginx is reloaded, and the reload is proven by new
    worker processes. If any of that fails, everything is put back, new files are removed, and the message names the site and nginx's complaint.
  - When nginx runs an older configuration than the one on disk, because somebody's reload failed, it is reloaded.
extends_documentation_fragment:
  - gantry.webstack._attributes
attributes:
  check_mode:
    support: partial
    details: What nginx thinks of the configuration is only known in a real run, since C(nginx -t) makes log files.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  sites:
    description: All sites that shall be there.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the site; its file is C(webstack-NAME.conf).
        type: str
        required: true
      content:
        description: The configuration, one or more C(server) blocks. P(gantry.webstack.sites#filter) makes it from service definitions.
        type: str
        required: true
  directory:
    description: The directory for the files; O(config) must include its C(*.conf) in the C(http) block, as Debian's and nginx.org's packages do.
    type: path
    default: /etc/nginx/conf.d
  config:
    description: The main configuration file.
    type: path
    default: /etc/nginx/nginx.conf
  binary:
    description: The nginx program.
    type: str
    default: nginx
  unit:
    description: The systemd unit of nginx. It is started and enabled when it does not run.
    type: str
    default: nginx.service
  timeout:
    description: Seconds that a reload may take until new workers run.
    type: float
    default: 10
"""

EXAMPLES = r"""
- name: Serve the sites
  gantry.webstack.nginx_sites:
    sites:
      - name: hello
        content: |
          server {
              listen 80;
              server_name hello.test;
              return 200 "hello";
          }
"""

RETURN = r"""
sites:
  description: Names of the sites that were added or changed.
  returned: success
  type: list
  elements: str
  sample: [shop]
removed:
  description: Names of the sites that were removed.
  returned: success
  type: list
  elements: str
  sample: []
reloaded:
  description: Whether nginx was reloaded.
  returned: success
  type: bool
  sample: true
started:
  description: Whether nginx was started.
  returned: success
  type: bool
  sample: false
site:
  description: The site that nginx refuses.
  returned: when nginx refuses a site
  type: str
  sample: shop
stderr:
  description: What nginx said.
  returned: when nginx refuses the configuration
  type: str
  sample: "nginx: [emerg] unknown directive \"lisen\" in /etc/nginx/conf.d/webstack-shop.conf:4"
put_back:
  description: Files that were put back as they were, or removed again.
  returned: when something fails after files were moved
  type: list
  elements: str
  sample: [/etc/nginx/conf.d/webstack-shop.conf]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gantry.webstack.plugins.module_utils.install._nginx_sites import NginxSites


def main() -> None:
    site = {"name": {"type": "str", "required": True}, "content": {"type": "str", "required": True}}
    spec = {
        "sites": {"type": "list", "elements": "dict", "required": True, "options": site},
        "directory": {"type": "path", "default": "/etc/nginx/conf.d"},
        "config": {"type": "path", "default": "/etc/nginx/nginx.conf"},
        "binary": {"type": "str", "default": "nginx"},
        "unit": {"type": "str", "default": "nginx.service"},
        "timeout": {"type": "float", "default": 10},
    }
    NginxSites(AnsibleModule(argument_spec=spec, supports_check_mode=True)).execute()


if __name__ == "__main__":
    main()
