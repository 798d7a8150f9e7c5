import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { waitUntil } from '../../lab/core/wait-until.ts';
import { signalProcess } from '../fixtures/process-signals.ts';
import { PATIENCE_MS } from './moving-vm.ts';
import { NovactlTerminal } from './novactl-terminal.ts';
import { storyteller } from './stories.ts';
import { agentPid, driverOf, TwoNodes } from './two-nodes.ts';

const ESCAPE = '\x1d';

test('the console of a VM', async (context) => {
  await using nodes = await TwoNodes.start(context.signal);
  const { a, lab } = nodes;
  const vm = await nodes.bootVm(a, context.signal);
  const story = storyteller(context, nodes, vm);
  const open = (...args: readonly string[]) =>
    new NovactlTerminal(lab, ['vm', 'console', vm.name, ...args]);

  await story('is typed on, and the terminal is as before afterwards', async () => {
    using terminal = open('--scrollback', '2Ki');
    await terminal.shows(/ icanon/);
    await terminal.shows(/Connected to the console of VM default\/demo-\w+; \^\] ends it\r\n/);
    terminal.type('hello\r');
    await terminal.shows(/novacron-demo typed hello/);
    // It is the guest's.
    terminal.type('\x03after\r');
    await terminal.shows(/novacron-demo typed after/);
    terminal.type(ESCAPE);
    await terminal.shows(/is closed\r\nexit 0\r\n icanon/);
    await terminal.ended;
  });

  await story('is typed on by one and seen by many, and can be taken over', async ({ signal }) => {
    using first = open();
    await first.shows(/Connected/);
    const refused = await nodes.novactl(['vm', 'console', vm.name], signal);
    assert.equal(refused.code, 4);
    assert.match(refused.stderr, /unix:root types on it; read along, or take it over/);
    using reader = open('--read-only');
    await reader.shows(/; unix:root types; 1 other sees it too\r\n/);
    reader.type('nothing\r');
    first.type('something\r');
    assert.doesNotMatch(await reader.shows(/typed something/), /nothing/);
    using second = open('--take-over');
    await second.shows(/Connected/);
    await first.shows(/\[unix:root types now; what is typed here is not sent\]/);
    first.type('too late\r');
    second.type('mine now\r');
    await first.shows(/typed mine now/);
    for (const terminal of [first, reader, second]) terminal.type(ESCAPE);
    await Promise.all([first.ended, reader.ended, second.ended]);
  });

  await story('goes on over the ends of driver, agent and libvirtd', async ({ signal }) => {
    using terminal = open();
    await terminal.shows(/Connected/);
    signalProcess(driverOf(a).pid, 'SIGKILL');
    await terminal.getsThrough('driver');
    signalProcess(agentPid(a), 'SIGKILL');
    await terminal.shows(/\[the connection to the agent is lost, trying to get it back\]/);
    await nodes.relaunch(a, signal);
    await terminal.shows(/\[connected again\]/);
    await terminal.getsThrough('agent');
    await nodes.restartLibvirtd(a, signal);
    await terminal.getsThrough('libvirtd');
    terminal.type(ESCAPE);
    await terminal.shows(/exit 0/);
  });

  await story('is taken by virsh, and then in its place', async ({ signal }) => {
    const domain = (await a.libvirt.virsh(['list', '--name'], signal)).trim();
    const script = `sleep 600 | script -qc "virsh console ${domain}" /dev/null`;
    await a.startDaemon('virsh', ['sh', '-c', script], {}, signal);
    // Its guest has written more than the last lines hold, where whoever looks is held up.
    const isConnected = () => a.readLog('virsh').includes('Escape character');
    try {
      await waitUntil('virsh to have the console', PATIENCE_MS, isConnected, signal);
      const refused = await nodes.novactl(['vm', 'console', vm.name], signal);
      assert.match(refused.stderr, /another program has it open, such as virsh console/);
      using terminal = open('--take-over');
      await terminal.getsThrough('ours');
      terminal.type(ESCAPE);
      await terminal.shows(/exit 0/);
    } finally {
      // virsh ends with what would type for it, and leaves the console to those who come next.
      const sleep = a.processes().find(({ command }) => command.join(' ') === 'sleep 600');
      signalProcess(sleep?.pid, 'SIGKILL');
    }
  });

  await story('of a paused VM says so', async ({ signal }) => {
    await nodes.novactl(['vm', 'suspend', vm.name], signal);
    using terminal = open();
    await terminal.shows(/the VM is paused, so nothing comes before it goes on/);
    await nodes.novactl(['vm', 'resume', vm.name], signal);
    await terminal.getsThrough('resumed');
    // Whoever sends it a signal finds the terminal in order, too.
    terminal.signal('SIGHUP');
  });

  await story('ends when its VM moves or stops, and leaves nothing open', async ({ signal }) => {
    const before = openFilesOf(driverOf(a).pid);
    using terminal = open();
    await terminal.shows(/Connected/);
    const migration = await vm.migrate(a, signal);
    await migration.expectCompleted(signal);
    await terminal.shows(/has ended: [^\n]*moved to node b/);
    await terminal.shows(/exit 0\r\n icanon/);
    await waitUntil(
      'the driver to have closed it',
      PATIENCE_MS,
      () => openFilesOf(driverOf(a).pid) <= before,
      signal,
    );
    await vm.moveFrom(nodes.b, signal);
    using again = open();
    await again.shows(/Connected/);
    await nodes.novactl(['vm', 'destroy', vm.name], signal);
    await again.shows(/has ended: it is Stopped now\r\nexit 0/);
    const off = await nodes.novactl(['vm', 'console', vm.name], signal);
    assert.match(off.stderr, /Cannot open the console of VM default\/demo-\w+: it is off/);
    assert.match(off.stderr, /novactl vm start/);
    await nodes.novactl(['vm', 'start', vm.name], signal);
  });
});

function openFilesOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}
