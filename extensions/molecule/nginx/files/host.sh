#!/bin/sh
# What nginx's processes and files are like, and that logrotate rotates the sites' logs without losing a line.
set -e
none() { if "$@"; then exit 1; fi; }  # the shell goes on after a ! that fails
test "$(pgrep -c -f '^nginx: worker process *$')" = 2
for worker in $(pgrep -f '^nginx: worker process *$'); do test "$(ps -o ni= -p "$worker" | tr -d ' ')" = 5; done
nginx -T 2>/dev/null | grep -qx '    multi_accept on;'
test ! -L /etc/nginx/sites-enabled/default
test "$(stat -c '%a %U:%G' /etc/nginx/webstack/shop-0.key)" = '600 root:root'
test "$(stat -c '%a %U:%G' /etc/nginx/webstack/admin-0.htpasswd)" = '640 root:www-data'
none grep -q 'from the vault' -r /etc/nginx
grep -q '^shop.test 200 "GET / ' /var/log/sites/shop.log /var/log/sites/shop.log.1 2>/dev/null
grep -q 'GET / ' /var/log/nginx/access.log  # of the site admin, which says nothing of a log
none grep -q '/cart/7' /var/log/nginx/access.log  # the site orders wants none
grep -q 'connect() to unix:/run/nowhere.sock failed' /var/log/sites/orders.error.log
logrotate -d /etc/logrotate.d/webstack-nginx 2>&1 | grep -q 'rotating pattern'
logrotate -f /etc/logrotate.d/webstack-nginx
if logrotate -d /etc/logrotate.d/webstack-nginx 2>&1 | grep -i 'error:'; then exit 1; fi
sleep 0.5
curl -sk --resolve shop.test:443:127.0.0.1 https://shop.test/who -A after >/dev/null
sleep 0.2
grep -q '"GET /who' /var/log/sites/shop.log
