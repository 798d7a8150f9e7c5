/** What is written in between is little, and looking for more would cost its square. */
const MAX_BYTES = 4096;

/**
 * How much of the end of what was logged is the beginning of what came live: both have what was written while one was opened and
 * the other read.
 */
export function overlapOf(logged: Uint8Array, live: Uint8Array): number {
  const end = Buffer.from(logged.buffer, logged.byteOffset, logged.byteLength);
  for (let bytes = Math.min(logged.length, live.length, MAX_BYTES); bytes > 0; bytes -= 1) {
    if (end.subarray(end.length - bytes).equals(live.subarray(0, bytes))) return bytes;
  }
  return 0;
}
