import assert from 'node:assert/strict';
import { test } from 'node:test';
import { agentProcesses, cpuSeconds, pssMib } from '../../../bench/measure/process-costs.ts';

function process(pid: number, ...command: readonly string[]) {
  return { pid, pidInNode: pid, namespace: 'n', lab: 'lab', node: 'a', command };
}

test('the agent is all that runs on its node but for what is its first process or libvirt', () => {
  const ofNode = [
    process(1, 'sh', 'node-init.sh'),
    process(2, 'sleep', '2147483647'),
    process(3, 'virtlogd'),
    process(4, '/usr/sbin/libvirtd'),
    process(5, '/usr/bin/qemu-system-x86_64', '-name', 'guest=vm-0'),
    process(6, '/copy/node', '--max-old-space-size=256', '/dist/agent/main.js', '--config', 'x'),
    process(7, '/copy/node', '/dist/agent/image-process.js'),
    process(8, 'novacron-libvirt    '),
    process(9, '/usr/bin/qemu-img', 'info'),
  ];
  assert.deepEqual(agentProcesses(ofNode), [
    { name: 'main', pid: 6 },
    { name: 'image-process', pid: 7 },
    { name: 'novacron-libvirt', pid: 8 },
    { name: 'qemu-img', pid: 9 },
  ]);
});

test('memory and CPU time of a process are what the kernel says', () => {
  const { pid } = globalThis.process;
  const before = cpuSeconds({ pid });
  while (cpuSeconds({ pid }) === before);
  assert.ok(before > 0);
  const resident = globalThis.process.memoryUsage.rss() / 2 ** 20;
  const mib = pssMib({ pid });
  assert.ok(mib > 0 && mib <= resident * 1.5, `${mib} MiB of ${resident}`);
});
