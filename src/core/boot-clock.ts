/** Milliseconds by a clock that nobody sets, which goes on when a process ends and begins anew when the host boots. */
export function bootClockMs(): number {
  // CLOCK_MONOTONIC, while performance.now() counts from the start of the process.
  return Number(process.hrtime.bigint() / 1_000_000n);
}
