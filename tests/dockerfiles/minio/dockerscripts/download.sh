#!/bin/sh
echo "static for $TARGETARCH" | cut -c1-10 > /build/static
