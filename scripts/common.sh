# Shared by the scripts of this folder: where things are kept, and how they speak. Sourced, never run.
# shellcheck shell=bash disable=SC2034
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

note() { printf '\033[1m%s\033[0m\n' "$*" >&2; }

die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# Programs are run from there, so it is never a folder that others may write into.
[ -n "${XDG_CACHE_HOME:-${HOME:-}}" ] || die "HOME is not set: say where the cache may be, by XDG_CACHE_HOME."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/lora-vk

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

# What PEFT needs to train the same model: `python` with its packages, the `model` and its `folder` in float32.
peers() {
    scripts/setup --tests
    model=$(scripts/fetch-model)
    python=$(scripts/fetch-oracles)
    folder=$(dirname "$model")/hugging-face
    [ -f "$folder/complete" ] || "$python" Tests/Oracles/gguf_to_folder.py "$model" "$folder"
    # Some environments name a processor to OpenBLAS that slows it; the peer runs as its users run it.
    unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
}
