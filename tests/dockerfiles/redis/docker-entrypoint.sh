#!/bin/sh
set -e
# An option alone is one of the server's.
if [ "${1#-}" != "$1" ]; then
	set -- redis-server "$@"
fi
exec "$@"
