import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse } from 'yaml';
import { Interrupted } from '../../../src/cli/process/exit-codes.ts';
import { AgentClient } from '../../../src/client/agent-client.ts';
import { OperationState, VirtualMachinePhase } from '../../../src/client/api.ts';
import { AgentError } from '../../../src/core/errors.ts';
import { FakeCliIo } from '../../fakes/fake-cli-io.ts';
import { until } from '../../fixtures/until.ts';
import { MANIFEST, startLab } from './novactl-lab.ts';

const ID = '6b0f3c1e-1f0a-4c52-9a58-0d5b3a8f7c11';

test('machine formats have the names and words of the manifest', async () => {
  await using lab = await startLab();
  await lab.novactl('vm create -f -', { stdin: MANIFEST });
  const list = JSON.parse((await lab.novactl('vm list -o json')).stdout);
  assert.deepEqual(Object.keys(list), ['items']);
  const [vm] = list.items;
  assert.equal(vm.status.phase, 'Running');
  assert.equal(vm.status.origin.nodeName, 'node-a');
  assert.deepEqual([vm.apiVersion, vm.kind], ['novacron.io/v1alpha1', 'VirtualMachine']);
  assert.deepEqual(vm.spec.template.spec.resources, { cpu: '2', memory: '1Gi' });
  assert.equal(typeof vm.metadata.creationTimestamp, 'string');
  assert.deepEqual(parse((await lab.novactl('vm list -o yaml')).stdout), list);
  assert.equal((await lab.novactl('vm list -o name')).stdout, 'default/web\n');
  assert.deepEqual(JSON.parse((await lab.novactl('vm list -n none -o json')).stdout), {
    items: [],
  });
});

test('list and watch leave the selector to the agent, which lists in pages', async () => {
  await using lab = await startLab();
  for (let index = 0; index < 600; index++) {
    const labels = { tier: index % 2 === 0 ? 'front' : 'back' };
    lab.agent.put(`vm-${index}`, { metadata: { labels } });
  }
  const all = await lab.novactl('vm list -o name');
  assert.equal(all.stdout.trim().split('\n').length, 600);
  const some = await lab.novactl('vm list -o name -l tier!=back');
  assert.equal(some.stdout.trim().split('\n').length, 300);
  const wrong = await lab.novactl('vm list -l =');
  assert.equal(wrong.code, 4);
  assert.match(wrong.stderr, /Cannot read the label selector "="/);
});

test('errors of the agent end with their exit code and a hint', async () => {
  await using lab = await startLab();
  const missing = await lab.novactl('vm get web');
  assert.equal(missing.code, 3);
  assert.match(
    missing.stderr,
    /^Error: There is no VM default\/web .*\(VM_NOT_FOUND\)\nWhat to do: /,
  );
  for (const [reason, code] of [
    ['VM_BUSY', 4],
    ['HYPERVISOR_UNREACHABLE', 5],
    ['PERMISSION_DENIED', 6],
    ['JOURNAL_FAILURE', 1],
  ] as const) {
    lab.agent.failNext = new AgentError(reason, 'It cannot be');
    assert.equal((await lab.novactl('vm start web')).code, code, reason);
  }
});

test('an agent that is not there ends with 5 and says what to look at', async () => {
  await using lab = await startLab();
  const words = `--address unix:${lab.folder}/no.sock vm list`;
  const { code, stderr } = await lab.novactl(words);
  assert.equal(code, 5);
  assert.match(
    stderr,
    /the socket does not exist.*\nWhat to do: Is the agent running\?.*systemctl/,
  );
});

test('an agent that does not answer ends with 7', async () => {
  await using lab = await startLab();
  lab.agent.hangs = true;
  assert.equal((await lab.novactl('vm list --request-timeout 50ms')).code, 7);
});

test('a change goes on over a restart of the agent', async () => {
  await using lab = await startLab();
  lab.agent.put('web');
  lab.agent.operationSteps = [{ step: 'waiting-for-guest' }];
  const io = new FakeCliIo({ isTTY: true });
  const write = io.stderr.write.bind(io.stderr);
  let restarted = false;
  io.stderr.write = (data) => {
    write(data);
    if (restarted || !io.stderr.text.includes('waiting for guest')) return;
    restarted = true;
    lab.agent.stop();
    lab.agent.operationSteps = [{ state: OperationState.OPERATION_STATE_SUCCEEDED, step: '' }];
    void lab.agent.listen(`unix:${lab.folder}/agent.sock`);
  };
  const { code, stdout, stderr } = await lab.novactl('vm shutdown web --timeout 2m', { io });
  assert.deepEqual([code, stdout], [0, 'VM default/web is off (Stopped)\n']);
  assert.match(stderr, /connection to the agent was lost; connecting again\n/);
  assert.deepEqual(lab.agent.shutdownRequests[0]?.timeout, { seconds: 120n, nanos: 0 });
});

test('a change that is not answered may have begun, and novactl says how to find out', async () => {
  await using lab = await startLab();
  lab.agent.hangs = true;
  const words = `vm start web --operation-id ${ID} --request-timeout 50ms`;
  const { code, stderr } = await lab.novactl(words);
  assert.equal(code, 7);
  assert.match(stderr, new RegExp(`^It may have begun, as operation ${ID}\\.\n`));
  assert.match(stderr, new RegExp(`^ +Find out: +novactl operation get ${ID}$`, 'm'));
});

test('an agent that is lost while a change is asked for is asked again, as that is done once', async () => {
  await using lab = await startLab();
  lab.agent.put('web');
  lab.agent.hangs = true;
  const io = new FakeCliIo();
  const start = lab.novactl('vm start web', { io });
  await until('It is asked', () => lab.agent.calls > 0);
  lab.agent.stop();
  await until('It says so', () => io.stderr.text.includes('connecting again'));
  lab.agent.hangs = false;
  await lab.agent.listen(`unix:${lab.folder}/agent.sock`);
  const { code, stdout, stderr } = await start;
  assert.deepEqual([code, stdout], [0, 'VM default/web started (Running)\n']);
  assert.equal(stderr, 'The connection to the agent was lost; connecting again\n');
});

for (const words of ['migration cancel', 'operation cancel']) {
  test(`${words}: an agent that is lost while it is asked is asked again`, async () => {
    await using lab = await startLab();
    lab.agent.hangs = true;
    const io = new FakeCliIo();
    const cancel = lab.novactl(`${words} ${ID}`, { io });
    await until('It is asked', () => lab.agent.calls > 0);
    lab.agent.stop();
    await until('It says so', () => io.stderr.text.includes('connecting again'));
    lab.agent.hangs = false;
    await lab.agent.listen(`unix:${lab.folder}/agent.sock`);
    const { code, stderr } = await cancel;
    // The fake agent knows of none.
    assert.equal(code, 3, stderr);
    assert.match(stderr, /NOT_FOUND/);
  });
}

for (const [words, about] of [
  ['vm start web --operation-id', `operation get ${ID}`],
  ['node cordon --operation-id', `operation get ${ID}`],
  ['migrate web --to node-b --id', `migration watch ${ID}`],
] as const) {
  test(`${words}: an agent that is lost and stays away may have begun, which novactl says`, async () => {
    await using lab = await startLab();
    lab.agent.put('web');
    lab.agent.hangs = true;
    const command = lab.novactl(`${words} ${ID} --request-timeout 2s`);
    await until('It is asked', () => lab.agent.calls > 0);
    lab.agent.stop();
    const { code, stderr } = await command;
    assert.equal(code, 5);
    assert.match(stderr, /^The connection to the agent was lost; connecting again\nIt may have /);
    assert.match(stderr, new RegExp(`novactl ${about}$`, 'm'));
    assert.match(stderr, /\(AGENT_UNREACHABLE\)\nWhat to do/);
  });
}

test('an agent that is not there has begun nothing, and is not waited for', async () => {
  await using lab = await startLab();
  lab.agent.stop();
  const { code, stderr } = await lab.novactl('vm start web');
  assert.equal(code, 5);
  assert.match(stderr, /^Error: Cannot reach the agent/);
});

test('an operation whose agent stays away is not waited for for ever', async () => {
  await using lab = await startLab();
  lab.agent.put('web');
  lab.agent.operationSteps = [{ step: 'waiting-for-guest' }];
  const io = new FakeCliIo({ isTTY: true });
  const words = `vm shutdown web --operation-id ${ID} --request-timeout 300ms`;
  const shutdown = lab.novactl(words, { io });
  await until('The line', () => io.stderr.text.includes('waiting for guest'));
  lab.agent.stop();
  const { code, stderr } = await shutdown;
  assert.equal(code, 5);
  assert.match(stderr, new RegExp(`Stopped waiting: operation ${ID} goes on`));
});

test('delete refuses a running VM unless forced', async () => {
  await using lab = await startLab();
  lab.agent.put('web');
  assert.equal((await lab.novactl('vm delete web')).code, 4);
  assert.equal((await lab.novactl('vm delete web --force')).code, 0);
});

test('delete says that a VM is not there, and why, and fails unless that is fine', async () => {
  await using lab = await startLab();
  for (const [outcome, why] of [
    ['ALREADY_DELETED', 'it was deleted before'],
    ['NEVER_HERE', 'the node has never had it'],
  ] as const) {
    lab.agent.absence = outcome;
    const { code, stderr } = await lab.novactl('vm delete web');
    assert.equal(code, 3);
    assert.match(stderr, new RegExp(`^Error: VM default/web not found: ${why} .VM_NOT_FOUND.`));
    const ignored = await lab.novactl('vm delete web --ignore-not-found');
    assert.deepEqual([ignored.code, ignored.stdout], [0, `VM default/web not found: ${why}\n`]);
  }
});

test('the console comes byte by byte', async () => {
  await using lab = await startLab();
  const { stdout } = await lab.novactl('vm log web --tail 7');
  assert.equal(stdout, 'login: ');
});

test('a console that is followed says why it has ended', async () => {
  await using lab = await startLab();
  lab.agent.put('web', {}, VirtualMachinePhase.VIRTUAL_MACHINE_PHASE_STOPPED);
  const { code, stdout, stderr } = await lab.novactl('vm log web --follow');
  assert.deepEqual([code, stdout], [0, 'Linux version 6.1.0\r\nlogin: ']);
  assert.equal(stderr, 'The console of VM default/web has ended: it is Stopped now\n');
});

test('watch prints the VMs and their changes until Ctrl-C', async () => {
  await using lab = await startLab();
  lab.agent.put('web');
  const interrupt = new AbortController();
  const io = new FakeCliIo({ signal: interrupt.signal });
  const write = io.stdout.write.bind(io.stdout);
  io.stdout.write = (data) => {
    write(data);
    if (io.stdout.text.includes('ADDED')) lab.agent.remove('web');
    if (io.stdout.text.includes('DELETED')) interrupt.abort(new Interrupted('Interrupted'));
  };
  const { code, stdout } = await lab.novactl('watch -o json', { io });
  assert.equal(code, 130);
  const types = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).type);
  assert.deepEqual(types, ['ADDED', 'DELETED']);
});

test('node get shows the node', async () => {
  await using lab = await startLab();
  assert.match(
    (await lab.novactl('node get')).stdout,
    /^node-a +Ready +0 +1\/8 +586Mi\/15Gi +kvm[^]*^memory +16Gi +15Gi +586Mi +0B +14\.4Gi$/m,
  );
  const node = JSON.parse((await lab.novactl('node get -o json')).stdout);
  assert.equal(node.status.conditions[0].status, 'True');
});

test('version has both versions, and its own when there is no agent', async () => {
  await using lab = await startLab();
  assert.match(
    (await lab.novactl('version')).stdout,
    /^novactl \S+\nagent {3}0\.1\.0 \(node node-a\)\n$/,
  );
  const alone = await lab.novactl(`version --address unix:${lab.folder}/no.sock`);
  assert.equal(alone.code, 5);
  assert.match(alone.stdout, /^novactl \S+\n$/);
});

test('a node is cordoned with a reason, and takes VMs again', async () => {
  await using lab = await startLab();
  const cordoned = await lab.novactl('node cordon --reason memory');
  assert.deepEqual([cordoned.code, cordoned.stdout], [0, 'Node node-a takes no new VMs\n']);
  assert.match((await lab.novactl('node get')).stdout, /^node-a +Ready,Cordoned /m);
  assert.deepEqual(JSON.parse((await lab.novactl('node cordon -o json')).stdout).spec, {
    cordon: true,
    cordonReason: 'memory',
  });
  await lab.novactl('node uncordon');
  assert.equal(lab.agent.nodes.get('node-a')?.spec?.cordon, false);
  assert.equal(lab.agent.nodes.get('node-a')?.spec?.cordonReason, '');
});

test('reservations are listed and released', async () => {
  await using lab = await startLab();
  using client = await AgentClient.open({ address: `unix:${lab.folder}/agent.sock` });
  await client.node.reserve(
    {
      id: ID,
      virtualMachine: { name: 'web' },
      machine: { resources: { cpu: '2', memory: '1Gi' } },
    },
    { signal: new AbortController().signal },
  );
  const { stdout } = await lab.novactl('node reservations');
  assert.match(stdout, new RegExp(`^${ID} +default/web +cpu=2,memory=1Gi`, 'm'));
  assert.equal((await lab.novactl(`node release ${ID}`)).code, 0);
  assert.equal((await lab.novactl('node reservations')).stderr, 'There are no reservations\n');
});

test('each verb says what it came to, and what the VM is then', async () => {
  await using lab = await startLab();
  lab.agent.put('web', {});
  for (const [command, said] of [
    ['suspend web', 'suspended (Paused)'],
    ['resume web', 'resumed (Running)'],
    ['reset web', 'reset (Running)'],
    ['reboot web --timeout 1m', 'rebooted (Running)'],
    ['restart web --timeout 1m --force', 'restarted (Running)'],
    ['eject web setup --force', 'has nothing in setup any more (Running)'],
    ['insert web setup /a.iso', 'has /a.iso in setup (Running)'],
    ['destroy web', 'cut off (Stopped)'],
    ['restart web', 'was off and has been started (Running)'],
  ] as const) {
    const { code, stdout } = await lab.novactl(`vm ${command}`);
    assert.deepEqual([code, stdout], [0, `VM default/web ${said}\n`]);
  }
});
