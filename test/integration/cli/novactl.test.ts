import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { Interrupted } from '../../../src/cli/process/exit-codes.ts';
import { runCli } from '../../../src/cli/program.ts';
import { Migration, MigrationPhase } from '../../../src/client/api.ts';
import { AgentError } from '../../../src/core/errors.ts';
import { FakeCliIo } from '../../fakes/fake-cli-io.ts';
import { ServedAgent } from './served-agent.ts';

const ID = '6b0f3c1e-1f0a-4c52-9a58-0d5b3a8f7c11';

async function startLab() {
  const served = await ServedAgent.start();
  const { agent, folder, address } = served;
  const config = path.join(folder, 'novactl.yaml');
  await writeFile(config, `contexts: {a: {address: '${address}'}}\ncurrent: a\n`);
  return {
    agent,
    folder,
    /** Runs novactl against the agent. */
    async novactl(words: string, given: { io?: FakeCliIo; stdin?: string } = {}) {
      const io = given.io ?? new FakeCliIo();
      io.env['NOVACTL_CONFIG'] = config;
      io.stdin = given.stdin ?? '';
      const code = await runCli(words.split(' '), io);
      return { code, stdout: io.stdout.text, stderr: io.stderr.text };
    },
    [Symbol.asyncDispose]: () => served[Symbol.asyncDispose](),
  };
}

const MANIFEST = `
apiVersion: novacron.dev/v1alpha1
kind: VirtualMachine
metadata: {name: web, uid: 3f1c2d4e-0000-4000-8000-0000000000aa, labels: {app: web}}
spec:
  powerState: Running
  cpu: {vcpus: 2}
  memory: {size: 1Gi}
  boot: {firmware: uefi}
  disks: [{name: root, target: vda, format: qcow2, path: /a.qcow2, bootOrder: 1}]
`;

function step(phase: MigrationPhase, more: object = {}): Migration {
  return Migration.create({
    status: {
      phase,
      sourceNode: 'node-a',
      destinationNode: 'node-b',
      progress: { memoryTotalBytes: 100n, memoryProcessedBytes: 50n, fractionDone: 0.5 },
      ...more,
    },
  });
}

test('a VM is made from standard input, listed and printed', async () => {
  await using lab = await startLab();
  const made = await lab.novactl('vm create -f -', { stdin: MANIFEST });
  assert.deepEqual(made, { code: 0, stdout: 'VM default/web made (Running)\n', stderr: '' });
  const { stdout } = await lab.novactl('vm list');
  const [header, row] = stdout.split('\n');
  assert.match(header ?? '', /^NAMESPACE +NAME +PHASE +CPUS +MEMORY +AGE +NODE$/);
  assert.match(row ?? '', /^default +web +Running +2 +1Gi +\S+ +node-a$/);
  const within = await lab.novactl('vm list -n default');
  assert.match(within.stdout, /^NAME /);
});

test('what get -o yaml prints makes the same VM again', async () => {
  await using lab = await startLab();
  await lab.novactl('vm create -f -', { stdin: MANIFEST });
  const { stdout } = await lab.novactl('vm get web -o yaml');
  await lab.novactl('vm create -f -', { stdin: stdout });
  const [first, second] = lab.agent.createRequests;
  assert.deepEqual(second?.spec, first?.spec);
  assert.equal(second?.metadata?.uid, first?.metadata?.uid);
});

test('machine formats have the names and words of the API', async () => {
  await using lab = await startLab();
  await lab.novactl('vm create -f -', { stdin: MANIFEST });
  const list = JSON.parse((await lab.novactl('vm list -o json')).stdout);
  assert.deepEqual(Object.keys(list), ['items']);
  const [vm] = list.items;
  assert.equal(vm.status.phase, 'Running');
  assert.equal(vm.status.origin.nodeName, 'node-a');
  assert.equal(vm.spec.powerState, 'Running');
  assert.equal(typeof vm.metadata.createTime, 'string');
  assert.deepEqual(parse((await lab.novactl('vm list -o yaml')).stdout), list);
  assert.equal((await lab.novactl('vm list -o name')).stdout, 'default/web\n');
  assert.deepEqual(JSON.parse((await lab.novactl('vm list -n none -o json')).stdout), {
    items: [],
  });
});

test('--dry-run makes nothing, and a wrong manifest is refused with 4', async () => {
  await using lab = await startLab();
  const dry = await lab.novactl('vm create -f - --dry-run', { stdin: MANIFEST });
  assert.equal(dry.stdout, 'VM default/web could be made\n');
  assert.equal(lab.agent.vms.size, 0);
  const wrong = await lab.novactl('vm create -f -', { stdin: MANIFEST.replace('vcpus', 'vcpu') });
  assert.equal(wrong.code, 4);
  assert.match(wrong.stderr, /spec\.cpu\.vcpu: unknown key; did you mean vcpus\?/);
});

test('--namespace fills in the namespace of a file and contradicts none', async () => {
  await using lab = await startLab();
  await lab.novactl('vm create -n shop -f -', { stdin: MANIFEST });
  assert.ok(lab.agent.vms.has('shop/web'));
  const stdin = MANIFEST.replace('{name: web', '{name: web, namespace: other');
  const refused = await lab.novactl('vm create -n shop -f -', { stdin });
  assert.equal(refused.code, 4);
  assert.match(refused.stderr, /namespace shop: its file says other/);
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

test('shutdown --wait waits until the VM is off', async () => {
  await using lab = await startLab();
  lab.agent.put('web');
  const { code, stdout } = await lab.novactl('vm shutdown web --wait');
  assert.deepEqual([code, stdout], [0, 'VM default/web is off (Stopped)\n']);
});

test('start --wait gives up after --timeout with 7', async () => {
  await using lab = await startLab();
  lab.agent.put('web');
  lab.agent.startsNothing = true;
  const { code, stderr } = await lab.novactl('vm start web --wait --timeout 100ms');
  assert.equal(code, 7);
  assert.match(stderr, /VM default\/web is still Stopped after 100ms/);
});

test('delete refuses a running VM unless forced, and counts a missing one as deleted', async () => {
  await using lab = await startLab();
  lab.agent.put('web');
  assert.equal((await lab.novactl('vm delete web')).code, 4);
  assert.equal((await lab.novactl('vm delete web --force')).code, 0);
  assert.equal((await lab.novactl('vm delete default/web')).code, 0);
});

test('the console comes byte by byte', async () => {
  await using lab = await startLab();
  const { stdout } = await lab.novactl('vm log web --tail 7');
  assert.equal(stdout, 'login: ');
});

test('migrate shows the progress and ends with the result', async () => {
  await using lab = await startLab();
  lab.agent.put('web');
  const result = {
    totalTime: { seconds: 2n, nanos: 0 },
    downtime: { seconds: 0n, nanos: 40_000_000 },
    iterations: 2,
  };
  lab.agent.migrationSteps = [
    step(MigrationPhase.MIGRATION_PHASE_COPYING),
    step(MigrationPhase.MIGRATION_PHASE_COMPLETED, { result }),
  ];
  const words = `migrate web --to node-b --id ${ID} --max-downtime 50ms --bandwidth 100M --address 10.0.0.2:7443`;
  const { code, stdout, stderr } = await lab.novactl(words);
  assert.equal(code, 0);
  assert.match(stdout, /^VM default\/web runs on node node-b: 2s in all, 40ms downtime/);
  assert.match(stderr, /^Preparing/m);
  const { spec } = lab.agent.migrations.get(ID) ?? {};
  assert.equal(spec?.destination?.address, '10.0.0.2:7443');
  assert.equal(spec?.policy?.bandwidthBytesPerSecond, 100_000_000n);
  assert.deepEqual(spec?.policy?.maxDowntime, { seconds: 0n, nanos: 50_000_000 });
});

test('a failed migration ends with 1', async () => {
  await using lab = await startLab();
  lab.agent.put('web');
  lab.agent.migrationSteps = [
    step(MigrationPhase.MIGRATION_PHASE_FAILED, { reason: 'STREAM_FAILED', message: 'Link lost' }),
  ];
  const { code, stdout } = await lab.novactl(`migrate web --to node-b --id ${ID} -o json`);
  assert.equal(code, 1);
  assert.equal(JSON.parse(stdout).status.reason, 'STREAM_FAILED');
});

test('Ctrl-C in migrate stops watching and says how to come back', async () => {
  await using lab = await startLab();
  lab.agent.put('web');
  lab.agent.migrationSteps = [step(MigrationPhase.MIGRATION_PHASE_COPYING)];
  const interrupt = new AbortController();
  const io = new FakeCliIo({ signal: interrupt.signal });
  const write = io.stderr.write.bind(io.stderr);
  io.stderr.write = (data) => {
    write(data);
    if (io.stderr.text.includes('Copying')) interrupt.abort(new Interrupted('Interrupted'));
  };
  const { code, stderr } = await lab.novactl(`--node a migrate web --to node-b --id ${ID}`, { io });
  assert.equal(code, 130);
  assert.match(stderr, new RegExp(`novactl migration watch ${ID} --node a`));
  assert.match(stderr, new RegExp(`novactl migration cancel ${ID} --node a`));
  assert.equal(lab.agent.migrations.get(ID)?.status?.phase, MigrationPhase.MIGRATION_PHASE_COPYING);
});

test('migrate goes on over a restart of the agent', async () => {
  await using lab = await startLab();
  lab.agent.put('web');
  lab.agent.migrationSteps = [step(MigrationPhase.MIGRATION_PHASE_COPYING)];
  const io = new FakeCliIo();
  const write = io.stderr.write.bind(io.stderr);
  let restarted = false;
  io.stderr.write = (data) => {
    write(data);
    if (restarted || !io.stderr.text.includes('Copying')) return;
    restarted = true;
    lab.agent.stop();
    lab.agent.migrationSteps = [step(MigrationPhase.MIGRATION_PHASE_COMPLETED)];
    void lab.agent.listen(`unix:${lab.folder}/agent.sock`);
  };
  const { code, stderr } = await lab.novactl(`migrate web --to node-b --id ${ID}`, { io });
  assert.equal(code, 0);
  assert.match(stderr, /connection to the agent was lost; connecting again/);
});

test('--plan says what stands in the way, what to do, and whether it is possible', async () => {
  await using lab = await startLab();
  const possible = await lab.novactl('migrate web --to node-b --plan');
  assert.equal(possible.code, 0);
  assert.match(possible.stdout, /can be migrated to node node-b: 512Mi of memory/);
  lab.agent.planBlockers = [
    { reason: 'PEER_UNREACHABLE', message: 'No answer', nodeName: 'node-b', subject: '' },
  ];
  const blocked = await lab.novactl('migrate web --to node-b --plan');
  assert.equal(blocked.code, 4);
  assert.match(blocked.stdout, /node-b: No answer \(PEER_UNREACHABLE\)\n +What to do: Check that/);
});

test('--no-wait answers at once, and the migration can be listed and cancelled', async () => {
  await using lab = await startLab();
  lab.agent.put('web');
  const started = await lab.novactl(`migrate web --to node-b --no-wait --id ${ID}`);
  assert.match(started.stdout, new RegExp(`^Started: migration ${ID} goes on`));
  assert.match((await lab.novactl('migration list')).stdout, new RegExp(`${ID} +default/web`));
  assert.match((await lab.novactl(`migration get ${ID} -o yaml`)).stdout, /phase: Preparing/);
  assert.equal((await lab.novactl(`migration cancel ${ID}`)).code, 0);
  assert.equal((await lab.novactl(`migration watch ${ID}`)).code, 1);
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
    /^node-a +Ready +0 +1\/8 +512Mi\/16Gi +kvm/m,
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
