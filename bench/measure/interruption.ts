/** Aborted when the program is asked to end, so that it removes its lab first. */
export function interruption(): AbortSignal {
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => stop.abort(new Error(`Interrupted by ${name}`)));
  }
  return stop.signal;
}
