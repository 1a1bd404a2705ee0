#!/bin/sh
# What nginx's processes and files are like, and that logrotate rotates the sites' logs without losing a line.
set -e
test "$(pgrep -c -f '^nginx: worker process *$')" = 2
test "$(stat -c '%a %U:%G' /etc/nginx/webstack/shop-0.key)" = '600 root:root'
test "$(stat -c '%a %U:%G' /etc/nginx/webstack/admin-0.htpasswd)" = '640 root:www-data'
! grep -q 'from the vault' -r /etc/nginx
grep -q '^shop.test 200 "GET / ' /var/log/sites/shop.log /var/log/sites/shop.log.1 2>/dev/null
logrotate -d /etc/logrotate.d/webstack-nginx 2>&1 | grep -q 'rotating pattern'
! logrotate -d /etc/logrotate.d/webstack-nginx 2>&1 | grep -i error
logrotate -f /etc/logrotate.d/webstack-nginx
sleep 0.5
curl -sk --resolve shop.test:443:127.0.0.1 https://shop.test/who -A after >/dev/null
sleep 0.2
grep -q '"GET /who' /var/log/sites/shop.log
