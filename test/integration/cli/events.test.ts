import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Interrupted } from '../../../src/cli/process/exit-codes.ts';
import { FakeCliIo } from '../../fakes/fake-cli-io.ts';
import { until } from '../../fixtures/until.ts';
import { ServedNode } from './served-node.ts';

const MANIFEST = `
apiVersion: novacron.io/v1alpha1
kind: VirtualMachine
metadata: {name: web, labels: {app: shop}}
spec:
  runStrategy: Manual
  template:
    spec:
      resources: {cpu: 1, memory: 64Mi}
      kernel: {path: /boot/vmlinuz}
      volumes: [{name: setup, kind: cdrom}]
`;
const OTHER_MANIFEST = MANIFEST.replace('name: web', 'name: db, namespace: shop');

/** A node with two VMs, the first of which was started and stopped by its guest. */
async function startNode(): Promise<ServedNode> {
  const served = await ServedNode.start();
  for (const manifest of [MANIFEST, OTHER_MANIFEST]) {
    const { code, stderr } = await served.novactl('vm apply -f -', manifest);
    assert.equal(code, 0, stderr);
  }
  assert.equal((await served.novactl('vm start web')).code, 0);
  const [web] = served.node.inventory.list({ namespace: 'default', labels: [] });
  assert.ok(web !== undefined);
  served.node.hypervisor.stopGuest(web.definition.uid, 'crashed');
  await untilPrinted(served, 'events web', /StoppedUnexpectedly/);
  return served;
}

async function untilPrinted(served: ServedNode, words: string, wanted: RegExp): Promise<string> {
  let printed = '';
  await until(`${String(wanted)} in ${words}`, async () => {
    printed = (await served.novactl(words)).stdout;
    return wanted.test(printed);
  });
  return printed;
}

/** The words of a column. */
const columnOf = (table: string, index: number): readonly (string | undefined)[] =>
  table
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => line.split(/ {2,}/)[index]);

test('events are printed as kubectl does, the latest last, and chosen by VM, namespace, type and time', async () => {
  await using served = await startNode();
  const all = await served.novactl('events');
  assert.match(all.stdout, /^LAST SEEN +TYPE +REASON +VM +MESSAGE\n/);
  const web = await untilPrinted(served, 'events web', /Degraded/);
  assert.deepEqual(columnOf(web, 2), [
    'Requested',
    'Created',
    'Requested',
    'Started',
    'StoppedUnexpectedly',
    'Degraded',
  ]);
  assert.deepEqual(new Set(columnOf(web, 3)), new Set(['default/web']));
  const shop = await served.novactl('events -n shop');
  assert.deepEqual(new Set(columnOf(shop.stdout, 3)), new Set(['shop/db']));
  assert.deepEqual(await served.novactl('events shop/db'), shop);
  const warnings = await served.novactl('events --type Warning');
  assert.deepEqual(columnOf(warnings.stdout, 2), ['StoppedUnexpectedly', 'Degraded']);
  const late = await served.novactl('events --since 1ms');
  assert.deepEqual([late.code, late.stdout], [0, '']);
  assert.equal(late.stderr, 'There are no events on this node\n');
});

test('programs get events whole', async () => {
  await using served = await startNode();
  const { stdout } = await served.novactl('events web --type Warning -o json');
  const [event] = (JSON.parse(stdout) as { items: Record<string, unknown>[] }).items;
  assert.equal(event?.['kind'], 'Event');
  assert.equal(event['cause'], 'Crashed');
  assert.equal(event['count'], 1);
  const names = (await served.novactl('events web --type Warning -o name')).stdout;
  assert.ok(names.startsWith(`${String(event['id'])}\n`));
});

test('whoever follows is told what there is and then what happens, until Ctrl-C', async () => {
  await using served = await startNode();
  const stop = new AbortController();
  const io = new FakeCliIo({ signal: stop.signal });
  const following = served.novactl('events -f', '', { io });
  await until('what there is is printed', () => io.stdout.text.includes('StoppedUnexpectedly'));
  assert.ok(!io.stdout.text.includes('It was deleted'));
  assert.equal((await served.novactl('vm delete web')).code, 0);
  await until('it is told', () => io.stdout.text.includes('It was deleted'));
  stop.abort(new Interrupted('SIGINT'));
  assert.equal((await following).code, 130);
  const lines = io.stdout.text.trim().split('\n');
  assert.match(lines[1] ?? '', /^\d\d:\d\d:\d\d +Normal +Requested +default\/web +/);
  assert.match(
    lines.at(-1) ?? '',
    / Deleted +default\/web +It was deleted as unix:root wanted it$/,
  );
});

test('what cannot be meant is refused before the agent is asked', async () => {
  await using served = await startNode();
  for (const [words, problem] of [
    ['events a/b/c', /names no VM; write NAME or NAMESPACE\/NAME/],
    ['events shop/db -n other', /in namespace shop by its name and in other by -n/],
    ['events --type Bad', /Allowed choices are Normal, Warning/],
    ['events --since soon', /must be a duration/],
    ['events -f -o yaml', /with --follow the output is table or json/],
    ['events web db', /too many arguments/],
  ] as const) {
    const { code, stderr } = await served.novactl(words);
    assert.equal(code, 2, words);
    assert.match(stderr, problem);
  }
});

test('a VM is described in one page, and each part is there only where it has something to say', async () => {
  await using served = await startNode();
  const web = await untilPrinted(served, 'vm describe web', /Degraded +True/);
  assert.match(web, /^Name: +default\/web\nUID: +[-0-9a-f]{36}\nLabels: +app=shop\n/);
  assert.match(web, /\nPhase: +Failed \(Crashed\) since \S+Z \(\d+s ago\)\nWhy: +Its QEMU ended/);
  assert.match(web, /\nVolumes:\n +NAME .*\n +setup +cdrom .* \(empty\)\n/);
  assert.match(web, /\nConditions:\n +TYPE +STATUS +SINCE +REASON +MESSAGE\n +Ready +False /);
  assert.match(web, /\nEvents:\n +LAST SEEN +TYPE +REASON +MESSAGE\n/);
  assert.doesNotMatch(web, /Usage:|Migration:|Operations going on:|Waits for|Addresses/);
  await served.novactl('vm start web');
  await served.novactl('vm apply -f -', MANIFEST.replace('cpu: 1', 'cpu: 2'));
  const on = await untilPrinted(served, 'vm describe web', /\nWaits for the next start:\n/);
  assert.match(on, /resources\.cpu +1 +2 +the next start\n/);
  assert.match(on, /\nUsage:\n +CPU: /);
});

test('of a VM that is gone its events are told, and where to look', async () => {
  await using served = await startNode();
  assert.equal((await served.novactl('vm delete web')).code, 0);
  await untilPrinted(served, 'events web', /Deleted/);
  const { code, stdout, stderr } = await served.novactl('vm describe web');
  assert.equal(code, 3);
  assert.match(stdout, /^Events:\n.*Deleted/s);
  assert.match(stderr, /^Error: Cannot find VM web .* it was deleted/);
  const never = await served.novactl('vm describe nobody');
  assert.deepEqual([never.code, never.stdout], [3, '']);
});

test('a VM that nobody can ask about is described as it was', async () => {
  await using served = await startNode();
  served.node.hypervisor.disconnect();
  const { code, stdout } = await served.novactl('vm describe web');
  assert.equal(code, 0);
  assert.match(stdout, /\nPhase: +Unknown \(HypervisorUnreachable\)/);
  assert.match(stdout, /\n +Degraded +Unknown /);
});
