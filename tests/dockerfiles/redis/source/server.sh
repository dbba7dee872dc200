#!/bin/sh
echo "server $*" in "$PWD"
