# Shared by the scripts of this folder: where things are kept, and how they speak. Sourced, never run.
# shellcheck shell=bash disable=SC2034
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/lora-vk

note() { printf '\033[1m%s\033[0m\n' "$*" >&2; }

die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "'$*' needs root, and there is no sudo: run it as root, then try again."
    fi
}

# A folder that is removed when the script ends, however it ends.
temporary() {
    temp=$(mktemp -d "${TMPDIR:-/tmp}/lora-vk.XXXXXX")
    trap 'rm -rf "$temp"' EXIT
}
