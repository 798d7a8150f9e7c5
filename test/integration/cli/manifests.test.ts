import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { Interrupted } from '../../../src/cli/process/exit-codes.ts';
import { FakeCliIo } from '../../fakes/fake-cli-io.ts';
import { MANIFEST, OTHER, startLab } from './novactl-lab.ts';

test('a VM is made from standard input, listed and printed', async () => {
  await using lab = await startLab();
  const made = await lab.novactl('vm create -f -', { stdin: MANIFEST });
  assert.deepEqual(made, { code: 0, stdout: 'VM default/web created (Running)\n', stderr: '' });
  const { stdout } = await lab.novactl('vm list');
  const [header, row] = stdout.split('\n');
  assert.match(
    header ?? '',
    /^NAMESPACE +NAME +PHASE +REASON +NODE +ADDRESSES +CPUS +MEMORY +MIGRATABLE +UPTIME +AGE$/,
  );
  assert.match(row ?? '', /^default +web +Running +- +node-a +- +2 +1Gi +- +- +\S+$/);
  const within = await lab.novactl('vm list -n default');
  assert.match(within.stdout, /^NAME /);
});

test('what get -o yaml prints is what apply reads, and changes nothing', async () => {
  await using lab = await startLab();
  await lab.novactl('vm create -f -', { stdin: MANIFEST });
  const { stdout } = await lab.novactl('vm get web -o yaml');
  const again = await lab.novactl('vm apply -f -', { stdin: stdout });
  assert.deepEqual(again, { code: 0, stdout: 'VM default/web unchanged\n', stderr: '' });
  const [first] = lab.agent.createRequests;
  assert.equal(lab.agent.applyRequests[0]?.virtualMachine?.metadata?.uid, first?.metadata?.uid);
});

test('--dry-run makes nothing, and a wrong manifest is refused with 4', async () => {
  await using lab = await startLab();
  const dry = await lab.novactl('vm create -f - --dry-run', { stdin: MANIFEST });
  assert.equal(dry.stdout, 'VM default/web could be created\n');
  assert.equal(lab.agent.vms.size, 0);
  const wrong = await lab.novactl('vm create -f -', { stdin: MANIFEST.replace('cpu:', 'cpus:') });
  assert.equal(wrong.code, 4);
  assert.match(
    wrong.stderr,
    /spec\.template\.spec\.resources\.cpus: unknown key; did you mean cpu\?/,
  );
});

test('--namespace fills in the namespace of a file and contradicts none', async () => {
  await using lab = await startLab();
  await lab.novactl('vm create -n shop -f -', { stdin: MANIFEST });
  assert.ok(lab.agent.vms.has('shop/web'));
  const stdin = MANIFEST.replace('{name: web', '{name: web, namespace: other');
  const refused = await lab.novactl('vm create -n shop -f -', { stdin });
  assert.equal(refused.code, 4);
  assert.match(refused.stderr, /metadata\.namespace is "other", but --namespace says shop/);
});

test('apply goes on after a document that fails, and says what was done and what not', async () => {
  await using lab = await startLab();
  lab.agent.warnings = ['nodeSelector is kept and has no effect'];
  const wrong = MANIFEST.replace('name: web', 'name: wrong').replace('1Gi', '1GB');
  const stdin = [MANIFEST, wrong, OTHER].join('---');
  const { code, stdout, stderr } = await lab.novactl('vm apply -f -', { stdin });
  assert.equal(code, 4);
  assert.equal(stdout, 'VM default/web created (Running)\nVM default/db created (Running)\n');
  assert.match(stderr, /^Warning: VM default\/web: nodeSelector is kept and has no effect$/m);
  assert.match(
    stderr,
    /^Error in standard input, document 2: .*resources\.memory must be a quantity.*\(INVALID_SPEC\)$/m,
  );
  assert.match(
    stderr,
    /^Done: 2 created\nNot done: 1\n {2}standard input, document 2: INVALID_SPEC$/m,
  );
});

test('apply with --dry-run changes nothing, and with -o json says it to programs', async () => {
  await using lab = await startLab();
  const dry = await lab.novactl('vm apply --dry-run -f -', { stdin: MANIFEST });
  assert.equal(dry.stdout, 'VM default/web would be created\n');
  assert.equal(lab.agent.vms.size, 0);
  const stdin = `${MANIFEST}---\nkind: VMPool\n`;
  const { code, stdout } = await lab.novactl('vm apply -o json -f -', { stdin });
  assert.equal(code, 4);
  const [done, failed] = JSON.parse(stdout).items;
  assert.deepEqual([done.outcome, done.object.metadata.name], ['created', 'web']);
  assert.deepEqual([failed.outcome, failed.error.reason], ['failed', 'NOT_SUPPORTED']);
});

test('apply with --generation changes only the VM that was meant', async () => {
  await using lab = await startLab();
  const first = await lab.novactl('vm apply --generation 0 -f -', { stdin: MANIFEST });
  assert.equal(first.code, 0);
  const stale = await lab.novactl('vm apply --generation 0 -f -', { stdin: MANIFEST });
  assert.equal(stale.code, 4);
  assert.match(stale.stderr, /GENERATION_MISMATCH\)\nWhat to do: Somebody changed it meanwhile/);
  const several = await lab.novactl('vm apply --generation 1 -f -', {
    stdin: `${MANIFEST}---${OTHER}`,
  });
  assert.equal(several.code, 2);
});

test('delete -f deletes the VMs of manifests', async () => {
  await using lab = await startLab();
  const file = path.join(lab.folder, 'vms.yaml');
  await writeFile(file, `${MANIFEST}---${OTHER}`);
  await lab.novactl(`vm apply -f ${file}`);
  const running = await lab.novactl(`vm delete -f ${file}`);
  assert.equal(running.code, 4);
  const { code, stdout, stderr } = await lab.novactl(`vm delete --force -f ${file}`);
  assert.equal(code, 0);
  assert.equal(stdout, 'VM default/web deleted\nVM default/db deleted\n');
  assert.equal(stderr, 'Done: 2 deleted\n');
  assert.equal(lab.agent.vms.size, 0);
  const again = await lab.novactl(`vm delete -f ${file}`);
  assert.equal(again.code, 3);
  const ignored = await lab.novactl(`vm delete --ignore-not-found -f ${file}`);
  assert.deepEqual([ignored.code, ignored.stderr], [0, 'Done: 2 not found\n']);
});

test('Ctrl-C while one of several is waited for says what goes on and what was not tried', async () => {
  await using lab = await startLab();
  lab.agent.operationSteps = [{ step: 'changing' }];
  const interrupt = new AbortController();
  const io = new FakeCliIo({ isTTY: true, signal: interrupt.signal });
  const write = io.stderr.write.bind(io.stderr);
  io.stderr.write = (data) => {
    write(data);
    if (io.stderr.text.includes(': changing')) interrupt.abort(new Interrupted('Interrupted'));
  };
  const stdin = `${MANIFEST}---${OTHER}`;
  const { code, stdout, stderr } = await lab.novactl('vm apply -f -', { stdin, io });
  assert.deepEqual([code, stdout], [130, '']);
  assert.match(
    stderr,
    /standard input, document 1: Stopped waiting: operation \S+ goes on\.\n {2}Watch it:.*\n {2}Cancel it:.*\nDone: nothing\nNot done: 2\n.*interrupted\n.*not tried\n$/,
  );
});

test('--no-wait prints an id for each manifest', async () => {
  await using lab = await startLab();
  lab.agent.operationSteps = [{ step: 'changing' }];
  for (const verb of ['create', 'apply', 'delete --force']) {
    const stdin = `${MANIFEST}---${OTHER}`;
    const { code, stdout, stderr } = await lab.novactl(`vm ${verb} --no-wait -f -`, { stdin });
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^[0-9a-f-]{36}\n[0-9a-f-]{36}\n$/, verb);
    assert.equal(stderr, 'Done: 2 begun\n');
  }
});

test('Ctrl-C while one of several is waited for says what goes on and what was not tried', async () => {
  await using lab = await startLab();
  lab.agent.operationSteps = [{ step: 'changing' }];
  const interrupt = new AbortController();
  const io = new FakeCliIo({ isTTY: true, signal: interrupt.signal });
  const write = io.stderr.write.bind(io.stderr);
  io.stderr.write = (data) => {
    write(data);
    if (io.stderr.text.includes(': changing')) interrupt.abort(new Interrupted('Interrupted'));
  };
  const stdin = `${MANIFEST}---${OTHER}`;
  const { code, stdout, stderr } = await lab.novactl('vm apply -f -', { stdin, io });
  assert.deepEqual([code, stdout], [130, '']);
  assert.match(
    stderr,
    /standard input, document 1: Stopped waiting: operation \S+ goes on\.\n {2}Watch it:.*\n {2}Cancel it:.*\nDone: nothing\nNot done: 2\n.*interrupted\n.*not tried\n$/,
  );
});

test('--no-wait prints an id for each manifest', async () => {
  await using lab = await startLab();
  lab.agent.operationSteps = [{ step: 'changing' }];
  for (const verb of ['create', 'apply', 'delete --force']) {
    const stdin = `${MANIFEST}---${OTHER}`;
    const { code, stdout, stderr } = await lab.novactl(`vm ${verb} --no-wait -f -`, { stdin });
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^[0-9a-f-]{36}\n[0-9a-f-]{36}\n$/, verb);
    assert.equal(stderr, 'Done: 2 begun\n');
  }
});
