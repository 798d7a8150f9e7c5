import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import { MistakeLog } from '../../../../src/agent/rpc/mistake-log.ts';

const mistake = (name: string) => ({
  method: '/x/Get',
  caller: 'unix:root',
  outcome: 'VM_NOT_FOUND',
  problem: `There is no VM ${name}`,
});

test('a mistake that is made again and again is counted after some lines, and then told anew', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const lines: Record<string, unknown>[] = [];
  const log = new MistakeLog(
    pino({}, { write: (line: string) => void lines.push(JSON.parse(line)) }),
  );
  for (let time = 0; time < 25; time += 1) log.write(mistake(`vm-${time}`));
  log.write({ ...mistake('other'), caller: 'spiffe://novacron/role/operator' });
  assert.equal(lines.length, 11);
  assert.equal(lines[0]?.['problem'], 'There is no VM vm-0');
  assert.equal(lines[10]?.['caller'], 'spiffe://novacron/role/operator');

  context.mock.timers.tick(10_000);
  assert.equal(lines.length, 12);
  const { msg, count, outcome, caller } = lines[11] ?? {};
  assert.deepEqual(
    { msg, count, outcome, caller },
    {
      msg: 'More calls failed like these',
      count: 15,
      outcome: 'VM_NOT_FOUND',
      caller: 'unix:root',
    },
  );
  log.write(mistake('again'));
  assert.equal(lines.length, 13);
  context.mock.timers.tick(10_000);
  assert.equal(lines.length, 13);
});
