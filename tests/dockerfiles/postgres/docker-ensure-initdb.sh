#!/bin/sh
echo "$0" "$PGDATA"
