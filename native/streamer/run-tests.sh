#!/bin/sh
# Builds and tests the streamer: run-tests.sh [release|asan|tsan|fuzz]..., all of them unless told. The last line counts what passed.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$here/../.." && pwd)/build
[ $# -gt 0 ] || set -- release asan tsan fuzz
jobs=${JOBS:-$(nproc)}
passed=0
failed=0

# A build folder whose settings are already right is not configured again.
configure() {
  folder=$1
  shift
  if [ ! -f "$folder/build.ninja" ]; then cmake -S "$here" -B "$folder" -G Ninja "$@" >"$folder.log" 2>&1 || { cat "$folder.log"; exit 1; }; fi
}

compile() { ninja -C "$1" -j "$jobs" --quiet; }

count() {
  passed=$((passed + $(grep -Eo '^[0-9]+ passed' "$1" | awk '{ sum += $1 } END { print sum + 0 }')))
  failed=$((failed + $(grep -Eo '^[0-9]+ passed, [0-9]+ failed' "$1" | awk '{ sum += $3 } END { print sum + 0 }')))
}

# Two shards of the process tests beside each other: they mostly wait.
run_suite() {
  folder=$1
  rm -f "$folder"/result-*.txt "$folder"/sanitizer.*
  codes=0
  "$folder/test/streamer-unit-tests" >"$folder/result-unit.txt" 2>&1 || codes=1
  pids=""
  for shard in 0 1 2 3; do
    "$folder/test/streamer-process-tests" --shard "$shard/4" >"$folder/result-process-$shard.txt" 2>&1 &
    pids="$pids $!"
  done
  for pid in $pids; do wait "$pid" || codes=1; done
  for result in "$folder"/result-*.txt; do
    grep -E -A1 '^FAIL' "$result" || true
    # A program that died has no count.
    if ! grep -qE '^[0-9]+ passed, [0-9]+ failed' "$result"; then
      tail -n 60 "$result"
      failed=$((failed + 1))
    fi
    count "$result"
  done
  # The streamers that the tests start report here; a test need not notice.
  for report in "$folder"/sanitizer.*; do
    [ -f "$report" ] || continue
    cat "$report"
    failed=$((failed + 1))
  done
  if [ "$codes" != 0 ] && [ "$failed" = 0 ]; then failed=1; fi
}

release() {
  configure "$build/streamer" -DCMAKE_BUILD_TYPE=Release
  compile "$build/streamer"
  run_suite "$build/streamer"
}

asan() {
  configure "$build/streamer-asan" -DSANITIZE=address,undefined -DBENCH=OFF
  compile "$build/streamer-asan"
  ASAN_OPTIONS=detect_stack_use_after_return=1:log_path="$build/streamer-asan/sanitizer" \
    UBSAN_OPTIONS=print_stacktrace=1:log_path="$build/streamer-asan/sanitizer" run_suite "$build/streamer-asan"
}

tsan() {
  configure "$build/streamer-tsan" -DSANITIZE=thread -DBENCH=OFF
  compile "$build/streamer-tsan"
  TSAN_OPTIONS=halt_on_error=1:log_path="$build/streamer-tsan/sanitizer" run_suite "$build/streamer-tsan"
}

fuzz() {
  configure "$build/streamer-fuzz" -DCMAKE_CXX_COMPILER="${FUZZ_CXX:-clang++}" -DSANITIZE=address,undefined -DFUZZ=ON \
    -DTESTS=OFF -DBENCH=OFF
  compile "$build/streamer-fuzz"
  seconds=${FUZZ_SECONDS:-2}
  for target in "$here"/fuzz/fuzz-*.cpp; do
    name=$(basename "$target" .cpp)
    found="$build/streamer-fuzz/found/$name"
    mkdir -p "$found"
    # New inputs stay in the build folder; the kept corpus only changes by hand.
    if "$build/streamer-fuzz/fuzz/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=512 -max_len=70000 \
      -artifact_prefix="$found/crash-" "$found" "$here/fuzz/corpus/${name#fuzz-}" >"$build/streamer-fuzz/$name.log" 2>&1; then
      passed=$((passed + 1))
    else
      tail -n 40 "$build/streamer-fuzz/$name.log"
      echo "FAIL $name"
      failed=$((failed + 1))
    fi
  done
}

mkdir -p "$build"
for what in "$@"; do
  case $what in
    release | asan | tsan | fuzz) "$what" ;;
    *)
      echo "Usage: run-tests.sh [release|asan|tsan|fuzz]..." >&2
      exit 2
      ;;
  esac
done

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
