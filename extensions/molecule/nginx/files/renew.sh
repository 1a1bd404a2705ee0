#!/bin/sh
# Makes a new pair for pay.test and leads the links to it, as certbot does.
set -e
live=/etc/letsencrypt/live/pay.test archive=/etc/letsencrypt/archive/pay.test number=$(date +%s%N)
mkdir -p "$live" "$archive"
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=pay.test -addext subjectAltName=DNS:pay.test \
  -keyout "$archive/privkey$number.pem" -out "$archive/fullchain$number.pem" 2>/dev/null
for name in privkey fullchain; do ln -sfn "../../archive/pay.test/$name$number.pem" "$live/$name.pem"; done
