/** What repeated measurements came to. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly p99: number;
  readonly count: number;
}

export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((x, y) => x - y);
  const at = (part: number): number => sorted[Math.round((sorted.length - 1) * part)] ?? Number.NaN;
  return { median: at(0.5), min: at(0), max: at(1), p99: at(0.99), count: sorted.length };
}

/** Runs the work so often, one after the other, and gives the milliseconds that each took. */
export async function timesMs(rounds: number, work: () => Promise<unknown>): Promise<number[]> {
  const times: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const start = performance.now();
    await work();
    times.push(performance.now() - start);
  }
  return times;
}
