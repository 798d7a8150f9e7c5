import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { createDemoDisk } from '../../lab/guest/demo-disk.ts';
import { EXIT_CODES } from '../../src/cli/process/exit-codes.ts';
import { foreignDomain, pidOfDomain } from '../e2e/foreign-domain.ts';
import { NovactlTerminal } from '../e2e/novactl-terminal.ts';
import { TwoNodes } from '../e2e/two-nodes.ts';

const DOMAIN = 'Shop_1';

interface Seen {
  readonly metadata: { readonly uid: string; readonly generation: number };
  readonly spec: { readonly runStrategy: string };
  readonly status: {
    readonly phase: string;
    readonly kept?: readonly string[];
    readonly pendingFields?: readonly string[];
    readonly conditions: readonly { readonly type: string; readonly status: string }[];
  };
}

test('a VM that somebody has made with virsh is adopted while it runs, and is as any other', async (context) => {
  await using nodes = await TwoNodes.start(context.signal);
  const { a, b, lab } = nodes;
  const folder = lab.plan.sharedImages;
  const disk = await createDemoDisk(folder, 'shop', context.signal);
  const file = path.join(lab.plan.directory, 'shop.xml');
  const virsh = (...args: string[]) => a.libvirt.virsh(args, context.signal);
  const ok = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await nodes.novactl(args, context.signal);
    assert.equal(code, 0, `novactl ${args.join(' ')}: ${stderr}`);
    return stdout;
  };
  const get = async (node = 'a'): Promise<Seen> =>
    JSON.parse(await ok('--node', node, 'vm', 'get', 'shop', '-o', 'json')) as Seen;
  const story = (name: string, tell: (signal: AbortSignal) => Promise<void>): Promise<void> =>
    context.test(name, ({ signal }: TestContext) => tell(signal));

  await writeFile(file, foreignDomain(nodes.guest, { name: DOMAIN, diskPath: disk.path }));
  await virsh('define', file);
  await virsh('autostart', DOMAIN);
  await virsh('start', DOMAIN);
  const uid = (await virsh('domuuid', DOMAIN)).trim();
  const pid = pidOfDomain(a, DOMAIN);
  const xml = { live: await virsh('dumpxml', DOMAIN), next: '' };
  xml.next = await virsh('dumpxml', '--inactive', DOMAIN);

  await story('a dry run shows its manifest and what is kept, and changes nothing', async () => {
    const named = await nodes.novactl(['vm', 'adopt', DOMAIN, '--dry-run'], context.signal);
    assert.equal(named.code, EXIT_CODES.refused, named.stderr);
    assert.match(named.stderr, /give it one with --name/);
    const text = await ok('vm', 'adopt', DOMAIN, '--name', 'shop', '--dry-run');
    assert.match(text, /VM default\/shop could be adopted, with this manifest:/);
    assert.match(text, /memory: 256Mi/);
    assert.match(text, /Kept as it is[^]*sound ich9/);
    assert.equal(await virsh('dumpxml', '--inactive', DOMAIN), xml.next);
    assert.equal(await virsh('dumpxml', DOMAIN), xml.live);
  });

  await story('it runs on, as it was made, and is the agent’s', async () => {
    const { stdout, stderr } = await nodes.novactl(
      ['vm', 'adopt', DOMAIN, '--name', 'shop'],
      context.signal,
    );
    assert.match(stdout, /VM default\/shop adopted \(Running\)/, stderr);
    assert.match(stderr, /autostart/);
    assert.equal(pidOfDomain(a, DOMAIN), pid);
    const [live, next] = [
      await virsh('dumpxml', DOMAIN),
      await virsh('dumpxml', '--inactive', DOMAIN),
    ];
    assert.equal(withoutMetadata(live), withoutMetadata(xml.live));
    assert.equal(withoutMetadata(next), withoutMetadata(xml.next));
    const seen = await get();
    assert.deepEqual(
      [seen.metadata.uid, seen.metadata.generation, seen.spec.runStrategy, seen.status.phase],
      [uid, 1, 'RerunOnFailure', 'Running'],
    );
    assert.deepEqual(seen.status.pendingFields ?? [], []);
    assert.deepEqual(
      seen.status.conditions.filter(({ type, status }) => type === 'Drifted' && status === 'True'),
      [],
    );
    assert.match(await virsh('dominfo', DOMAIN), /Autostart: +disable/);
    assert.match(await ok('vm', 'describe', 'shop'), /Kept as it is[^]*sound ich9/);
    assert.match(await ok('events', 'shop'), /Adopted/);
  });

  await story('its console is typed on, and that it has no log is said', async () => {
    using terminal = new NovactlTerminal(lab, ['vm', 'console', 'shop']);
    await terminal.shows(/Connected to the console of VM default\/shop/);
    await terminal.getsThrough('hello');
    terminal.type('\x1d');
    await terminal.ended;
    const { code, stderr } = await nodes.novactl(['vm', 'log', 'shop'], context.signal);
    assert.equal(code, EXIT_CODES.refused);
    assert.match(stderr, /not logged to a file[^]*CONSOLE_NOT_FOUND/);
  });

  const manifest = path.join(lab.plan.directory, 'shop.yaml');
  await story('its own manifest changes nothing, and another what it says alone', async () => {
    await writeFile(manifest, await ok('vm', 'get', 'shop', '-o', 'yaml'));
    assert.match(await ok('vm', 'apply', '-f', manifest), /unchanged/);
    assert.equal(
      withoutMetadata(await virsh('dumpxml', '--inactive', DOMAIN)),
      withoutMetadata(xml.next),
    );
    const more = readFileSync(manifest, 'utf8')
      .replace('memory: 256Mi', 'memory: 288Mi')
      .replace(/( +)target: vda\n/, '$1target: vda\n$1shared: true\n');
    await writeFile(manifest, more);
    assert.match(await ok('vm', 'apply', '-f', manifest), /memory/);
    const next = withoutMetadata(await virsh('dumpxml', '--inactive', DOMAIN)).split('\n');
    const before = new Set(withoutMetadata(xml.next).split('\n'));
    const others = next.filter((line) => !before.has(line) && !/emory|qemu:|^<domain/.test(line));
    assert.deepEqual(others, []);
    assert.deepEqual((await get()).status.pendingFields, ['spec.template.spec.resources.memory']);
  });

  await story(
    'it moves once a start of the agent’s has it made for that, as it was made',
    async (signal) => {
      const plan = await nodes.novactl(['migrate', 'shop', '--to', 'b', '--plan'], signal);
      assert.match(plan.stdout + plan.stderr, /emulated by a QEMU before 9\.0/);
      await ok('vm', 'destroy', 'shop');
      await ok('vm', 'start', 'shop');
      assert.deepEqual((await get()).status.pendingFields ?? [], []);
      await ok('migrate', 'shop', '--to', 'b');
      const there = await get('b');
      assert.deepEqual([there.metadata.uid, there.status.phase], [uid, 'Running']);
      assert.ok(there.status.kept?.includes('sound ich9'));
      assert.match(await b.libvirt.virsh(['list', '--name'], signal), new RegExp(DOMAIN));
      await nodes.expectNothingLeft(signal);
    },
  );

  await story('it is deleted, and its disk stays', async (signal) => {
    await ok('--node', 'b', 'vm', 'delete', 'shop', '--force');
    assert.equal((await b.libvirt.virsh(['list', '--all', '--name'], signal)).trim(), '');
    assert.ok(readFileSync(disk.path).length > 0);
  });
});

function withoutMetadata(xml: string): string {
  return xml.replace(/\s*<metadata>[\s\S]*<\/metadata>/, '');
}
