import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { buildGoTool, GRPCURL } from '../../lab/builds/go-tools.ts';
import { type CommandResult, run, tryRun } from '../../lab/core/run-command.ts';
import { SERVED_SERVICES } from '../fixtures/served-services.ts';
import { never, RpcHarness } from '../integration/rpc/rpc-harness.ts';

/* grpcurl without a proto file, as people use it who have just installed the agent. */

let harness: RpcHarness;
let grpcurl: string;
before(async () => {
  grpcurl = await buildGoTool(GRPCURL, never);
  harness = await RpcHarness.start();
  harness.server.setReady(true);
});
after(() => harness[Symbol.asyncDispose]());

const VMS = 'novacron.agent.v1.VirtualMachineService';

/** By the socket, and as an operator over TLS. */
async function ways(): Promise<readonly (readonly string[])[]> {
  const { ca, certificate, key } = await harness.identity('spiffe://novacron/role/operator');
  const tls = ['-cacert', ca, '-cert', certificate, '-key', key, '-authority', 'node-a'];
  return [
    ['-plaintext', `unix://${harness.socket}`],
    [...tls, harness.address],
  ];
}

/** Options stand before the address, the rest behind it. */
function command(way: readonly string[], options: readonly string[], words: readonly string[]) {
  return [grpcurl, '-max-time', '20', ...options, ...way, ...words];
}

async function ask(words: readonly string[], options: readonly string[] = []): Promise<string[]> {
  const answers = [];
  for (const way of await ways()) answers.push(await run(command(way, options, words), {}, never));
  return answers;
}

async function fail(words: readonly string[], options: readonly string[]): Promise<CommandResult> {
  const [way = []] = await ways();
  return tryRun(command(way, options, words), {}, never);
}

test('it lists all services', async () => {
  for (const answer of await ask(['list'])) {
    assert.deepEqual(answer.trim().split('\n'), SERVED_SERVICES);
  }
});

test('it describes a service, a method, a message and the details of errors', async () => {
  for (const [symbol, words] of [
    [VMS, 'service'],
    [`${VMS}.WatchVirtualMachines`, 'method'],
    ['novacron.agent.v1.VirtualMachine', 'message'],
    ['novacron.agent.v1.MigrationPhase', 'enum'],
    ['google.rpc.ErrorInfo', 'message'],
    ['google.rpc.BadRequest.FieldViolation', 'message'],
    ['grpc.health.v1.Health', 'service'],
  ] as const) {
    for (const answer of await ask(['describe', symbol])) {
      assert.match(answer, new RegExp(`^${symbol} is an? ${words}:`, 'm'));
    }
  }
});

test('it calls', async () => {
  for (const answer of await ask([`${VMS}/ListVirtualMachines`])) {
    assert.equal(JSON.parse(answer).virtualMachines[0].metadata.name, 'web');
  }
  for (const answer of await ask(['grpc.health.v1.Health/Check'])) {
    assert.deepEqual(JSON.parse(answer), { status: 'SERVING' });
  }
});

test('it shows the details of a failure', async () => {
  const request = JSON.stringify({ ref: { name: 'nothing' } });
  const { code, stderr } = await fail([`${VMS}/GetVirtualMachine`], ['-d', request]);
  assert.notEqual(code, 0);
  assert.match(stderr, /Code: NotFound/);
  assert.match(stderr, /"@type": "type.googleapis.com\/google.rpc.ErrorInfo"/);
  assert.match(stderr, /"reason": "VM_NOT_FOUND"/);
});

test('it watches', async () => {
  const [way = []] = await ways();
  const watch = command(way, ['-max-time', '2'], [`${VMS}/WatchVirtualMachines`]);
  const { stdout, stderr } = await tryRun(watch, {}, never);
  assert.match(stdout, /"name": "web"/);
  assert.match(stderr, /DeadlineExceeded/);
});

test('it types on a console, message by message', async () => {
  const start = { start: { ref: { name: 'web' }, mode: 'CONSOLE_MODE_WRITE' } };
  const inputs = ['hello', 'bye'].map((text) => ({ input: Buffer.from(text).toString('base64') }));
  const messages = [start, ...inputs].map((message) => JSON.stringify(message)).join('\n');
  const call = 'novacron.agent.v1.ConsoleService/OpenConsole';
  for (const answer of await ask([call], ['-d', messages])) {
    assert.match(answer, /"opened": \{/);
    assert.match(answer, new RegExp(`"output": "${Buffer.from('hello').toString('base64')}"`));
  }
});
