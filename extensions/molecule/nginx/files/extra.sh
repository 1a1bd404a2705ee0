#!/bin/sh
# Raw text of the events and main levels at work: what one client asks is logged in detail, and nginx reads what stands at the main level.
set -e
curl -s --interface 127.0.0.2 -H 'Host: raw.test' http://127.0.0.1/ >/dev/null
grep -q '\[debug\]' /var/log/nginx/error.log
nginx -T 2>/dev/null | grep -qx 'env NGINX_TRIAL;'
