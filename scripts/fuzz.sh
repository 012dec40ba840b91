#!/usr/bin/env bash
# Runs fuzz targets, all or those named, from the inputs that the tests of the crates keep.
#
#   scripts/fuzz.sh [TARGET…]
#
#   FUZZ_SECONDS    how long each target runs (10)
#   FUZZ_SEED       where chance begins (1: a gate goes the same way each time; 0 is another way each time)
#   FUZZ_SANITIZER  a sanitizer of rustc, such as `address`. Our own code has nothing unsafe, so by default there is none,
#                   which is twice as fast.
#
# Ends with 1 if anything was found, and tells what, and how to have it again.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
cd "$ROOT"

SECONDS_EACH="${FUZZ_SECONDS:-10}"
SEED="${FUZZ_SEED:-1}"
SANITIZER="${FUZZ_SANITIZER:-none}"
TARGET_DIR="${CARGO_TARGET_DIR:-$ROOT/target}/fuzz"
BIN_DIR="$TARGET_DIR/$(rustc -vV | sed -n 's/^host: //p')/release"
FOUND_DIR="$TARGET_DIR/found"
# A target that needs longer for an input, or more memory, has found something too.
INPUT_LIMIT_S=10
MEMORY_LIMIT_MIB=1024

# corpus_of TARGET: where its kept inputs are.
corpus_of() { echo crates/*/testdata/corpus/"$1"; }

build() {
  # The versions that the workspace has; the few crates that only fuzzing needs are added to them.
  cp Cargo.lock crates/fuzz/Cargo.lock
  # Sanitizers are unstable options of the compiler, which a stable one takes only if told so.
  RUSTC_BOOTSTRAP=1 cargo fuzz build --fuzz-dir crates/fuzz --target-dir "$TARGET_DIR" --sanitizer "$SANITIZER" --debug-assertions
}

# run TARGET: fuzzes it. What the fuzzer adds to the inputs is thrown away; only what it has found stays.
run() {
  local target="$1" corpus work status=0
  corpus="$(corpus_of "$target")"
  [ -d "$corpus" ] || { echo "no kept inputs for $target: $corpus"; return 1; }
  work="$(mktemp -d)"
  mkdir -p "$FOUND_DIR" "$work/new"
  "$BIN_DIR/$target" -seed="$SEED" -max_total_time="$SECONDS_EACH" -timeout="$INPUT_LIMIT_S" -rss_limit_mb="$MEMORY_LIMIT_MIB" \
    -print_final_stats=1 -artifact_prefix="$FOUND_DIR/$target-" "$work/new" "$corpus" >"$work/log" 2>&1 || status=$?
  if [ "$status" -eq 0 ]; then
    printf '%-8s %9d executions, %3d kept inputs, %5d more that reached something new\n' "$target" \
      "$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/log")" \
      "$(find "$corpus" -type f | wc -l)" "$(find "$work/new" -type f | wc -l)"
  else
    tell_found "$target" "$corpus" "$work/log"
  fi
  rm -rf "$work"
  return "$status"
}

tell_found() {
  local target="$1" corpus="$2" log="$3" input
  input="$(sed -n 's/.*Test unit written to //p' "$log" | tail -1)"
  printf '%s: found something\n' "$target"
  # Without the progress of the fuzzer, and with its last words and ours.
  grep -v '^#[0-9]' "$log" | tail -40
  if [ -n "$input" ]; then
    printf 'the input:\n'
    head -c 2048 "$input" | od -A d -c | head -40
    printf 'again:       %s %s\n' "$BIN_DIR/$target" "$input"
    printf 'smaller:     %s -minimize_crash=1 -max_total_time=60 %s\n' "$BIN_DIR/$target" "$input"
    printf 'once solved: cp %s %s/WHAT-IT-IS\n' "$input" "$corpus"
  fi
}

if [ "${1:-}" = --run ]; then
  run "$2"
  exit
fi
has cargo-fuzz || { echo "cargo-fuzz is missing: scripts/install-tools.sh all" >&2; exit 1; }
build
if [ $# -eq 0 ]; then
  mapfile -t targets < <(sed -n '/^\[\[bin\]\]/{n;s/^name = "\(.*\)"/\1/p}' crates/fuzz/Cargo.toml)
  set -- "${targets[@]}"
fi
printf '%d targets, %d s each\n' "$#" "$SECONDS_EACH"
# A target keeps one core busy.
printf '%s\n' "$@" | xargs -P "$(nproc)" -I '{}' scripts/fuzz.sh --run '{}'
