#!/bin/sh
# Stands for both binaries in a test of the benchmarks: answers where it is called as the manuals
# have it, and nowhere else.
case "$*" in
"serve --json --data-dir "*) echo '{"url":"http://127.0.0.1:9"}'; exec sleep 60 ;;
"token --data-dir "*" --user bench@example.org --create") echo secret ;;
"shares --json") echo '{"shares":[{"id":"shr_1"}],"total":1}' ;;
"put a b --json")
    [ "$SCAIDRIVE_TOKEN$SCAIDRIVE_URL" = secrethttp://127.0.0.1:9 ] || exit 3
    echo '{"sent_bytes":5,"received_bytes":7}' ;;
*) echo "unexpected: $*" >&2; exit 2 ;;
esac
