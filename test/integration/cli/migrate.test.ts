import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Interrupted } from '../../../src/cli/process/exit-codes.ts';
import { Migration, MigrationImageVerdict, MigrationPhase } from '../../../src/client/api.ts';
import { FakeCliIo } from '../../fakes/fake-cli-io.ts';
import { startLab } from './novactl-lab.ts';

const ID = '6b0f3c1e-1f0a-4c52-9a58-0d5b3a8f7c11';

const SAME = MigrationImageVerdict.MIGRATION_IMAGE_VERDICT_SAME;

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
  const words = `migrate web --to node-b --id ${ID} --max-downtime 50ms --bandwidth 1Gbps --label plan=friday --address 10.0.0.2:7443`;
  const { code, stdout, stderr } = await lab.novactl(words);
  assert.equal(code, 0);
  assert.match(stdout, /^VM default\/web runs on node node-b: 2s in all, 40ms downtime/);
  assert.match(stderr, /^Preparing/m);
  const { labels, spec } = lab.agent.migrations.get(ID) ?? {};
  assert.deepEqual(labels, { plan: 'friday' });
  assert.equal(spec?.destination?.address, '10.0.0.2:7443');
  assert.equal(spec?.limits?.bandwidth, '1Gbps');
  assert.deepEqual(spec?.limits?.maxDowntime, { seconds: 0n, nanos: 50_000_000 });
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
  lab.agent.planImages = [
    { volume: 'root', path: '/srv/a', verdict: SAME, message: 'both nodes have raw file a' },
  ];
  const disks = await lab.novactl('migrate web --to node-b --plan');
  assert.match(
    disks.stdout,
    /^ {2}volume root, \/srv\/a: the same on both nodes; both nodes have/m,
  );
  const yaml = await lab.novactl('migrate web --to node-b --plan -o yaml');
  assert.match(yaml.stdout, /verdict: Same\n/);
  lab.agent.planBlockers = [
    { reason: 'PEER_UNREACHABLE', message: 'No answer', nodeName: 'node-b', subject: '' },
  ];
  const blocked = await lab.novactl('migrate web --to node-b --plan');
  assert.equal(blocked.code, 4);
  assert.match(blocked.stdout, /node-b: No answer \(PEER_UNREACHABLE\)\n +What to do: Check that/);

  // What is to be done is to be done there.
  lab.agent.planBlockers = [
    { reason: 'NODE_CORDONED', message: 'It is cordoned', nodeName: 'node-b', subject: '' },
  ];
  const cordoned = await lab.novactl('migrate web --to node-b --plan');
  assert.match(cordoned.stdout, /take VMs again with: novactl --node node-b node uncordon\n/);

  // It says the way on by itself, and the plan that its hint names is this one.
  lab.agent.planBlockers = [
    { reason: 'MIGRATION_BLOCKED', message: 'Delete it', nodeName: 'a', subject: '' },
  ];
  const { stdout } = await lab.novactl('migrate web --to node-b --plan');
  assert.match(stdout, /a: Delete it \(MIGRATION_BLOCKED\)\n$/);
});

test('--trust-shared names volumes, each time one', async () => {
  await using lab = await startLab();
  lab.agent.put('web');
  const migrate = `migrate web --to node-b --no-wait --id ${ID} --trust-shared root`;
  assert.equal((await lab.novactl(`${migrate} --trust-shared data`)).code, 0);
  assert.deepEqual(lab.agent.migrations.get(ID)?.spec?.trustShared, ['root', 'data']);
  const { stdout } = await lab.novactl(`migration get ${ID} -o yaml`);
  assert.match(stdout, /trustShared:\n +- root\n +- data/);
  for (const wrong of ['root,data', '/srv/a', '']) {
    assert.equal((await lab.novactl(`migrate web --to b --trust-shared=${wrong}`)).code, 2);
  }
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

test('a migration is settled only by the name of the node that is off, and it is said what that risks', async () => {
  await using lab = await startLab();
  lab.agent.put('web');
  await lab.novactl(`migrate web --to node-b --no-wait --id ${ID}`);
  const silent = await lab.novactl(`migration settle ${ID}`);
  assert.equal(silent.code, 2);
  assert.match(silent.stderr, /--node-is-off NODE.*runs twice, and both copies write to the same/);
  const wrong = await lab.novactl(`migration settle ${ID} --node-is-off node-c`);
  assert.match(wrong.stderr, /Its other node is node-b \(INVALID_REQUEST\)/);
  const { code, stdout } = await lab.novactl(`migration settle ${ID} --node-is-off node-b`);
  assert.equal(code, 0);
  assert.match(stdout, /has been settled without node node-b: Node node-b is off for good/);
  const json = await lab.novactl(`migration settle ${ID} --node-is-off node-b -o json`);
  assert.equal(JSON.parse(json.stdout).status.phase, 'Failed');
});

test('without an id every change of the chosen migrations is printed', async () => {
  await using lab = await startLab();
  lab.agent.put('web');
  const start = `migrate web --to node-b --no-wait`;
  await lab.novactl(`${start} --id ${ID} --label plan=friday`);
  await lab.novactl(`${start} --id ${ID.replace('6b', '7b')}`);
  const interrupt = new AbortController();
  const io = new FakeCliIo({ signal: interrupt.signal });
  const write = io.stdout.write.bind(io.stdout);
  io.stdout.write = (data) => {
    write(data);
    interrupt.abort(new Interrupted('Interrupted'));
  };
  const { code, stdout } = await lab.novactl('migration watch -l plan=friday', { io });
  assert.equal(code, 130);
  assert.match(stdout, new RegExp(`added +${ID} default/web node-a -> node-b Preparing\n$`));
});
