import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConsoleMode, OpenedConsole } from '../../../../src/agent/consoles/console.ts';
import { AgentError } from '../../../../src/core/errors.ts';
import type { ConsoleReader } from '../../../../src/drivers/console.ts';
import { until } from '../../../fixtures/until.ts';
import { never, newRequest, OneNode, refOf, uidOf } from '../vms/one-node.ts';

const LOG: ConsoleReader = {
  async *read(_path, { tailBytes }) {
    yield Buffer.from('booting... login: ').subarray(-tailBytes);
  },
};

/** A node with a VM that runs, and what is written on its consoles. */
async function startNode() {
  const node = await OneNode.open({ console: LOG });
  const request = newRequest('web', {
    runStrategy: 'Manual',
    machine: { display: { type: 'vnc' } },
  });
  await node.create(request);
  await node.vms.start(refOf(request), never);
  const uid = uidOf(request);
  return {
    node,
    uid,
    ref: refOf(request),
    guest: () => node.hypervisor.consoles.guestOf(uid),
    open: (mode: ConsoleMode = 'write', who = 'alice', scrollbackBytes = 0) =>
      node.agent.consoles.openConsole(refOf(request), { mode, who, scrollbackBytes }, never),
    [Symbol.asyncDispose]: () => node[Symbol.asyncDispose](),
  };
}

/** What one who has a console open has been told so far. */
function follow(console: OpenedConsole) {
  const told: string[] = [];
  const over = new AbortController();
  const ended = (async () => {
    for await (const event of console.events(over.signal)) {
      if (event.kind === 'output') told.push(Buffer.from(event.data).toString());
      else if (event.kind === 'left-out') told.push(`<${event.bytes} left out>`);
      else told.push(`<${event.by} took over>`);
    }
  })();
  ended.catch(() => undefined);
  return { told, ended, stop: () => over.abort(new Error('enough')) };
}

test('what the guest writes is seen by all, and what is typed reaches it', async () => {
  await using node = await startNode();
  using writer = await node.open();
  using reader = await node.open('read', 'bob');
  assert.deepEqual(
    [writer.others, writer.otherWriter, reader.others, reader.otherWriter],
    [0, undefined, 1, 'alice'],
  );
  const [first, second] = [follow(writer), follow(reader)];
  node.guest()?.write('hello');
  await until('it to be so', () => first.told.length > 0 && second.told.length > 0);
  assert.deepEqual([first.told, second.told], [['hello'], ['hello']]);
  await writer.type(Buffer.from('ls\r'), never);
  assert.equal(String(node.guest()?.read()), 'ls\r');
});

test('a second one who wants to type is told who does, and may take over', async () => {
  await using node = await startNode();
  using alice = await node.open();
  await assert.rejects(node.open('write', 'bob'), {
    reason: 'CONSOLE_IN_USE',
    message: /alice types on it; read along, or take it over/,
  });
  const seen = follow(alice);
  using bob = await node.open('take-over', 'bob');
  await until('it to be so', () => seen.told.includes('<bob took over>'));
  await alice.type(Buffer.from('rm -rf'), never);
  await bob.type(Buffer.from('ls'), never);
  assert.equal(String(node.guest()?.read()), 'ls');
});

test('whoever has left no longer types, and the last one lets go of the console', async () => {
  await using node = await startNode();
  const alice = await node.open();
  alice[Symbol.dispose]();
  await until('it to be so', () => node.guest() === undefined);
  using bob = await node.open('write', 'bob');
  assert.equal(bob.others, 0);
});

test('one that was opened for somebody who has given up is let go of', async () => {
  await using node = await startNode();
  const release = node.node.hypervisor.block('openSerial');
  const enough = new AbortController();
  const opening = node.node.agent.consoles.openConsole(
    node.ref,
    { mode: 'write', who: 'alice', scrollbackBytes: 0 },
    enough.signal,
  );
  await until('it to be so', () =>
    node.node.hypervisor.calls.some((call) => call.startsWith('openSerial')),
  );
  enough.abort(new Error('enough'));
  await assert.rejects(opening, /enough/);
  release();
  await until('it to be so', () => node.guest() === undefined);
});

test('two who come at once share one console', async () => {
  await using node = await startNode();
  const [alice, bob] = await Promise.all([node.open('write', 'alice'), node.open('read', 'bob')]);
  const opened = node.node.hypervisor.calls.filter((call) => call.startsWith('openSerial'));
  assert.equal(opened.length, 1);
  alice[Symbol.dispose]();
  bob[Symbol.dispose]();
});

test('what was written before comes first, and nothing twice', async () => {
  await using node = await startNode();
  using alice = await node.open('write', 'alice', 7);
  const seen = follow(alice);
  node.guest()?.write('root');
  await until('it to be so', () => seen.told.length === 2);
  assert.deepEqual(seen.told, ['login: ', 'root']);
});

test('it ends with the run of its VM', async () => {
  await using node = await startNode();
  using alice = await node.open();
  const { ended } = follow(alice);
  await node.node.vms.destroy(node.ref, never);
  await ended;
});

test('it goes on when libvirt has lost it', async () => {
  await using node = await startNode();
  using alice = await node.open();
  const seen = follow(alice);
  const before = node.guest();
  before?.destroy();
  node.node.hypervisor.disconnect();
  node.node.hypervisor.reconnect();
  await until('it is open again', () => node.guest() !== undefined && node.guest() !== before);
  node.guest()?.write('still here');
  await until('it is seen', () => seen.told.includes('still here'));
  await alice.type(Buffer.from('x'), never);
  assert.equal(String(node.guest()?.read()), 'x');
});

test("nothing is opened again while its VM may be going off, as its terminal may be another program's by then", async () => {
  await using node = await startNode();
  using alice = await node.open();
  const { ended } = follow(alice);
  node.guest()?.destroy();
  const opened = () => node.node.hypervisor.calls.filter((call) => /openSerial/.test(call)).length;
  await until(
    'it is looked at',
    () => node.node.hypervisor.calls.at(-1)?.startsWith('find ') === true,
  );
  assert.equal(opened(), 1);
  await node.node.vms.destroy(node.ref, never);
  await ended;
  assert.equal(opened(), 1);
});

test('it waits for a libvirt that is away', async () => {
  await using node = await startNode();
  using alice = await node.open();
  const seen = follow(alice);
  const before = node.guest();
  node.node.hypervisor.disconnect();
  before?.destroy();
  await until(
    'it to be so',
    () => node.node.hypervisor.calls.filter((call) => /openSerial/.test(call)).length > 1,
  );
  node.node.hypervisor.reconnect();
  await until('it to be so', () => node.guest() !== undefined && node.guest() !== before);
  node.guest()?.write('back');
  await until('it to be so', () => seen.told.includes('back'));
});

test('one that another program has taken says so', async () => {
  await using node = await startNode();
  using alice = await node.open();
  const { ended } = follow(alice);
  const taken = new AgentError('CONSOLE_IN_USE', 'taken');
  node.node.hypervisor.fail('openSerial', taken);
  node.guest()?.destroy();
  await assert.rejects(ended, {
    reason: 'CONSOLE_IN_USE',
    message:
      'The console of VM test/web was taken over by another program of the node, such as virsh console',
  });
});

test('a VM that is off has no console, and a stranger none either', async () => {
  await using node = await startNode();
  await node.node.vms.destroy(node.ref, never);
  const { consoles } = node.node.agent;
  const gone = { ...node.ref, name: 'gone', uid: undefined };
  await assert.rejects(node.open(), {
    reason: 'VM_NOT_RUNNING',
    message: 'Cannot open the console of VM test/web: it is off',
  });
  await assert.rejects(consoles.openDisplay(node.ref, never), { reason: 'VM_NOT_RUNNING' });
  await assert.rejects(consoles.takeScreenshot(node.ref, never), { reason: 'VM_NOT_RUNNING' });
  await assert.rejects(consoles.sendKeys(node.ref, [28], never), { reason: 'VM_NOT_RUNNING' });
  await assert.rejects(consoles.openDisplay(gone, never), { reason: 'VM_NOT_FOUND' });
});

test('a display is a connection of its own', async () => {
  await using node = await startNode();
  const { consoles } = node.node.agent;
  using display = await consoles.openDisplay(node.ref, never);
  const [server] = node.node.hypervisor.consoles.displaysOf(node.uid);
  server?.write('RFB 003.008\n');
  for await (const data of display.read(never)) {
    assert.equal(Buffer.from(data).toString(), 'RFB 003.008\n');
    break;
  }
  await consoles.sendKeys(node.ref, [29, 56, 111], never);
  assert.deepEqual(node.node.hypervisor.consoles.sentKeys, ['29 56 111']);
});
