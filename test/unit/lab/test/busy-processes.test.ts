import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { inProject } from '../../../../lab/core/project.ts';
import { waitUntil } from '../../../../lab/core/wait-until.ts';
import { readProcess } from '../../../../lab/plan/lab-processes.ts';
import { BusyProcesses } from '../../../../lab/test/busy-processes.ts';

const never = new AbortController().signal;

/** In hundredths of a second. */
function cpuTime(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(' ');
  return Number(fields[13]);
}

test('busy processes are busy until they are disposed of', async () => {
  const pids: number[] = [];
  {
    await using busy = new BusyProcesses(2);
    pids.push(...busy.pids);
    assert.equal(pids.length, 2);
    for (const pid of pids) {
      await waitUntil('CPU time', 30_000, () => cpuTime(pid) > 5, never);
    }
  }
  assert.deepEqual(
    pids.filter((pid) => readProcess(pid) !== undefined),
    [],
  );
});

test('they end with whoever started them, even one that is killed', async () => {
  const module = inProject('lab/test/busy-processes.ts');
  const source = `
    const { BusyProcesses } = await import(${JSON.stringify(module)});
    console.log(new BusyProcesses(2).pids.join(' '));`;
  const starter = spawn(process.execPath, ['--input-type=module', '--eval', source], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  using _starter = { [Symbol.dispose]: () => starter.kill('SIGKILL') };
  const [line] = (await once(createInterface(starter.stdout), 'line')) as [string];
  const pids = line.split(' ').map(Number);
  for (const pid of pids) {
    await waitUntil('CPU time', 30_000, () => cpuTime(pid) > 0, never);
  }
  starter.kill('SIGKILL');
  for (const pid of pids) {
    await waitUntil('The end', 10_000, () => readProcess(pid) === undefined, never);
  }
});
