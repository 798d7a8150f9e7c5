import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { AgentClient } from '../../../src/client/agent-client.ts';
import { VirtualMachinePhase } from '../../../src/client/api.ts';
import {
  type VmWatchEvent,
  watchVirtualMachines,
} from '../../../src/client/watch-virtual-machines.ts';
import { AgentError } from '../../../src/core/errors.ts';
import { FakeAgentServer } from '../../fakes/fake-agent-server.ts';

const never = new AbortController().signal;

async function startAgent() {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(path.join(os.tmpdir(), 'client-'));
  stack.defer(() => rm(folder, { recursive: true }));
  const agent = stack.use(new FakeAgentServer());
  const address = `unix:${folder}/agent.sock`;
  await agent.listen(address);
  const client = stack.use(await AgentClient.open({ address }));
  const owned = stack.move();
  return { agent, client, address, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

test('a VM that was created can be got', async () => {
  await using lab = await startAgent();
  const vm = { metadata: { name: 'web' }, spec: { memory: { sizeBytes: 2n ** 30n } } };
  await lab.client.vms.create(vm, { signal: never });
  const got = await lab.client.vms.get({ name: 'web' }, { signal: never });
  assert.equal(got.spec?.memory?.sizeBytes, 2n ** 30n);
});

test('an error of the agent arrives with its reason, metadata and violations', async () => {
  await using lab = await startAgent();
  lab.agent.failNext = new AgentError('IMAGE_NOT_FOUND', 'There is no image /a.img', {
    metadata: { path: '/a.img' },
    violations: [{ field: 'spec.disks[0].path', description: 'does not exist' }],
  });
  await assert.rejects(lab.client.vms.get({ name: 'web' }, { signal: never }), {
    name: 'AgentError',
    reason: 'IMAGE_NOT_FOUND',
    message: 'There is no image /a.img',
    metadata: { path: '/a.img' },
    violations: [{ field: 'spec.disks[0].path', description: 'does not exist' }],
  });
});

test('an agent that is not there is said to be unreachable, and why', async () => {
  using client = await AgentClient.open({ address: 'unix:/nowhere/agent.sock' });
  await assert.rejects(client.node.get({ signal: never }), {
    reason: 'AGENT_UNREACHABLE',
    message: 'Cannot reach the agent at unix:/nowhere/agent.sock: the socket does not exist',
    metadata: { address: 'unix:/nowhere/agent.sock' },
  });
});

test('a call that is not answered ends at its deadline', async () => {
  await using lab = await startAgent();
  lab.agent.hangs = true;
  await assert.rejects(lab.client.node.get({ signal: never, deadlineMs: 50 }), {
    reason: 'DEADLINE_EXCEEDED',
    metadata: { address: lab.address },
  });
});

test("an aborted call fails with its signal's reason", async () => {
  await using lab = await startAgent();
  lab.agent.hangs = true;
  const abort = new AbortController();
  const call = lab.client.node.get({ signal: abort.signal });
  const reason = new Error('enough');
  abort.abort(reason);
  await assert.rejects(call, (error) => error === reason);
});

test("an aborted stream fails with its signal's reason", async () => {
  await using lab = await startAgent();
  const abort = new AbortController();
  const reason = new Error('enough');
  await assert.rejects(
    async () => {
      for await (const _ of lab.client.node.watch({ signal: abort.signal })) abort.abort(reason);
    },
    (error) => error === reason,
  );
});

/** Collects what a watch tells, one line per event, until `synced` was told so many times. */
class Watcher {
  readonly lines: string[] = [];
  readonly #abort = new AbortController();
  readonly #events: AsyncGenerator<VmWatchEvent>;

  constructor(client: AgentClient) {
    this.#events = watchVirtualMachines(client, {
      signal: this.#abort.signal,
      minDelayMs: 5,
      maxDelayMs: 20,
    });
  }

  /** Reads up to and with the first event that reads so. */
  async until(line: string): Promise<void> {
    for (;;) {
      const { value } = await this.#events.next();
      if (value === undefined) throw new Error('The watch ended');
      const text = value.type === 'synced' ? 'synced' : `${value.type} ${value.vm.metadata?.name}`;
      this.lines.push(text);
      if (text === line) return;
    }
  }

  take(): string[] {
    return this.lines.splice(0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#events.return(undefined);
  }
}

for (const tellsSyncedAgain of [false, true]) {
  const how = tellsSyncedAgain ? 'with' : 'without';
  test(`a watch goes on from its cursor and tells nothing twice, ${how} SYNCED`, async () => {
    await using lab = await startAgent();
    lab.agent.tellsSyncedAgain = tellsSyncedAgain;
    lab.agent.put('one');
    lab.agent.put('two');
    await using watcher = new Watcher(lab.client);
    await watcher.until('synced');
    assert.deepEqual(watcher.take(), ['added one', 'added two', 'synced']);

    lab.agent.stop();
    lab.agent.put('two', {}, VirtualMachinePhase.VIRTUAL_MACHINE_PHASE_STOPPED);
    lab.agent.remove('one');
    await lab.agent.listen(lab.address);
    await watcher.until('deleted one');
    assert.deepEqual(watcher.take(), ['modified two', 'deleted one']);
    assert.equal(lab.agent.watchRequests.at(-1)?.cursor?.revision, 2n);

    lab.agent.put('three');
    await watcher.until('added three');
    assert.deepEqual(
      watcher.take().filter((line) => line !== 'synced'),
      ['added three'],
    );
  });
}

test('a watch is not fooled by an agent that has nothing left to send anew', async () => {
  await using lab = await startAgent();
  lab.agent.put('one');
  await using watcher = new Watcher(lab.client);
  await watcher.until('synced');
  watcher.take();

  lab.agent.stop();
  lab.agent.remove('one');
  lab.agent.forgetHistory();
  await lab.agent.listen(lab.address);
  await watcher.until('synced');
  assert.deepEqual(watcher.take(), ['deleted one', 'synced']);
});

test('a watch tells what was deleted while the agent was restarted', async () => {
  await using lab = await startAgent();
  lab.agent.put('one');
  lab.agent.put('two');
  await using watcher = new Watcher(lab.client);
  await watcher.until('synced');
  watcher.take();

  lab.agent.stop();
  lab.agent.remove('one');
  lab.agent.restartEpoch();
  lab.agent.put('three');
  await lab.agent.listen(lab.address);
  await watcher.until('synced');
  assert.deepEqual(watcher.take(), ['added three', 'deleted one', 'synced']);
});

test('a watch that expired starts anew and tells only what changed', async () => {
  await using lab = await startAgent();
  lab.agent.put('one');
  await using watcher = new Watcher(lab.client);
  await watcher.until('synced');
  watcher.take();

  lab.agent.stop();
  lab.agent.failNext = new AgentError('WATCH_EXPIRED', 'The watcher fell too far behind');
  await lab.agent.listen(lab.address);
  lab.agent.put('two');
  await watcher.until('synced');
  assert.deepEqual(watcher.take(), ['added two', 'synced']);
  assert.equal(lab.agent.watchRequests.at(-1)?.cursor, undefined);
});

test('a watch whose first connection fails does not wait', async () => {
  using client = await AgentClient.open({ address: 'unix:/nowhere/agent.sock' });
  const events = watchVirtualMachines(client, { signal: never });
  await assert.rejects(events.next(), { kind: 'unavailable' });
});
