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
  - When nginx runs an older configuration than the one on disk, because somebody's reload failed, it is reloaded; so it is when a certificate, key
    or included file has been renewed since, wherever it lies. A file of others that nginx refuses is named with its line, and the running nginx
    is left alone.
  - The welcome page of Debian's package yields to a site that is the default server of port 80, and comes back when there is none any more, unless
    somebody has edited it.
  - Password files, self-signed pairs, settings of the http level, settings in C(nginx.conf) and logrotate's configuration belong to the same
    transaction. A directive of C(nginx.conf) that a setting replaces is set aside in a comment there, and comes back when the setting goes.
extends_documentation_fragment:
  - gantry.webstack._attributes
  - gantry.webstack._attributes.action
attributes:
  action:
    support: full
  check_mode:
    support: full
    details: Where nginx is installed, the configuration is tested in check mode too, in a mount namespace in which nothing is written that stays.
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
      certificates:
        description: Self-signed pairs to make, in C(/etc/nginx/webstack/NAME.crt) and C(NAME.key) (mode 0600).
        type: list
        elements: dict
        default: []
        suboptions:
          name:
            description: Name of the pair.
            type: str
            required: true
          names:
            description: Host names or addresses in it.
            type: list
            elements: str
            required: true
      users:
        description: Lines of password files (mode 0640, group of nginx's workers).
        type: list
        elements: dict
        default: []
        suboptions:
          file:
            description: The password file, in C(/etc/nginx/webstack).
            type: path
            required: true
          name:
            description: The user.
            type: str
            required: true
          password:
            description: The password; it is hashed on the host (SHA-512), and a hash that fits it already is kept.
            type: str
          hash:
            description: The hash instead.
            type: str
      logs:
        description: Logs that no package rotates; their directories are made, and logrotate is told of them.
        type: list
        elements: path
        default: []
  settings:
    description: What stands beside the sites. P(gantry.webstack.nginx_settings#filter) makes it.
    type: dict
    suboptions:
      http:
        description: Text for the http level, read before all sites.
        type: str
        default: ""
      http_names:
        description: Directives of the main configuration file's http level that are set aside for it.
        type: list
        elements: str
        default: []
      main:
        description: Directives for the main level of the main configuration file.
        type: list
        elements: str
        default: []
      events:
        description: Directives for its C(events) block.
        type: list
        elements: str
        default: []
      main_extra:
        description: Raw text for the main level, after the C(events) block.
        type: str
        default: ""
      events_extra:
        description: Raw text for the C(events) block.
        type: str
        default: ""
  logrotate:
    description: How the sites' logs are rotated.
    type: dict
    suboptions:
      frequency:
        description: How often.
        type: str
        choices: [hourly, daily, weekly, monthly]
        default: daily
      keep:
        description: How many old ones are kept.
        type: int
        default: 14
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
files:
  description: Other files that were added, changed or removed.
  returned: success
  type: list
  elements: str
  sample: [/etc/nginx/webstack/shop-0.htpasswd]
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

from ansible_collections.gantry.webstack.plugins.module_utils.install._nginx_sites import SPEC, NginxSites


def main() -> None:
    NginxSites(AnsibleModule(argument_spec=SPEC, supports_check_mode=True)).execute()


if __name__ == "__main__":
    main()
