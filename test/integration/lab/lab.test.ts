import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { inProject } from '../../../lab/core/project.ts';
import { run } from '../../../lab/core/run-command.ts';
import { waitUntil } from '../../../lab/core/wait-until.ts';
import { Lab } from '../../../lab/lab.ts';
import { findLabProcesses } from '../../../lab/plan/lab-processes.ts';
import { findLeftovers, listLabs, removeLab } from '../../../lab/remove-lab.ts';
import { OwnedProcess } from '../../fixtures/owned-process.ts';

test('a node is a machine of its own: name, network, folders, processes, libvirt', async ({
  signal,
}) => {
  await using lab = await Lab.create({ nodes: ['a', 'b'] }, signal);
  const [a, b] = [lab.node('a'), lab.node('b')];
  assert.equal((await a.run(['hostname'], signal)).trim(), `${lab.name}-a`);
  assert.equal((await a.run(['ls', '/sys/class/net'], signal)).trim(), 'br0\neth0\neth1\nlo');
  await a.run(['touch', '/run/only-a'], signal);
  assert.equal(existsSync(a.outside('run/only-a')), true);
  assert.equal((await b.tryRun(['ls', '/run/only-a'], signal)).code, 2);
  const uuids = await Promise.all(
    [a, b].map(async (node) =>
      /<uuid>(.*)<\/uuid>/.exec(await node.libvirt.virsh(['capabilities'], signal))?.at(1),
    ),
  );
  assert.notEqual(uuids[0], uuids[1]);
});

test('the nodes see the same shared images', async ({ signal }) => {
  await using lab = await Lab.create({ nodes: ['a', 'b'] }, signal);
  const image = `${lab.plan.sharedImages}/x.img`;
  await lab.node('a').run(['truncate', '--size=1M', image], signal);
  await lab.node('b').run(['test', '-s', image], signal);
});

test('the cable can be limited, cut and restored', async ({ signal }) => {
  await using lab = await Lab.create({ nodes: ['a', 'b'] }, signal);
  const server = `timeout 20 bash -c 'exec 3<>/dev/tcp/${lab.node('b').plan.address}/7777'`;
  const canReach = async (): Promise<boolean> => {
    // Nobody listens: "refused" comes from the other side, anything else does not.
    const { stderr } = await lab.node('a').tryRun(['bash', '-c', server], signal);
    return stderr.includes('refused');
  };
  assert.equal(await canReach(), true);
  await lab.link.limit(10_000_000, signal);
  assert.match(await lab.node('b').run(['tc', 'qdisc'], signal), /tbf .*rate 10Mbit/);
  await lab.link.limit(undefined, signal);
  assert.doesNotMatch(await lab.node('b').run(['tc', 'qdisc'], signal), /tbf/);
  await lab.link.cut(signal);
  assert.equal(await canReach(), false);
  await lab.link.restore(signal);
  await waitUntil('The other side', 10_000, canReach, signal);
});

test('disposing leaves no process, namespace, mount or file', async ({ signal }) => {
  await using lab = await Lab.create({ nodes: ['a', 'b'] }, signal);
  assert.ok(findLabProcesses(lab.name).length > 4);
  const namespaces = await run(['lsns', '--noheadings', '--output=COMMAND'], {}, signal);
  assert.ok(namespaces.includes(lab.name));
  await lab[Symbol.asyncDispose]();
  await lab[Symbol.asyncDispose]();
  assert.deepEqual(findLeftovers(lab.name), []);
  await waitForNoTrace(lab.name, signal);
});

test('what a killed maker leaves is found and removed, at whatever point it was killed', async ({
  signal,
}) => {
  for (const delayMs of [60, 120, 250, 1_500]) {
    const name = `t-killed${delayMs}`;
    await using undo = new AsyncDisposableStack();
    undo.defer(() => removeLab(name));
    await makeAndKill(name, delayMs, signal);
    assert.ok((await listLabs()).includes(name), `nothing was made within ${delayMs} ms`);
    await removeLab(name);
    assert.deepEqual(findLeftovers(name), []);
    await waitForNoTrace(name, signal);
  }
});

test('a daemon that has dropped the mark of the lab goes with its node all the same', async ({
  signal,
}) => {
  await using lab = await Lab.create({ nodes: ['a'] }, signal);
  await lab.node('a').startDaemon('clean', ['env', '-i', 'sleep', '1000'], {}, signal);
  const findSleeping = () =>
    lab
      .node('a')
      .processes()
      .find(({ command, lab: mark }) => command.join(' ') === 'sleep 1000' && mark === undefined);
  // It is env, with the mark, for as long as that has not become it; and while it becomes it, it may be seen as both.
  const sleeping = await waitUntil('The daemon', 10_000, findSleeping, signal);
  await lab[Symbol.asyncDispose]();
  assert.equal(existsSync(`/proc/${sleeping.pid}`), false);
});

/** Kills the maker so long after it has made the lab's folder. */
async function makeAndKill(name: string, delayMs: number, signal: AbortSignal): Promise<void> {
  const program = `
    import { Lab } from '${inProject('lab/lab.ts')}';
    await Lab.create({ name: '${name}', nodes: ['a', 'b'] }, new AbortController().signal);
    await new Promise(() => setInterval(() => {}, 1000));`;
  await using maker = new OwnedProcess(
    spawn(process.execPath, ['--input-type=module', '--eval', program], { stdio: 'inherit' }),
  );
  await waitUntil('The folder', 10_000, async () => (await listLabs()).includes(name), signal);
  const killAt = performance.now() + delayMs;
  await waitUntil('The moment', 10_000, () => performance.now() >= killAt, signal);
  await maker.kill();
}

/** Mounts and namespaces of this machine that are the lab's. The kernel takes them down in its own time. */
async function waitForNoTrace(name: string, signal: AbortSignal): Promise<void> {
  await waitUntil(
    `The end of all mounts and namespaces of ${name}`,
    10_000,
    async () => {
      const mounts = await readFile('/proc/self/mounts', 'utf8');
      const namespaces = await run(['lsns', '--noheadings', '--output=COMMAND'], {}, signal);
      return !mounts.includes(name) && !namespaces.includes(name);
    },
    signal,
  );
}
