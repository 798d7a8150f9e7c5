/** More than any machine has. */
const MAX_CPU = 4095;

/** CPUs by their numbers, as the kernel writes them: `2-7,10`. In order, each once; undefined for what is no such list. */
export function parseCpuList(text: string): readonly number[] | undefined {
  if (text === '') return [];
  const cpus = new Set<number>();
  for (const part of text.split(',')) {
    const [, from, to = from] = /^\s*(\d{1,4})(?:-(\d{1,4}))?\s*$/.exec(part) ?? [];
    if (from === undefined) return undefined;
    const [first, last] = [Number(from), Number(to)];
    if (last < first || last > MAX_CPU) return undefined;
    for (let cpu = first; cpu <= last; cpu++) cpus.add(cpu);
  }
  return [...cpus].toSorted((left, right) => left - right);
}

/** The same in the other direction; neighbours are drawn together. */
export function formatCpuList(cpus: readonly number[]): string {
  const runs: { first: number; last: number }[] = [];
  for (const cpu of cpus.toSorted((left, right) => left - right)) {
    const run = runs.at(-1);
    if (run !== undefined && cpu <= run.last + 1) run.last = cpu;
    else runs.push({ first: cpu, last: cpu });
  }
  return runs
    .map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`))
    .join(',');
}
