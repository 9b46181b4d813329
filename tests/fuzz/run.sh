#!/usr/bin/env bash
# Runs the fuzz targets, two at a time, and fails on any crash, time-out or runaway memory.
#
#   bash tests/fuzz/run.sh [SECONDS_PER_TARGET] [TARGET...]
#
# 600 seconds for every target by default. Needs a nightly toolchain, for the instrumentation only;
# it is installed by rustup when it is missing. What was learnt is kept in target/fuzz/corpus, an
# input that crashes in target/fuzz/artifacts; the seeds in tests/fuzz/seeds are made by
#   cargo run --manifest-path tests/fuzz/Cargo.toml --example seeds
#
# LIVEREC_FUZZ_JOBS is how many targets run at a time, LIVEREC_FUZZ_TOOLCHAIN another toolchain.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
here=$PWD
root=$(cd ../.. && pwd)

say() { printf '== %s\n' "$*" >&2; }
die() { printf 'tests/fuzz/run.sh: %s\n' "$*" >&2; exit 1; }

seconds=600
if [[ ${1:-} =~ ^[0-9]+$ ]]; then seconds=$1; shift; fi
[ "$seconds" -gt 0 ] || die 'at least one second for every target'
jobs=${LIVEREC_FUZZ_JOBS:-2}
toolchain=${LIVEREC_FUZZ_TOOLCHAIN:-nightly}
host=$(rustc -vV | sed -n 's/^host: //p')

mapfile -t known < <(sed -n 's|^path = "fuzz_targets/\(.*\)\.rs"$|\1|p' Cargo.toml)
targets=("${@:-${known[@]}}")
for target in "${targets[@]}"; do
  [[ " ${known[*]} " == *" $target "* ]] || die "no target $target; there are: ${known[*]}"
done

# --- build ---------------------------------------------------------------------------------------

if ! cargo "+$toolchain" --version >/dev/null 2>&1; then
  say "installing the $toolchain toolchain"
  command -v rustup >/dev/null || die "the $toolchain toolchain is needed, and there is no rustup"
  rustup toolchain install "$toolchain" --profile minimal --no-self-update >&2 ||
    die "the $toolchain toolchain is needed for fuzzing and could not be installed"
fi
command -v c++ >/dev/null || die "a C++ compiler is needed for libFuzzer (Debian: g++)"

# What cargo-fuzz passes, so that it need not be there.
flags=(
  --cfg fuzzing
  -Cpasses=sancov-module
  -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
  -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares
  -Cllvm-args=-simplifycfg-branch-fold-threshold=0
  -Zsanitizer=address
  -Ccodegen-units=1
)
export CARGO_TARGET_DIR=$root/target/fuzz
began=$SECONDS
RUSTFLAGS="${flags[*]}" cargo "+$toolchain" build --quiet --release --locked --bins \
  --target "$host" </dev/null >&2
say "built in $((SECONDS - began)) s"

# --- run -----------------------------------------------------------------------------------------

run_one() {
  local target=$1 corpus=$CARGO_TARGET_DIR/corpus/$1 log=$CARGO_TARGET_DIR/$1.log status=0
  mkdir -p "$corpus" "$CARGO_TARGET_DIR/artifacts"
  nice -n 19 "$CARGO_TARGET_DIR/$host/release/$target" "$corpus" "$here/seeds/$target" \
    -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -malloc_limit_mb=512 \
    -max_len=16384 -print_final_stats=1 -artifact_prefix="$CARGO_TARGET_DIR/artifacts/$target-" \
    >"$log" 2>&1 </dev/null || status=$?
  if [ "$status" != 0 ]; then
    { printf '%-17s FAILED (%s)\n' "$target" "$status"; tail -n 60 "$log"; } >&2
    return 1
  fi
  awk -v target="$target" '
    / cov: / { for (i = 1; i < NF; i++) if ($i == "cov:") cov = $(i + 1); else if ($i == "ft:") ft = $(i + 1) }
    /^stat::number_of_executed_units:/ { runs = $2 }
    /^stat::average_exec_per_sec:/ { rate = $2 }
    END { printf "%-17s %9d runs  %6d runs/s  %5d edges  %6d features\n", target, runs, rate, cov, ft }
  ' "$log"
}

failed=0
running=0
for target in "${targets[@]}"; do
  if [ "$running" -ge "$jobs" ]; then
    wait -n || failed=1
    running=$((running - 1))
  fi
  run_one "$target" &
  running=$((running + 1))
done
while [ "$running" -gt 0 ]; do
  wait -n || failed=1
  running=$((running - 1))
done
[ "$failed" = 0 ] || die "a target failed; its input is in $CARGO_TARGET_DIR/artifacts"
