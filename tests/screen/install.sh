#!/bin/sh
# Get playwright-core, without its browsers, into build/browser: it drives the chromium of this
# machine. Prints its folder as the last line. Needs npm and a package index; a few seconds, once.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
folder="$root/build/browser"

if [ ! -d "$folder/node_modules/playwright-core" ]; then
    command -v npm >/dev/null || { echo "npm is missing (apt-get install npm)" >&2; exit 1; }
    mkdir -p "$folder"
    npm install --no-audit --no-fund --loglevel=error --fetch-retries=0 --fetch-timeout=30000 \
        --prefix "$folder" playwright-core@1.65.1 >&2
fi
echo "$folder"
