#!/usr/bin/python
# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: evidence_info
short_description: Collect what a host tells about its web services and everything beside them
version_added: 0.1.0
description:
  - Reads nginx's configuration, C(/proc), the configuration of every running uWSGI instance, Python environments, code, crontabs,
    systemd units and dpkg's database, in one go. M(gantry.webstack.discover) makes a plan of it on the control node.
  - It changes nothing on the host. Each application is asked for one page with GET, over its uWSGI socket.
  - Without root it collects what anybody may see, and says so in RV(evidence.blind).
  - Values that look secret never leave the host; they are given by name and place.
extends_documentation_fragment:
  - gantry.webstack._attributes
attributes:
  check_mode:
    support: full
    details: Reads only.
  diff_mode:
    support: none
    details: Nothing is changed, so there is nothing to show.
  idempotent:
    support: full
    details: The same host gives the same evidence.
seealso:
  - module: gantry.webstack.discover
"""

EXAMPLES = r"""
- name: Look at the host
  become: true
  gantry.webstack.evidence_info:
  register: looked
"""

RETURN = r"""
evidence:
  description: What was found.
  returned: success
  type: dict
  contains:
    nginx:
      description: Version, binary, configuration file, user and group of the running nginx, and its whole configuration without secrets; null without nginx.
      type: dict
      returned: success
      sample: {version: 1.22.1, binary: /usr/sbin/nginx, config: /etc/nginx/nginx.conf, user: www-data, group: www-data, text: "..."}
    instances:
      description: One element for each running uWSGI instance that serves, with its options, environment, secrets by place, Python, state and so on.
      type: list
      elements: dict
      returned: success
      sample: [{name: shop}]
    converted:
      description: Definitions of services that run in a container already, from their journals.
      type: list
      elements: dict
      returned: success
      sample: []
    emperors:
      description: Directories that running emperors watch.
      type: list
      elements: str
      returned: success
      sample: [/etc/uwsgi/vassals]
    listeners:
      description: Every listening socket with its process.
      type: list
      elements: dict
      returned: success
      sample: [{address: "0.0.0.0:80", process: nginx, user: root, unit: nginx.service, command: "nginx: master process"}]
    app_servers:
      description:
        - Application servers other than uWSGI (gunicorn, uvicorn, php-fpm and so on), and everything else that listens and is no daemon of a
          package (C(server) is C(process) then), each with its command, user, unit, listeners, code, virtual environment and configuration files.
      type: list
      elements: dict
      returned: success
      sample: [{name: api, server: gunicorn, command: "gunicorn api:app", user: api, unit: api.service, listeners: ["unix:/run/api/gunicorn.sock"]}]
    processes:
      description:
        - Every program that runs, once for each user and unit. Without kernel threads, shells in terminals, the processes that ask, and
          jobs that cron runs at the moment.
      type: list
      elements: dict
      returned: success
      sample: [{program: /usr/sbin/cron, user: root, unit: cron.service, package: cron}]
    units:
      description: Services, sockets and timers of systemd, the host's and its users', that are enabled or run; V(next) is a timer's next time.
      type: list
      elements: dict
      returned: success
      sample: [{name: backup.timer, path: /etc/systemd/system/backup.timer, starts: backup.service, when: "03:00"}]
    managers:
      description: Puppet, Chef, Salt, CFEngine, ansible-pull and unattended-upgrades, with what runs them, when, and what they manage.
      type: list
      elements: dict
      returned: success
      sample: [{name: puppet, runs: [{by: cron, what: /etc/cron.d/puppet, when: "*/30 * * * *"}], manages: {file: [/etc/motd]}}]
    managed:
      description: Files of services, units and nginx whose comments say that a manager writes them.
      type: list
      elements: dict
      returned: success
      sample: [{path: /etc/nginx/sites-enabled/shop, by: ansible}]
    cron:
      description:
        - Lines of crontabs, scripts of the periodic directories, anacron's and at's jobs; C(of) says to whom they were given, C(package) who
          brought them.
      type: list
      elements: dict
      returned: success
      sample: [{kind: cron, source: /etc/cron.d/shop, when: "@daily", user: shop, command: /srv/shop/clean, package: ""}]
    blind:
      description: What could not be read or understood.
      type: list
      elements: str
      returned: success
      sample: []
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gantry.webstack.plugins.module_utils.discover._evidence import EvidenceModule


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    EvidenceModule(module).execute()


if __name__ == "__main__":
    main()
