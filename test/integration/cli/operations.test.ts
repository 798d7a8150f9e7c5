import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { Interrupted } from '../../../src/cli/process/exit-codes.ts';
import { AgentClient } from '../../../src/client/agent-client.ts';
import { AgentError } from '../../../src/core/errors.ts';
import { FakeCliIo } from '../../fakes/fake-cli-io.ts';
import { until } from '../../fixtures/until.ts';
import { EVERYTHING, never } from '../../unit/agent/vms/one-node.ts';
import { ServedNode } from './served-node.ts';

const ID = '6b0f3c1e-1f0a-4c52-9a58-0d5b3a8f7c11';
const OTHER_ID = ID.replace('6b', '7b');
const MANIFEST = `
apiVersion: novacron.io/v1alpha1
kind: VirtualMachine
metadata: {name: web}
spec:
  runStrategy: Manual
  template:
    spec:
      resources: {cpu: 1, memory: 64Mi}
      kernel: {path: /boot/vmlinuz}
`;
const OTHER_MANIFEST = MANIFEST.replace('name: web', 'name: db, namespace: shop');

interface OperationDocument {
  readonly id: string;
  readonly operationKind: string;
  readonly state: string;
  readonly step?: string;
  readonly error?: { readonly reason: string };
}

/** A node where VM web runs, whose guest takes its time to power off. */
async function startNode() {
  const served = await ServedNode.start();
  const { code, stderr } = await served.novactl('vm apply -f -', MANIFEST);
  assert.equal(code, 0, stderr);
  assert.equal((await served.novactl('vm start web')).code, 0);
  served.node.hypervisor.slowShutdown = true;
  return served;
}

async function getOperation(served: ServedNode, id: string): Promise<OperationDocument> {
  const { code, stdout, stderr } = await served.novactl(`operation get ${id} -o json`);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as OperationDocument;
}

/** Resolves once the operation waits for the guest. */
async function waitsForGuest(served: ServedNode, id: string): Promise<void> {
  await until('The wait for the guest', async () => {
    const { code, stdout } = await served.novactl(`operation get ${id} -o json`);
    return code === 0 && JSON.parse(stdout).step === 'waiting-for-guest';
  });
}

test('a change waits for its end, says what it always said, and can be looked at afterwards', async () => {
  await using served = await startNode();
  served.node.hypervisor.slowShutdown = false;
  const off = await served.novactl(`vm shutdown web --operation-id ${ID}`);
  assert.deepEqual(off, { code: 0, stdout: 'VM default/web is off (Stopped)\n', stderr: '' });
  const { operationKind, state } = await getOperation(served, ID);
  assert.deepEqual([operationKind, state], ['Shutdown', 'Succeeded']);
  const on = await served.novactl('vm start web');
  assert.deepEqual(on, { code: 0, stdout: 'VM default/web started (Running)\n', stderr: '' });
  const cut = await served.novactl('vm destroy web -o json');
  assert.equal(JSON.parse(cut.stdout).status.phase, 'Stopped');
  const gone = await served.novactl('vm delete web');
  assert.deepEqual(gone, { code: 0, stdout: 'VM default/web deleted\n', stderr: '' });
});

test('a guest that is slow is waited for, and a terminal shows it', async () => {
  await using served = await startNode();
  const io = new FakeCliIo({ isTTY: true });
  const shutdown = served.novactl(`vm shutdown web --operation-id ${ID}`, '', { io });
  await until('The line', () => io.stderr.text.includes('waiting for guest'));
  assert.match(io.stderr.text, /Shutting down VM default\/web: waiting for guest, \d+s of 5m/);
  const [vm] = served.node.inventory.list(EVERYTHING);
  served.node.hypervisor.stopGuest(vm?.definition.uid ?? '');
  assert.deepEqual((await shutdown).stdout, 'VM default/web is off (Stopped)\n');
  assert.ok(io.stderr.text.endsWith('\r\u001b[2K'), 'The line is left');
});

test('--no-wait prints the id of the operation, for a command that wants it or as a document', async () => {
  await using served = await startNode();
  const begun = await served.novactl('vm shutdown web --no-wait');
  assert.deepEqual([begun.code, begun.stderr], [0, '']);
  assert.match(begun.stdout, /^[0-9a-f-]{36}\n$/);
  await waitsForGuest(served, begun.stdout.trim());
  const named = await served.novactl(`vm start web --no-wait -o name --operation-id ${ID}`);
  assert.equal(named.stdout, `${ID}\n`);
  const applied = await served.novactl('vm apply --no-wait -o json -f -', MANIFEST);
  const [{ outcome, operation }] = JSON.parse(applied.stdout).items;
  assert.deepEqual([outcome, operation.operationKind], ['begun', 'Apply']);
  assert.equal((await served.novactl(`operation watch ${operation.id}`)).code, 0);
  const made = await served.novactl('vm create --no-wait -o yaml -f -', OTHER_MANIFEST);
  assert.match(made.stdout, /^kind: Operation$[^]*^operationKind: Create$/m);
  const deleted = await served.novactl('vm delete web --force --no-wait');
  assert.match(deleted.stdout, /^[0-9a-f-]{36}\n$/);
});

test('an operation shows what was asked for, and a list of them no more than its few words', async () => {
  await using served = await startNode();
  await served.novactl(`vm shutdown web --timeout 90s --no-wait --operation-id ${ID}`);
  const { stdout: shutdown } = await served.novactl(`operation get ${ID} -o yaml`);
  assert.match(shutdown, /^request:\n {2}timeout: 90s$/m);
  await waitsForGuest(served, ID);
  assert.match(
    (await served.novactl('operation list')).stdout,
    / default\/web +timeout=90s +Running /,
  );
  const labels = MANIFEST.replace('name: web', 'name: web, labels: {app: shop}');
  await served.novactl(`vm apply --operation-id ${OTHER_ID} -f -`, labels);
  const apply = JSON.parse((await served.novactl(`operation get ${OTHER_ID} -o json`)).stdout);
  assert.partialDeepStrictEqual(apply.request.virtualMachine, {
    metadata: { name: 'web', labels: { app: 'shop' } },
    spec: { runStrategy: 'Manual' },
  });
  const { items } = JSON.parse((await served.novactl('operation list -o json')).stdout);
  assert.equal(items[0].id, OTHER_ID);
  assert.equal(items[0].request, undefined);
});

test('a cordon is an operation of the node, done once for its id', async () => {
  await using served = await startNode();
  const words = `node cordon --reason memory --operation-id ${ID}`;
  const cordoned = await served.novactl(words);
  assert.deepEqual(cordoned, { code: 0, stdout: 'Node a takes no new VMs\n', stderr: '' });
  const begun = await served.novactl('node uncordon --no-wait');
  assert.match(begun.stdout, /^[0-9a-f-]{36}\n$/);
  const watched = await served.novactl(`operation watch ${begun.stdout.trim()}`);
  assert.match(watched.stdout, /has succeeded: Uncordon of the node\n$/);
  // Repeated after that, it is what it was: nothing more is done.
  await served.novactl(words);
  assert.match((await served.novactl('node get')).stdout, /^a +Ready /m);
  const reused = await served.novactl(`node cordon --reason disks --operation-id ${ID}`);
  assert.equal(reused.code, 4);
  assert.match(reused.stderr, /Cannot cordon this node as operation .*\(OPERATION_ID_REUSED\)/);
  const lines = (await served.novactl('operation list')).stdout.split('\n');
  assert.match(
    lines[1] ?? '',
    / Uncordon +- +cordon=false cordonReason= +Succeeded +- .* unix:root /,
  );
  assert.match(lines[2] ?? '', / Cordon +- +cordon cordonReason=memory +Succeeded /);
});

test('a command that is repeated with its operation id is done once, and ends alike', async () => {
  await using served = await startNode();
  served.node.hypervisor.slowShutdown = false;
  const words = `vm shutdown web --operation-id ${ID}`;
  const first = await served.novactl(words);
  await served.novactl('vm start web');
  const { code, stdout } = await served.novactl(words);
  assert.deepEqual([code, stdout], [first.code, 'VM default/web is off (Running)\n']);
  const reused = await served.novactl(`vm destroy web --operation-id ${ID}`);
  assert.equal(reused.code, 4);
  assert.match(reused.stderr, /\(OPERATION_ID_REUSED\)\nWhat to do: Leave out --operation-id/);
});

test('a VM is made once by a repeated creation', async () => {
  await using served = await ServedNode.start();
  const words = `vm create --operation-id ${ID} -f -`;
  const made = await served.novactl(words, MANIFEST);
  assert.deepEqual(made, { code: 0, stdout: 'VM default/web created (Stopped)\n', stderr: '' });
  assert.deepEqual(await served.novactl(words, MANIFEST), made);
  const several = await served.novactl(words, `${MANIFEST}---${OTHER_MANIFEST}`);
  assert.equal(several.code, 2);
  assert.match(
    several.stderr,
    /--operation-id is that of one operation, but 2 manifests are given/,
  );
});

test('a creation that failed is not tried again by its id, and says why once more', async () => {
  await using served = await ServedNode.start();
  served.node.hypervisor.domains.define = () =>
    Promise.reject(new AgentError('HYPERVISOR_FAILURE', 'libvirt will not have it'));
  for (const verb of ['create', 'apply']) {
    const id = verb === 'create' ? ID : OTHER_ID;
    const words = `vm ${verb} --operation-id ${id} -f -`;
    const failed = await served.novactl(words, MANIFEST);
    assert.equal(failed.code, 1);
    assert.match(failed.stderr, /libvirt will not have it \(HYPERVISOR_FAILURE\)/);
    assert.deepEqual(await served.novactl(words, MANIFEST), failed);
  }
});

test('a guest that does not stop in time ends the shutdown with 7, and what to do', async () => {
  await using served = await startNode();
  const { code, stdout, stderr } = await served.novactl('vm shutdown web --timeout 1s');
  assert.deepEqual([code, stdout], [7, '']);
  assert.match(
    stderr,
    /^Error: VM web was asked.*\(GUEST_DID_NOT_STOP\)\nWhat to do: .*vm destroy/,
  );
  const wrong = await served.novactl('vm shutdown web --timeout 10ms');
  assert.equal(wrong.code, 4);
});

test('a shutdown that waits gives way to a destroy, and says to which', async () => {
  await using served = await startNode();
  const shutdown = served.novactl(`vm shutdown web --operation-id ${ID}`);
  await waitsForGuest(served, ID);
  const destroyed = await served.novactl(`vm destroy web --operation-id ${OTHER_ID}`);
  assert.equal(destroyed.stdout, 'VM default/web cut off (Stopped)\n');
  const { code, stderr } = await shutdown;
  assert.equal(code, 4);
  assert.match(stderr, new RegExp(`${OTHER_ID}.*\\(OPERATION_SUPERSEDED\\)`));
});

test('an operation that is cancelled ends for whoever waits for it', async () => {
  await using served = await startNode();
  const shutdown = served.novactl(`vm shutdown web --operation-id ${ID}`);
  await waitsForGuest(served, ID);
  const cancelled = await served.novactl(`operation cancel ${ID}`);
  assert.deepEqual(cancelled, { code: 0, stdout: `Operation ${ID} is cancelled\n`, stderr: '' });
  const { code, stderr } = await shutdown;
  assert.equal(code, 4);
  assert.match(
    stderr,
    new RegExp(`^Error: Operation ${ID} was cancelled \\(OPERATION_CANCELLED\\)`),
  );
  assert.deepEqual(await served.novactl(`operation cancel ${ID}`), cancelled);
  const cut = await served.novactl('vm destroy web --no-wait');
  await served.novactl(`operation watch ${cut.stdout.trim()}`);
  const late = await served.novactl(`operation cancel ${cut.stdout.trim()}`);
  assert.match(late.stdout, /had ended already \(Succeeded\)\n$/);
  const watched = await served.novactl(`operation watch ${ID} -o json`);
  assert.deepEqual([watched.code, JSON.parse(watched.stdout).state], [4, 'Cancelled']);
});

test('Ctrl-C stops waiting, not the operation, and says how to come back', async () => {
  await using served = await startNode();
  const interrupt = new AbortController();
  const io = new FakeCliIo({ signal: interrupt.signal });
  const shutdown = served.novactl(`vm shutdown web --operation-id ${ID}`, '', { io });
  await waitsForGuest(served, ID);
  interrupt.abort(new Interrupted('Interrupted'));
  const { code, stderr } = await shutdown;
  assert.equal(code, 130);
  assert.match(stderr, new RegExp(`^Stopped waiting: operation ${ID} goes on\\.$`, 'm'));
  const address = `--address unix:${served.socket}`;
  assert.ok(stderr.includes(`novactl operation watch ${ID} ${address}\n`), stderr);
  assert.ok(stderr.endsWith(`novactl operation cancel ${ID} ${address}\n`), stderr);
  assert.equal((await getOperation(served, ID)).state, 'Running');
});

test('operations are listed, newest first, by VM, by namespace and by whether they go on', async () => {
  await using served = await startNode();
  await served.novactl('vm apply -f -', OTHER_MANIFEST);
  await served.novactl(`vm shutdown web --no-wait --operation-id ${ID}`);
  await waitsForGuest(served, ID);
  const { stdout } = await served.novactl('operation list');
  const [header, newest, ...others] = stdout.trim().split('\n');
  assert.match(header ?? '', /^ID +KIND +VM +REQUEST +STATE +STEP +AGE +BY +ERROR$/);
  assert.match(
    newest ?? '',
    new RegExp(
      `^${ID} +Shutdown +default/web +- +Running +waiting-for-guest 0s of 5m +\\S+ +unix:root +-$`,
    ),
  );
  assert.deepEqual(
    others.map((line) => line.split(/ +/).slice(1, 5).join(' ')),
    ['Apply shop/db - Succeeded', 'Start default/web - Succeeded', 'Apply default/web - Succeeded'],
  );
  const count = async (options: string) => {
    const names = (await served.novactl(`operation ls -o name ${options}`)).stdout;
    return names === '' ? 0 : names.trim().split('\n').length;
  };
  assert.equal(await count('--active'), 1);
  assert.equal(await count('--vm web'), 3);
  assert.equal(await count('--vm shop/db'), 1);
  assert.equal(await count('--vm db -n shop'), 1);
  assert.equal(await count('--vm db'), 0);
  assert.equal(await count('-n shop'), 1);
  await served.novactl('node cordon');
  assert.equal(await count('-n default'), 3);
  assert.equal((await served.novactl('operation list --vm shop/db -n default')).code, 2);
  const missing = await served.novactl(`operation get ${OTHER_ID}`);
  assert.equal(missing.code, 3);
  assert.match(missing.stderr, /\(OPERATION_NOT_FOUND\)/);
});

test('more operations than fit a page are all listed', async () => {
  await using served = await startNode();
  using client = await AgentClient.open({ address: `unix:${served.socket}` });
  const start = () =>
    client.vms.start({ name: 'web' }, { signal: never, operationId: randomUUID() });
  await Promise.all(Array.from({ length: 520 }, start));
  const { stdout } = await served.novactl('operation list --vm web -o name');
  assert.equal(new Set(stdout.trim().split('\n')).size, 522);
});

test('without an id every change of the operations of a VM is printed', async () => {
  await using served = await startNode();
  const interrupt = new AbortController();
  const io = new FakeCliIo({ signal: interrupt.signal });
  const watch = served.novactl('operation watch --vm web', '', { io });
  await until('The latest', () => io.stdout.text.includes('Start Succeeded'));
  await served.novactl(`vm shutdown web --no-wait --operation-id ${ID}`);
  await until('The step', () => io.stdout.text.includes('waiting-for-guest'));
  interrupt.abort(new Interrupted('Interrupted'));
  assert.equal((await watch).code, 130);
  assert.match(
    io.stdout.text,
    new RegExp(`modified ${ID} default/web Shutdown Running waiting-for-guest 0s of 5m\n`),
  );
});

test('who may only look sees operations and cancels none', async () => {
  await using served = await startNode();
  await served.novactl(`vm shutdown web --no-wait --operation-id ${ID}`);
  const tls = await served.authority.client('viewer', never);
  const context = { address: served.address, nodeName: 'a', tls };
  await using folder = await temporaryFolder();
  const config = path.join(folder.path, 'novactl.yaml');
  await writeFile(config, JSON.stringify({ contexts: { a: context }, current: 'a' }));
  const viewer = (words: string) => served.novactl(words, '', { agent: ['--config', config] });
  const list = await viewer('operation list --active -o name');
  assert.deepEqual(list, { code: 0, stdout: `${ID}\n`, stderr: '' });
  const { code, stderr } = await viewer(`operation cancel ${ID}`);
  assert.equal(code, 6);
  assert.match(stderr, /role viewer.*\(PERMISSION_DENIED\)/);
});

async function temporaryFolder() {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'novactl-'));
  return { path: folder, [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
}
