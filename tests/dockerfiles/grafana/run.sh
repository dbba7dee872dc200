#!/bin/sh
exec grafana "$@"
