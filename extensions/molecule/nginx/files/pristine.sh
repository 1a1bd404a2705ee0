#!/bin/sh
# nginx.conf is as its package made it, and so is the link to its welcome page.
set -e
test "$(readlink /etc/nginx/sites-enabled/default)" = /etc/nginx/sites-available/default
test "$(md5sum </etc/nginx/nginx.conf | cut -c1-32)" = "$(dpkg-query -W -f='${Conffiles}\n' | awk '$1 == "/etc/nginx/nginx.conf" { print $2; exit }')"
