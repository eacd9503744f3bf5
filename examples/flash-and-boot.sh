#!/bin/sh
# Flashes an image onto a board, boots it, and checks on the board's own console that it runs what was flashed.
#
#   jmp shell --exporter-config examples/board.yaml -- examples/flash-and-boot.sh [IMAGE]
#
# TIMEOUT is how long the board may take for each thing it has to say; 30s if it is not set.
# Every step that fails ends the script with a message and a code that is not 0; the board is switched off in any case.
set -eu

patience=${TIMEOUT:-30s}
image=${1:-$(dirname "$0")/hello.board}

say() {
    printf '== %s\n' "$*"
}

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}

[ -r "$image" ] || fail "there is no image $image"
expected=$(sha256sum < "$image" | cut -d ' ' -f 1)

say "switching the board off"
j board power off || fail "the board cannot be switched off"
trap 'j board power off || true' EXIT

say "flashing $image"
j board storage flash "$image" || fail "the image was not flashed"

say "switching the board on"
j board power on || fail "the board cannot be switched on"

say "waiting for the boot ROM and the prompt"
seen=$(j board console expect --timeout "$patience" 'sha256 ([0-9a-f]{64})' 'demo> ') || fail "the board did not reach its prompt"
printed=$(printf '%s\n' "$seen" | head -n 1)
[ "$printed" = "$expected" ] || fail "the board booted $printed, the image is $expected"

say "asking the running image for its version"
j board console expect --send version --timeout "$patience" 'demo> ' '[0-9]+\.[0-9]+\.[0-9]+' || fail "the prompt does not answer"

say "switching the board off"
trap - EXIT
j board power off || fail "the board cannot be switched off"
say "done: the board booted what was flashed ($printed)"
