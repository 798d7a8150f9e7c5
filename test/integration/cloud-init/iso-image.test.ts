import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempDisposableSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { isoImage } from '../../../src/core/iso-image.ts';

/* What others read of an image of ours: isoinfo, by each of the ways in which systems find long names. */

const WAYS = { 'Rock Ridge': '-R', Joliet: '-J' } as const;

function isoinfo(image: string, ...words: readonly string[]): Buffer {
  return execFileSync('isoinfo', [...words, '-i', image], { maxBuffer: 2 ** 26 });
}

test('an image has its label, and all that files can be', () => {
  using folder = mkdtempDisposableSync(path.join(tmpdir(), 'novacron-iso-'));
  const file = path.join(folder.path, 'image.iso');
  const names = fc.tuple(
    fc.constantFrom('', 'openstack/', 'openstack/latest/', 'ec2/latest/', 'a/b/c/d/'),
    fc.stringMatching(/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,40}$/),
  );
  const contents = fc
    .tuple(fc.uint8Array({ maxLength: 5_000 }), fc.nat(3))
    .map(([start, sectors]) => Buffer.concat([start, Buffer.alloc(sectors * 2_048, 7)]));
  const files = fc
    .uniqueArray(fc.tuple(names, contents), {
      minLength: 1,
      maxLength: 6,
      // A folder and a file cannot have one name.
      selector: ([[folder, name]]) => `${folder}${name}`.toUpperCase(),
    })
    .map((all) =>
      Object.fromEntries(all.map(([[folder, name], content]) => [folder + name, content])),
    )
    .filter(
      (all) => !Object.keys(all).some((name) => /(^|\/)(openstack|latest|ec2|[a-d])$/i.test(name)),
    );
  fc.assert(
    fc.property(files, (wanted) => {
      writeFileSync(file, isoImage('cidata', wanted));
      assert.match(isoinfo(file, '-d').toString(), /^Volume id: cidata$/m);
      for (const [way, option] of Object.entries(WAYS)) {
        const all = isoinfo(file, option, '-f').toString().trim().split('\n');
        const listed = all.filter((path) => Object.hasOwn(wanted, path.slice(1)));
        const folders = all.filter((path) => !Object.hasOwn(wanted, path.slice(1)));
        for (const path of folders) {
          assert.ok(
            Object.keys(wanted).some((name) => `/${name}`.startsWith(`${path}/`)),
            path,
          );
        }
        const found = Object.keys(wanted).map((name) => `/${name}`);
        assert.deepEqual(listed.toSorted(), found.toSorted(), way);
        for (const [name, content] of Object.entries(wanted)) {
          assert.ok(isoinfo(file, option, '-x', `/${name}`).equals(content), `${way} ${name}`);
        }
      }
    }),
    { numRuns: 20 },
  );
});

test('user data of the largest size are read as they are', () => {
  using folder = mkdtempDisposableSync(path.join(tmpdir(), 'novacron-iso-'));
  const file = path.join(folder.path, 'image.iso');
  const content = Buffer.alloc(1024 ** 2, '#cloud-config\n');
  writeFileSync(file, isoImage('cidata', { 'user-data': content, 'meta-data': Buffer.from('{}') }));
  assert.ok(isoinfo(file, '-R', '-x', '/user-data').equals(content));
});
