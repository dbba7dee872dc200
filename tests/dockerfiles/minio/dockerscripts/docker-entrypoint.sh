#!/bin/sh
[ "${1}" != "minio" ] && [ -n "${1}" ] && set -- minio "$@"
exec "$@"
