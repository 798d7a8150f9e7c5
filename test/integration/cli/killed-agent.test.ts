import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempDisposableSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { runCli } from '../../../src/cli/program.ts';
import { FakeCliIo } from '../../fakes/fake-cli-io.ts';
import { BareAgent } from '../../fixtures/bare-agent.ts';
import { OwnedProcess } from '../../fixtures/owned-process.ts';
import { until } from '../../fixtures/until.ts';

const ID = '6b0f3c1e-1f0a-4c52-9a58-0d5b3a8f7c11';
const LOCK_HOLDER = path.resolve('test/integration/journal/lock-holder.ts');

/** An agent whose journal somebody locks, so that a change that it is asked for takes its time. */
async function startScene() {
  await using undo = new AsyncDisposableStack();
  const folder = undo.use(mkdtempDisposableSync(path.join(tmpdir(), 'killed-agent-')));
  const stateDirectory = path.join(folder.path, 'state');
  const httpListen = `127.0.0.1:${await freePort()}`;
  const bare = await BareAgent.configure(folder.path, { stateDirectory, httpListen });
  const agent = undo.use(await bare.started());
  const holder = undo.use(
    new OwnedProcess(
      spawn(process.execPath, [LOCK_HOLDER, path.join(stateDirectory, 'journal.db')], {
        stdio: ['pipe', 'pipe', 'inherit'],
      }),
    ),
  );
  await holder.nextLine();
  const owned = undo.move();
  return {
    agent,
    bare,
    /** Once the agent is in the middle of a call. */
    isCalled: async (method: string) => {
      const metrics = await (await fetch(`http://${httpListen}/metrics`)).text();
      return metrics.includes(
        `novacron_grpc_requests_in_flight{method="/novacron.agent.v1.${method}"} 1\n`,
      );
    },
    unlock: async () => {
      holder.child.stdin?.end();
      await holder.exited;
    },
    async novactl(words: string, io = new FakeCliIo()) {
      const code = await runCli(['--address', `unix:${bare.socket}`, ...words.split(' ')], io);
      return { code, stdout: io.stdout.text, stderr: io.stderr.text };
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

test('a change whose agent is killed while it is asked for is done by the next one, for the novactl that waits', async () => {
  await using scene = await startScene();
  const io = new FakeCliIo();
  const cordon = scene.novactl(`node cordon --reason memory --operation-id ${ID}`, io);
  await until('the agent is asked', () => scene.isCalled('NodeService/UpdateNode'));
  await scene.agent.kill();
  await scene.unlock();
  await until('novactl has seen it', () => io.stderr.text.includes('connecting again'));
  await using _next = await scene.bare.started();
  assert.deepEqual(await cordon, {
    code: 0,
    stdout: 'Node a takes no new VMs\n',
    stderr: 'The connection to the agent was lost; connecting again\n',
  });
  const { stdout } = await scene.novactl('operation list');
  assert.match(
    stdout,
    new RegExp(`^${ID} +Cordon +- +cordon cordonReason=memory +Succeeded `, 'm'),
  );
});

test('the shutdown of the VMs that is asked for while its agent is killed is asked of the next one', async () => {
  await using scene = await startScene();
  const io = new FakeCliIo();
  const shutdown = scene.novactl('node shutdown-vms --timeout 30s --no-wait', io);
  await until('the agent is asked', () => scene.isCalled('NodeService/ShutDownVirtualMachines'));
  await scene.agent.kill();
  await scene.unlock();
  await until('novactl has seen it', () => io.stderr.text.includes('connecting again'));
  await using _next = await scene.bare.started();
  const { code, stderr } = await shutdown;
  assert.equal(code, 0, stderr);
  assert.match((await scene.novactl('node get')).stdout, /ShuttingDown/);
});

test('a novactl whose agent is killed for good says that the change may have begun', async () => {
  await using scene = await startScene();
  const words = `node cordon --operation-id ${ID} --request-timeout 4s`;
  const cordon = scene.novactl(words);
  await until('the agent is asked', () => scene.isCalled('NodeService/UpdateNode'));
  await scene.agent.kill();
  const { code, stderr } = await cordon;
  assert.equal(code, 5);
  assert.match(stderr, new RegExp(`^It may have begun, as operation ${ID}\\.$`, 'm'));
  assert.match(
    stderr,
    new RegExp(`novactl operation get ${ID} --address unix:\\S+agent.sock$`, 'm'),
  );
});
