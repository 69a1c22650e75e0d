# Functions that `demo` and `check` share: an environment in .venv and the compiled modules.
# Sourced by bash from the checkout's root, with `set -euo pipefail`.
#
# Nothing half-made is trusted: a stamp is written last, and what has none is made again.

export PIP_DISABLE_PIP_VERSION_CHECK=1
unset PIPELINE_BUILD # in place is always the fast profile; tests build the others beside
VENV=.venv
PYTHON="$VENV/bin/python"

# fail SENTENCE: what is missing, with the command that mends it, and nothing else.
fail() {
    printf '%s: %s\n' "$PROGRAM" "$1" >&2
    exit 1
}

# package_command APT DNF PACMAN APK: how this system installs a package.
package_command() {
    local sudo=""
    [ "$(id -u)" = 0 ] || sudo="sudo "
    if command -v apt-get >/dev/null; then echo "${sudo}apt-get install -y $1"
    elif command -v dnf >/dev/null; then echo "${sudo}dnf install -y $2"
    elif command -v pacman >/dev/null; then echo "${sudo}pacman -S --noconfirm $3"
    elif command -v apk >/dev/null; then echo "${sudo}apk add $4"
    else echo "install $1 with your system's package manager"
    fi
}

hash_of() {
    if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -d' ' -f1
}

# One start at a time; a second one waits and then finds everything done.
lock() {
    mkdir -p build
    if command -v flock >/dev/null; then
        exec 9>build/.lock
        if ! flock -n 9; then
            echo "$PROGRAM: waiting for another ./demo or ./check that builds here" >&2
            flock 9
        fi
    fi
}

unlock() {
    if command -v flock >/dev/null; then exec 9>&-; fi
}

# progress LOG: keep all of a long step's output in LOG, and show the lines that tell how far it is.
progress() {
    local line
    while IFS= read -r line; do
        printf '%s\n' "$line" >&3
        case "$line" in
            *Downloading* | *"Using cached"* | "Installing collected"* | Resolved* | Prepared* | \
                *Cythonizing* | "building '"*) ;;
            *) continue ;;
        esac
        read -r line <<<"$line" # without the blanks around it
        if [ ${#line} -gt 90 ]; then line="${line:0:87}..."; fi
        printf '%s:   %s\n' "$PROGRAM" "$line" >&2
    done 3>>"$1"
}

# logged LOG COMMAND...: run a long step with its progress shown; Ctrl-C ends all, not just the step.
logged() {
    local log=$1 code=0
    shift
    "$@" 2>&1 | progress "$log" || code=$?
    if [ "$code" = 130 ]; then exit 130; fi
    return "$code"
}

find_python() {
    local candidate
    for candidate in ${PIPELINE_PYTHON:-} python3 python3.13 python3.12 python3.11 python; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
            2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    fail "no Python 3.11, 3.12 or 3.13 was found; run: $(package_command \
        'python3.12 python3.12-venv python3.12-dev' 'python3.12 python3.12-devel' python python3)"
}

require_build_tools() {
    local version compiler
    read -r compiler _ <<<"${CC:-cc}" # CC may have arguments, as in "ccache gcc"
    if ! command -v "$compiler" >/dev/null; then
        fail "no C compiler was found; run: $(package_command build-essential gcc base-devel build-base)"
    fi
    if ! "$1" -c 'import pathlib, sys, sysconfig
sys.exit(not (pathlib.Path(sysconfig.get_path("include")) / "Python.h").exists())'; then
        version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        fail "Python's C headers are missing; run: $(package_command \
            "python$version-dev" "python$version-devel" python python3-dev)"
    fi
}

# check_options ARGUMENTS: end with what is wrong with them, before minutes of installing.
# Needs no package; what was asked for with --help is shown at once, too.
check_options() {
    local python code=0
    [ -d pipeline ] || return 0
    python=$(find_python)
    PYTHONDONTWRITEBYTECODE=1 "$python" -m pipeline.cli.demo.options "$@" || code=$?
    if [ "$code" != 0 ]; then exit "$code"; fi
    for argument in "$@"; do
        if [ "$argument" = --help ] || [ "$argument" = -h ]; then exit 0; fi
    done
}

# requirements EXTRA: what pyproject.toml asks for, and what the build needs.
requirements() {
    "$1" -c 'import sys, tomllib
with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)
found = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
print("\n".join(found + project["project"]["optional-dependencies"][sys.argv[1]]))' "$2"
}

stamp_text() {
    printf '%s %s %s\n' "$1" "$("$PYTHON" -c 'import sys; print(sys.version)' 2>/dev/null | tr -d '\n')" \
        "$( (cat pyproject.toml scripts/environment.sh; pwd) | hash_of)"
}

# A development environment has everything that the demo needs, too.
is_current() {
    local extra
    [ -x "$PYTHON" ] || return 1
    for extra in "$1" dev; do
        [ "$(cat "$VENV/stamp-$extra" 2>/dev/null)" = "$(stamp_text "$extra")" ] && return 0
    done
    return 1
}

make_with_uv() {
    command -v uv >/dev/null || return 1
    # --seed: whoever activates it expects a pip in it.
    uv venv --quiet --seed --allow-existing --python "$1" "$VENV" &&
        uv pip install --no-progress --python "$PYTHON" -r "$VENV/requirements.txt"
}

require_venv_module() {
    local version
    if ! "$1" -c 'import ensurepip, venv' 2>/dev/null; then
        version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        fail "Python's venv module is missing; run: $(package_command \
            "python$version-venv" "python$version-libs" python python3)"
    fi
}

make_with_pip() {
    "$1" -m venv "$VENV" &&
        "$PYTHON" -m pip install --progress-bar off --no-input -r "$VENV/requirements.txt"
}

# With this `import pipeline` works in any program that this environment's Python runs.
link_checkout() {
    pwd >"$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/checkout.pth"
}

# make_environment EXTRA: .venv with the requirements of that extra.
make_environment() {
    is_current "$1" && return
    local python
    python=$(find_python)
    require_build_tools "$python"
    # An earlier start that was interrupted; an environment that somebody else made stays.
    if [ -e "$VENV/made-here" ] && ! compgen -G "$VENV/stamp-*" >/dev/null; then rm -rf "$VENV"; fi
    if [ ! -e "$VENV" ]; then
        mkdir "$VENV"
        touch "$VENV/made-here"
    fi
    rm -f "$VENV"/stamp-*
    requirements "$python" "$1" >"$VENV/requirements.txt"
    echo "$PROGRAM: making the environment in $VENV: downloading and installing packages, once" >&2
    : >"$VENV/install.log"
    if ! logged "$VENV/install.log" make_with_uv "$python"; then
        require_venv_module "$python"
        logged "$VENV/install.log" make_with_pip "$python" ||
            fail "the packages could not be downloaded and installed (see $VENV/install.log); once the network is there, run: ./$PROGRAM"
    fi
    link_checkout
    stamp_text "$1" >"$VENV/stamp-$1"
}

sources_hash() {
    (find ext -name '*.pyx' -o -name '*.pxd' -o -name '*.h' -o -name '*.py' | LC_ALL=C sort |
        xargs cat setup.py; "$PYTHON" -c 'import sys; print(sys.version)'; pwd) | hash_of
}

# build: compile what is stale, in place.
build() {
    [ "$(cat build/stamp 2>/dev/null)" = "$(sources_hash)" ] && has_modules && return
    local force=""
    if [ -e build/unfinished ]; then force=--force; fi
    mkdir -p build
    touch build/unfinished
    rm -f build/stamp
    echo "$PROGRAM: compiling the C modules, once" >&2
    : >build/build.log
    # Sources may be newer and look older, as from an archive: then all is compiled.
    if ! logged build/build.log "$PYTHON" setup.py build_ext $force --inplace ||
        ! { [ -n "$force" ] || "$PYTHON" -c 'import pipeline.core.compiled' 2>/dev/null ||
            logged build/build.log "$PYTHON" setup.py build_ext --force --inplace; }; then
        tail -n 15 build/build.log | cut -c 1-300 >&2
        fail "the C modules could not be compiled (see build/build.log); if a C header is missing, run: $(package_command build-essential gcc base-devel build-base)"
    fi
    # The generated files may have changed, so the hash is taken after the build.
    sources_hash >build/stamp
    rm -f build/unfinished
}

has_modules() {
    local source
    while read -r source; do
        compgen -G "${source%.pyx}.*.so" >/dev/null || return 1
    done < <(find ext -name '*.pyx')
}
