#!/bin/sh
set -e
for f in $(find /docker-entrypoint.d/ -follow -type f | sort); do
  case "$f" in
    *.envsh) . "$f" ;;
    *.sh) "$f" ;;
  esac
done
exec "$@"
