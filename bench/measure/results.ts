import os from 'node:os';
import { formatTable } from '../../src/cli/output/table.ts';

/** One line of a result: what was measured, what came out, and how that is to be judged. */
export interface Row {
  readonly what: string;
  readonly value: string;
  readonly note: string;
}

export function printRows(rows: readonly Row[]): void {
  process.stdout.write(
    formatTable(
      ['WHAT', 'VALUE', 'COMPARED WITH'],
      rows.map(({ what, value, note }) => [what, value, note]),
    ),
  );
}

/** Which figures can be compared with which. */
export function machine() {
  const [cpu] = os.cpus();
  return {
    cpu: cpu?.model ?? '',
    cpus: os.cpus().length,
    memoryGib: Math.round(os.totalmem() / 1024 ** 3),
    load: os.loadavg().map((value) => Number(value.toFixed(2))),
  };
}

export function printMachine(): void {
  const { cpu, cpus, memoryGib, load } = machine();
  process.stdout.write(`${cpu}, ${cpus} CPUs, ${memoryGib} GiB, load ${load.join(' ')}\n`);
}

/** Said while measuring; the results alone go to standard output. */
export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
