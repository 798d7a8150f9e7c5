import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import type { PrivateFiles } from '../../src/drivers/private-files.ts';

export interface PrivateFilesFixture extends AsyncDisposable {
  readonly files: PrivateFiles;
  /** Changes what a file holds. */
  damage(vmUid: string, name: string, digest: string): Promise<void>;
}

const never = new AbortController().signal;
const NAME = 'user-data';
const CONTENT = Buffer.from('#cloud-config\npassword: secret\n');
const OTHER = Buffer.from([0, 255, 10, 13]);

function digestOf(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

/** What every PrivateFiles promises. */
export function testPrivateFiles(name: string, make: () => Promise<PrivateFilesFixture>): void {
  void describe(name, () => {
    const vm = randomUUID();

    void test('gives back what was put away, under the digest that it was given', async () => {
      await using fixture = await make();
      const { files } = fixture;
      for (const content of [CONTENT, OTHER, Buffer.alloc(0), Buffer.alloc(2 ** 20, 7)]) {
        const digest = await files.put(vm, NAME, content, never);
        assert.equal(digest, digestOf(content));
        assert.ok(content.equals(await files.read(vm, NAME, digest, never)));
      }
    });

    void test('putting the same away again changes nothing, other content stays beside it', async () => {
      await using fixture = await make();
      const { files } = fixture;
      const digest = await files.put(vm, NAME, CONTENT, never);
      assert.equal(await files.put(vm, NAME, CONTENT, never), digest);
      const other = await files.put(vm, NAME, OTHER, never);
      assert.ok(CONTENT.equals(await files.read(vm, NAME, digest, never)));
      assert.ok(OTHER.equals(await files.read(vm, NAME, other, never)));
      assert.ok(OTHER.equals((await files.find(vm, NAME, other, never)) ?? Buffer.of()));
      assert.deepEqual(await files.listVms(never), [vm]);
    });

    void test('what is not there cannot be read, nor under another name or for another VM', async () => {
      await using fixture = await make();
      const { files } = fixture;
      const digest = await files.put(vm, NAME, CONTENT, never);
      const reads = [
        files.read(vm, NAME, digestOf(OTHER), never),
        files.read(vm, 'other', digest, never),
        files.read(randomUUID(), NAME, digest, never),
      ];
      await Promise.all(reads.map((read) => assert.rejects(read, { reason: 'JOURNAL_FAILURE' })));
      assert.equal(await files.find(vm, NAME, digestOf(OTHER), never), undefined);
      assert.equal(await files.find(randomUUID(), NAME, digest, never), undefined);
    });

    void test('what is damaged is not given out, and mended by putting it away again', async () => {
      await using fixture = await make();
      const { files } = fixture;
      const digest = await files.put(vm, NAME, CONTENT, never);
      await fixture.damage(vm, NAME, digest);
      await assert.rejects(files.find(vm, NAME, digest, never), { reason: 'JOURNAL_FAILURE' });
      await assert.rejects(files.read(vm, NAME, digest, never), { reason: 'JOURNAL_FAILURE' });
      await files.put(vm, NAME, CONTENT, never);
      assert.ok(CONTENT.equals(await files.read(vm, NAME, digest, never)));
    });

    void test('removes the files of one VM and of no other, as often as it is asked', async () => {
      await using fixture = await make();
      const { files } = fixture;
      const other = randomUUID();
      const digest = await files.put(vm, NAME, CONTENT, never);
      await files.put(other, NAME, CONTENT, never);
      for (let times = 0; times < 2; times++) await files.remove(vm, never);
      await assert.rejects(files.read(vm, NAME, digest, never), { reason: 'JOURNAL_FAILURE' });
      assert.ok(CONTENT.equals(await files.read(other, NAME, digest, never)));
      assert.deepEqual(await files.listVms(never), [other]);
    });

    void test('keeps only the files that it is told to keep', async () => {
      await using fixture = await make();
      const { files } = fixture;
      const digest = await files.put(vm, NAME, CONTENT, never);
      const other = await files.put(vm, NAME, OTHER, never);
      await files.keepOnly(vm, { [NAME]: other }, never);
      await assert.rejects(files.read(vm, NAME, digest, never), { reason: 'JOURNAL_FAILURE' });
      assert.ok(OTHER.equals(await files.read(vm, NAME, other, never)));
      await files.keepOnly(vm, {}, never);
      await assert.rejects(files.read(vm, NAME, other, never), { reason: 'JOURNAL_FAILURE' });
      await files.keepOnly(randomUUID(), {}, never);
    });

    void test('lists no VMs before there were any', async () => {
      await using fixture = await make();
      assert.deepEqual(await fixture.files.listVms(never), []);
    });

    void test('refuses what is no plain uid, name or digest', async () => {
      await using fixture = await make();
      const { files } = fixture;
      const digest = digestOf(CONTENT);
      const refused = [
        ...['', '.', '..', `../${vm}`, vm.toUpperCase(), `${vm}/`].flatMap((uid) => [
          () => files.put(uid, NAME, CONTENT, never),
          () => files.read(uid, NAME, digest, never),
          () => files.remove(uid, never),
        ]),
        ...['', '..', 'a/b', 'A', 'a.b', 'a\0'].flatMap((file) => [
          () => files.put(vm, file, CONTENT, never),
          () => files.read(vm, file, digest, never),
        ]),
        () => files.read(vm, NAME, '../x', never),
        () => files.keepOnly(vm, { [NAME]: 'x' }, never),
      ];
      await Promise.all(
        refused.map((attempt) => assert.rejects(attempt, { reason: 'INVALID_REQUEST' })),
      );
      assert.deepEqual(await files.listVms(never), []);
    });

    void test('fails with the reason of an aborted signal', async () => {
      await using fixture = await make();
      const { files } = fixture;
      const reason = new Error('enough');
      const aborted = AbortSignal.abort(reason);
      const attempts = [
        files.put(vm, NAME, CONTENT, aborted),
        files.read(vm, NAME, digestOf(CONTENT), aborted),
        files.keepOnly(vm, {}, aborted),
        files.remove(vm, aborted),
        files.listVms(aborted),
      ];
      await Promise.all(attempts.map((attempt) => assert.rejects(attempt, reason)));
      assert.deepEqual(await files.listVms(never), []);
    });
  });
}
