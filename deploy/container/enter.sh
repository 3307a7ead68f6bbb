#!/bin/sh
# Makes the data directory a node's, once. On a node's data it changes nothing, so that it may run
# before every start.
#
#   scaidrive-enter          enters a cluster, and ends
#   scaidrive-enter COMMAND  enters, and becomes the command
#
# A join token in ENTER_TOKEN_FILE says that there is a cluster: then it joins, by the addresses in
# ENTER_VIA (host:port, with spaces between). Without one it founds a cluster where ENTER_FOUND is
# yes, and waits for a token everywhere else. So a founder that lost its data joins as any other
# node does, and does not found a second cluster.
set -eu

conflict=5 # the exit code for a data directory that is a node's already
token_file=${ENTER_TOKEN_FILE:-/join/token}

# Asked of `join` with a token that is none: it looks at the data directory first.
is_a_node() {
  code=0
  SCAIDRIVE_JOIN_TOKEN=none scaidrived join --via nobody:1 >/dev/null 2>&1 || code=$?
  [ "$code" = "$conflict" ]
}

join() {
  set --
  for address in ${ENTER_VIA:-}; do
    set -- "$@" --via "$address"
  done
  # The token in the environment, since everybody may read the arguments of a process.
  SCAIDRIVE_JOIN_TOKEN=$(cat "$token_file") scaidrived join "$@"
}

said_so=
until is_a_node; do
  if [ -s "$token_file" ]; then
    join
  elif [ "${ENTER_FOUND:-no}" = yes ]; then
    # What it prints is secret: the password stays in the file first-sign-in.
    scaidrived init >/dev/null
  else
    [ -n "$said_so" ] || echo "waiting for a join token in $token_file" >&2
    said_so=yes
    sleep 2
  fi
done
[ $# -eq 0 ] || exec "$@"
