import assert from 'node:assert/strict';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { Interrupted } from '../../../src/cli/process/exit-codes.ts';
import { FakeCliIo } from '../../fakes/fake-cli-io.ts';
import { fakeQcow2 } from '../../fakes/fake-image-fetcher.ts';
import { until } from '../../fixtures/until.ts';
import { ServedNode } from './served-node.ts';

const SOURCE = 'https://images.example/web.qcow2?signed=secret';

async function nodeWithImage() {
  const served = await ServedNode.start();
  served.node.fetcher.contents.set(SOURCE, { content: fakeQcow2(2 ** 30) });
  return served;
}

test('an image is pulled, listed without what signs its address, verified and removed', async () => {
  await using served = await nodeWithImage();
  const pulled = await served.novactl(`image pull ${SOURCE}`);
  assert.equal(pulled.code, 0, pulled.stderr);
  const digest = /^Image (sha256:[0-9a-f]{64}) is here\n$/.exec(pulled.stdout)?.[1] ?? '';
  const { stdout } = await served.novactl('image list');
  assert.match(stdout, /^sha256:[0-9a-f]{12} +qcow2 +1Gi .*images\.example\/web\.qcow2\?…$/m);
  assert.doesNotMatch(stdout, /secret/);
  assert.match((await served.novactl(`image verify ${digest.slice(0, 20)}`)).stdout, /is whole\n$/);
  assert.equal((await served.novactl(`image remove ${digest}`)).code, 0);
  assert.match((await served.novactl('image list')).stderr, /There are no images on this node/);
  assert.equal((await served.novactl(`image remove ${digest}`)).code, 4);
});

test('an image is pulled with a secret of the node, or one that is given', async () => {
  await using served = await nodeWithImage();
  await using folder = await mkdtempDisposable(path.join(tmpdir(), 'novacron-secret-'));
  const file = path.join(folder.path, 'token');
  await writeFile(file, 't0k3n\n');
  const source = 's3://images/web.qcow2';
  const credentials = { kind: 'token', token: 't0k3n' } as const;
  served.node.fetcher.contents.set(source, { content: fakeQcow2(2 ** 20), credentials });
  const pull = `image pull ${source} --always`;
  assert.match((await served.novactl(pull)).stderr, /answered 401/);
  const none = await served.novactl(`${pull} --auth web`);
  assert.match(none.stderr, /with the secret web: web is not there \(SECRET_NOT_FOUND\)/);
  const given = await served.novactl(`${pull} --auth web --secret web=${file}`);
  assert.equal(given.code, 0, given.stderr);
  served.node.nodeSecrets.put('web', 't0k3n');
  assert.equal((await served.novactl(`${pull} --auth web`)).code, 0);
  const other = await served.novactl(`${pull} --secret web=${file}`);
  assert.match(other.stderr, /Cannot use --secret web: nothing names it; name it with --auth web/);
  const odd = await served.novactl(`${pull} --auth ../shadow`);
  assert.match(odd.stderr, /auth must be the name of a secret/);
  const local = await served.novactl('image pull file:///a.qcow2 --auth web');
  assert.match(local.stderr, /auth must be left out for a file of the node/);
});

test('Ctrl-C ends a pull as it ends every command, and nothing else is said', async () => {
  await using served = await nodeWithImage();
  const held = Promise.withResolvers<void>();
  served.node.fetcher.hold = held.promise;
  const interrupt = new AbortController();
  const io = new FakeCliIo({ isTTY: true, signal: interrupt.signal });
  const pulling = served.novactl(`image pull ${SOURCE}`, '', { io });
  await until('it shows how far it is', () => io.stderr.text.includes('Fetching'));
  interrupt.abort(new Interrupted('Interrupted'));
  const { code, stdout, stderr } = await pulling;
  held.resolve();
  assert.deepEqual([code, stdout], [130, '']);
  assert.match(stderr, /Interrupted\n$/);
  assert.doesNotMatch(stderr, /Error|aborted/);
});
