#!/usr/bin/env bash
# Runs every test against the real things: ffmpeg, GStreamer, PostgreSQL, the vendor's SDK and
# players.
#
#   bash tests/run.sh [arguments of the test runner, such as a name]
#
# LIVEREC_TEST_LONG=1 makes some of them longer: the kill matrix, power losses, failing calls of the
# disk, a database that is away.
#
# Without a name the fuzz targets are run as well, a minute each (LIVEREC_TEST_FUZZ_SECONDS; 0 is
# not at all).
#
# Installs what is missing (Debian packages only as root, Python packages into target/venv and
# target/tccli, Node packages into target/node) and starts a PostgreSQL of its own for as long as it runs.
# LIVEREC_TEST_POSTGRES_URL, if set, names a server to use instead; its user must be allowed to make
# databases.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD

say() { printf '== %s\n' "$*" >&2; }
die() { printf 'tests/run.sh: %s\n' "$*" >&2; exit 1; }

fuzz_seconds=0
if [ "$#" = 0 ]; then fuzz_seconds=${LIVEREC_TEST_FUZZ_SECONDS:-60}; fi

# --- Debian packages -----------------------------------------------------------------------------

# the folder of initdb, postgres and pg_ctl
postgres_bin() {
  local folder
  for folder in /usr/lib/postgresql/*/bin; do
    if [ -x "$folder/initdb" ] && [ -x "$folder/postgres" ]; then echo "$folder"; return; fi
  done
  folder=$(command -v initdb || true)
  if [ -n "$folder" ] && [ -x "$(dirname "$folder")/postgres" ]; then dirname "$folder"; fi
}

gst_has() {
  local element
  for element in "$@"; do gst-inspect-1.0 "$element" >/dev/null 2>&1 || return 1; done
}

missing_packages() {
  if ! command -v ffmpeg >/dev/null || ! command -v ffprobe >/dev/null; then echo ffmpeg; fi
  if [ -z "${LIVEREC_TEST_POSTGRES_URL:-}" ] && [ -z "$(postgres_bin)" ]; then echo postgresql; fi
  if ! command -v psql >/dev/null; then echo postgresql-client; fi
  if ! command -v gst-launch-1.0 >/dev/null ||
     ! gst_has videotestsrc flvmux rtmp2sink x264enc avenc_aac; then
    echo gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good \
         gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-libav
  fi
  if ! command -v python3 >/dev/null || ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    echo python3 python3-venv
  fi
  if [ ! -x /usr/lib/chromium/chromium-headless-shell ]; then echo chromium-headless-shell; fi
  if ! command -v mediainfo >/dev/null; then echo mediainfo; fi
  if ! command -v npm >/dev/null; then echo npm; fi
  if ! command -v cc >/dev/null; then echo gcc libc6-dev; fi
  if ! command -v openssl >/dev/null; then echo openssl; fi
  if ! command -v curl >/dev/null; then echo curl; fi
  if ! command -v unshare >/dev/null; then echo util-linux; fi
  if [ "$fuzz_seconds" != 0 ] && ! command -v c++ >/dev/null; then echo g++; fi
}

packages=$(missing_packages | tr '\n' ' ')
if [ -n "$packages" ]; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    die "these Debian packages are needed: $packages"
  fi
  say "installing $packages"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq </dev/null >&2
  # shellcheck disable=SC2086 # a list of package names
  apt-get install -y -qq --no-install-recommends $packages </dev/null >&2
fi

# --- Python packages -----------------------------------------------------------------------------

# a Python environment in a folder of target, with what a file of tests/ asks for
environment() {
  local folder=$root/target/$1 wanted=tests/$2
  if ! cmp -s "$wanted" "$folder/requirements.txt"; then
    say "making $folder"
    rm -rf "$folder"
    python3 -m venv "$folder"
    "$folder/bin/pip" install --quiet --disable-pip-version-check --retries 5 --no-compile \
      -r "$wanted" </dev/null >&2
    cp "$wanted" "$folder/requirements.txt"
  fi
}

environment venv requirements.txt
environment tccli requirements-tccli.txt
venv=$root/target/venv
export LIVEREC_TEST_PYTHON=$venv/bin/python
LIVEREC_TEST_FFMPEG7=$("$LIVEREC_TEST_PYTHON" -c 'import imageio_ffmpeg as f; print(f.get_ffmpeg_exe())')
export LIVEREC_TEST_FFMPEG7

# what is used of it, once and for all: the command is started again and again
"$root/target/tccli/bin/python" -m compileall -q \
  "$root"/target/tccli/lib/python3*/site-packages/tencentcloud/{common,live,vod} \
  "$root"/target/tccli/lib/python3*/site-packages/{tccli,requests,urllib3,certifi,jmespath}
LIVEREC_TEST_TCCLI=$root/target/tccli/bin/tccli
LIVEREC_TEST_TCCLI_SERVICES=$("$root/target/tccli/bin/python" -c \
  'import os, tccli; print(os.path.join(os.path.dirname(tccli.__file__), "services"))')
export LIVEREC_TEST_TCCLI LIVEREC_TEST_TCCLI_SERVICES

# --- Node packages: the player that web pages use for HLS, and the vendor's SDK --------------------

node=$root/target/node
if ! cmp -s tests/node/package-lock.json "$node/installed.json"; then
  say "making $node"
  rm -rf "$node"
  mkdir -p "$node"
  cp tests/node/package.json tests/node/package-lock.json "$node"
  npm ci --prefix "$node" --silent --ignore-scripts --no-audit --no-fund </dev/null >&2
  cp tests/node/package-lock.json "$node/installed.json"
fi
export LIVEREC_TEST_HLS_JS=$node/node_modules/hls.js/dist/hls.min.js
export LIVEREC_TEST_NODE_PATH=$node/node_modules

# --- PostgreSQL ----------------------------------------------------------------------------------

postgres_dir= # set while our own server runs
as_postgres=()

# shellcheck disable=SC2317 # called by the trap
stop_postgres() {
  if [ -n "$postgres_dir" ]; then
    "${as_postgres[@]}" "$(postgres_bin)/pg_ctl" -D "$postgres_dir/data" -m immediate stop \
      >/dev/null 2>&1 || true
    rm -rf "$postgres_dir"
  fi
}
trap stop_postgres EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

start_postgres() {
  local bin user port
  bin=$(postgres_bin)
  postgres_dir=$(mktemp -d /tmp/liverec-postgres.XXXXXX)
  if [ "$(id -u)" = 0 ]; then # PostgreSQL refuses to run as root
    user=nobody
    if id postgres >/dev/null 2>&1; then user=postgres; fi
    as_postgres=(setpriv "--reuid=$user" "--regid=$(id -g "$user")" --clear-groups)
    chown "$user" "$postgres_dir"
  fi
  # nothing in it outlives the run: no syncing
  (cd "$postgres_dir" && "${as_postgres[@]}" "$bin/initdb" -D "$postgres_dir/data" \
    -U liverec -A trust -E UTF8 --no-locale --no-sync >"$postgres_dir/initdb.log" 2>&1) ||
    die "initdb failed: $(cat "$postgres_dir/initdb.log")"
  port=$(free_port)
  (cd "$postgres_dir" && "${as_postgres[@]}" "$bin/pg_ctl" -D "$postgres_dir/data" -w -t 60 \
    -l "$postgres_dir/data/server.log" -o "-p $port -h 127.0.0.1 -k $postgres_dir -F \
    -c synchronous_commit=off -c full_page_writes=off -c max_connections=300" \
    start >/dev/null 2>&1 </dev/null) ||
    die "PostgreSQL did not start: $(cat "$postgres_dir/data/server.log")"
  export LIVEREC_TEST_POSTGRES_URL=postgres://liverec@127.0.0.1:$port/postgres
}

if [ -z "${LIVEREC_TEST_POSTGRES_URL:-}" ]; then
  start_postgres
fi

# --- the tests -----------------------------------------------------------------------------------

# an operator's settings must not reach the servers under test
for variable in $(compgen -e | grep '^LIVEREC__' || true); do unset "$variable"; done

profile=default
if [ "${LIVEREC_TEST_LONG:-0}" != 0 ]; then profile=long; fi

status=0
# Before the tests, so that the runner has the last word.
if [ "$fuzz_seconds" != 0 ]; then
  say "fuzzing every target for $fuzz_seconds s"
  bash tests/fuzz/run.sh "$fuzz_seconds" || status=$?
fi
if cargo nextest --version >/dev/null 2>&1; then
  cargo test --doc --locked --quiet </dev/null || status=$?
  cargo nextest run --config-file tests/nextest.toml --profile "$profile" \
    --locked "$@" </dev/null || status=$?
else
  cargo test --locked --no-fail-fast "$@" </dev/null || status=$?
fi
exit "$status"
