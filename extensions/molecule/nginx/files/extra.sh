#!/bin/sh
# Raw text of the events and main levels at work: workers wait by poll(2), not epoll(7), and nginx reads what stands at the main level.
set -e
for worker in $(pgrep -f '^nginx: worker process *$'); do
  ls -l "/proc/$worker/fd" >/run/nginx-fds
  if grep -q eventpoll /run/nginx-fds; then exit 1; fi
done
nginx -T 2>/dev/null | grep -qx 'env NGINX_TRIAL;'
