#!/bin/sh
# What cargo calls in place of rustc for the packages of this workspace, so that `cargo xtask
# coverage` can tell which of their lines are reached.
exec "$@" -C instrument-coverage
