#!/bin/sh
# A script that builds, as many trees have one: the go command in it gets what its RUN has mounted.
set -eu
exec go build -o "$1" ./cmd/api
