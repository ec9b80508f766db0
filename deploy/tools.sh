# shellcheck shell=bash
# What the scripts of this repository share. Sourced from its root, not run.

export target="${CARGO_TARGET_DIR:-$PWD/target}"
export python_tools="$target/python-tools"

# One line of progress.
say() {
    printf '%s\n' "$*" >&2
}

# Ends the script with a clear line.
fail() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# Installs the Debian packages of the commands that are missing; each argument is COMMAND:PACKAGE.
# The command may be a path, with wildcards.
install_missing() {
    local pair missing=()
    for pair in "$@"; do
        command -v "${pair%%:*}" >/dev/null || compgen -G "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
    done
    install_packages "${missing[@]}"
}

install_packages() {
    [ $# -gt 0 ] || return 0
    local as_root=()
    command -v apt-get >/dev/null || fail "please install, under the names your system has for them: $*"
    if [ "$(id -u)" -ne 0 ]; then
        sudo -n true 2>/dev/null || fail "please run: sudo apt-get install $*"
        as_root=(sudo -n)
    fi
    say "installing $*"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive sh -c '
        apt-get -qq update && apt-get -qq -o Dpkg::Use-Pty=0 install --no-install-recommends "$@"
    ' apt-get "$@" >/dev/null </dev/null || fail "apt-get could not install $*"
}

# A Python environment with pyHanko in $python_tools.
install_python_tools() {
    python_environment "$python_tools" conformance-tests/requirements.txt
}

# A Python environment in the directory $1 with what the file $2 lists, unless it is there.
python_environment() {
    local where=$1 wanted=$2
    ! cmp -s "$wanted" "$where/requirements.txt" || return 0
    python3 -c 'import ensurepip' 2>/dev/null || install_packages python3-venv
    say "installing what $wanted lists"
    python3 -m venv --clear "$where"
    "$where/bin/pip" --quiet --disable-pip-version-check install --requirement "$wanted" </dev/null
    cp "$wanted" "$where/requirements.txt"
}

# Where short-lived files are fast: memory when there is room, else the disk.
scratch_dir() {
    local kilobytes
    kilobytes=$(df --output=avail -k /dev/shm 2>/dev/null | tail -n 1) || kilobytes=0
    if [ "$kilobytes" -gt 1000000 ]; then echo /dev/shm; else echo "${TMPDIR:-/tmp}"; fi
}
