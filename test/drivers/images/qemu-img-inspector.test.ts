import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmod, mkdir, open, rm, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import { testImages } from '../../contract/images-contract.ts';
import { Folder, inspectorFor, problemOf, queryOf } from './image-folder.ts';

const skip = spawnSync('qemu-img', ['--version']).status === 0 ? false : 'needs qemu-img';
const never = new AbortController().signal;

testImages(
  'qemu-img',
  async () => {
    const folder = await Folder.make();
    await mkdir(folder.own('sub'));
    return {
      images: inspectorFor(folder),
      create: async (format) =>
        format === 'raw' ? folder.raw(folder.own('a')) : folder.create(folder.own('b')),
      missing: folder.own('missing'),
      other: folder.own('sub'),
      [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
    };
  },
  skip,
);

void describe('an image', { skip }, () => {
  void test('may stand on others in its own folder', async () => {
    await using folder = await Folder.make();
    const base = await folder.raw(folder.own('base'));
    const middle = folder.create(folder.own('middle'), '-b', 'base', '-F', 'raw');
    const top = folder.create(folder.own('top'), '-b', middle, '-F', 'qcow2');
    assert.equal(await problemOf(folder, top), '');
    const [found, under] = await Promise.all(
      [queryOf({ path: top }), queryOf({ path: base, format: 'raw' })].map((query) =>
        inspectorFor(folder).find(query, never),
      ),
    );
    assert.deepEqual([found?.behind.length, found?.behind.at(-1)], [2, under?.fileId]);
    await rm(base);
    assert.match(await problemOf(folder, top), /does not exist/);
  });

  void test('may stand on one of another folder only where the node has that for images, and the setting is named', async () => {
    await using folder = await Folder.make();
    const base = await folder.raw(folder.foreign('base'));
    const top = folder.create(folder.own('top'), '-b', base, '-F', 'raw');
    const own = folder.own('');
    const refused = await problemOf(folder, top);
    assert.match(refused, /^IMAGE_NOT_ALLOWED: of its backing file .*foreign\/base: it is outside/);
    assert.match(refused, /setting images\.folders$/);
    const foreign = path.dirname(base);
    assert.equal(await problemOf(folder, top, { folders: [own, foreign] }), '');
    const nearly = await problemOf(folder, top, { folders: [own, foreign.slice(0, -1)] });
    assert.match(nearly, /outside/);
  });

  void test('that is to be written to may not lie on a file system that is mounted read-only', async () => {
    await using folder = await Folder.make();
    for (const format of ['raw', 'qcow2'] as const) {
      const image = folder.own(format);
      await (format === 'raw' ? folder.raw(image) : folder.create(image));
      const own = folder.own('');
      execFileSync('mount', ['--bind', own, own]);
      try {
        execFileSync('mount', ['-o', 'remount,bind,ro', own]);
        assert.match(
          await problemOf(folder, { path: image, format }),
          /^IMAGE_NOT_READABLE: it is to be written to, and its file system is mounted read-only .* readOnly: true/,
        );
        assert.equal(await problemOf(folder, { path: image, format, isReadOnly: true }), '');
      } finally {
        execFileSync('umount', [own]);
      }
      assert.equal(await problemOf(folder, { path: image, format }), '');
    }
  });

  void test('that is to be written to may not be immutable', async (t) => {
    await using folder = await Folder.make();
    const image = await folder.raw(folder.own('raw'));
    const set = spawnSync('chattr', ['+i', image]);
    if (set.status !== 0) return t.skip('needs a file system with immutable files');
    try {
      const problem = await problemOf(folder, { path: image, format: 'raw' });
      assert.match(problem, /^IMAGE_NOT_READABLE: .*immutable; .*chattr -i/);
    } finally {
      execFileSync('chattr', ['-i', image]);
    }
  });

  void test('may not get out of its folder by a link or by ..', async () => {
    await using folder = await Folder.make();
    const secret = await folder.raw(folder.foreign('secret'));
    await symlink(secret, folder.own('link'));
    for (const name of ['link', '../foreign/secret']) {
      const top = folder.create(folder.own('top'), '-b', name, '-F', 'raw');
      assert.match(await problemOf(folder, top), /^IMAGE_NOT_ALLOWED: .*outside/);
    }
  });

  void test('that names a file outside is answered for alike, whether that is there or not', async () => {
    await using folder = await Folder.make();
    const problems: string[] = [];
    await folder.raw(folder.foreign('there'));
    for (const name of ['there', 'gone!']) {
      const top = folder.create(folder.own('top'), '-u', '-b', folder.foreign(name), '-F', 'raw');
      problems.push((await problemOf(folder, top)).replace(name, 'NAME'));
    }
    assert.match(
      problems[0] ?? '',
      /^IMAGE_NOT_ALLOWED: of its backing file .*NAME: it is outside/,
    );
    assert.equal(problems[1], problems[0]);
  });

  void test('may not lead out by the second link of its chain', async () => {
    await using folder = await Folder.make();
    const secret = await folder.raw(folder.foreign('secret'));
    const middle = folder.create(folder.own('middle'), '-b', secret, '-F', 'raw');
    const top = folder.create(folder.own('top'), '-b', middle, '-F', 'qcow2');
    assert.match(await problemOf(folder, top), /^IMAGE_NOT_ALLOWED: .*outside/);
  });

  for (const name of [
    'json:{"driver":"file","filename":"/etc/hostname"}',
    'nbd://127.0.0.1:1/x',
    'file:/etc/hostname',
  ]) {
    void test(`may not name ${name} as its backing file`, async () => {
      await using folder = await Folder.make();
      const top = folder.create(folder.own('top'), '-u', '-b', name, '-F', 'raw');
      const refused = await problemOf(folder, top);
      assert.match(refused, /^IMAGE_INVALID: .*which is refused: it has to be the path of a file/);
      assert.match(refused, /qemu-img rebase -u -b PATH -F FORMAT .*own\/top$/);
    });
  }

  void test('must say the format of its backing file', async () => {
    await using folder = await Folder.make();
    await folder.raw(folder.own('base'));
    const top = folder.create(folder.own('top'), '-b', 'base', '-F', 'raw');
    // The extension's type becomes one that QEMU passes over.
    await using handle = await open(top, 'r+');
    const start = Buffer.alloc(4096);
    await handle.read(start, 0, start.length, 0);
    const at = start.indexOf(Buffer.from('e2792aca', 'hex'));
    await handle.write(Buffer.from('00000099', 'hex'), 0, 4, at);
    assert.match(await problemOf(folder, top), /does not say whether/);
  });

  void test('may not keep its data in another file', async () => {
    await using folder = await Folder.make();
    const data = folder.foreign('data');
    const top = folder.create(folder.own('top'), '-o', `data_file=${data},data_file_raw=on`);
    assert.match(await problemOf(folder, top), /keeps its data in another file/);
  });

  void test('that stands on itself ends the search', async () => {
    await using folder = await Folder.make();
    const top = folder.create(folder.own('top'), '-u', '-b', 'top', '-F', 'qcow2');
    assert.match(await problemOf(folder, top), /more than 200/);
  });

  void test('with a cut header or a wild offset is broken', async () => {
    await using folder = await Folder.make();
    const top = folder.create(folder.own('top'));
    await using handle = await open(top, 'r+');
    await handle.write(Buffer.from('ffffffffffffffff', 'hex'), 0, 8, 8);
    assert.match(await problemOf(folder, top), /broken/);
    await handle.truncate(20);
    assert.match(await problemOf(folder, top), /broken/);
  });

  void test('of another kind is told by its name', async () => {
    await using folder = await Folder.make();
    const image = folder.own('a');
    const formatNow = async () =>
      (await inspectorFor(folder).find(queryOf({ path: image }), never))?.format;
    for (const format of ['vmdk', 'vdi', 'vhdx', 'vpc', 'qed', 'qcow', 'raw']) {
      execFileSync('qemu-img', ['create', '-q', '-f', format, image, '1M']);
      assert.equal(await formatNow(), format);
    }
  });

  void test('of parts in other files is told without looking at those', async () => {
    await using folder = await Folder.make();
    // Whoever could have it opened would learn whether these are there, and be stuck at a pipe.
    const parts = [`RW 2048 FLAT "${folder.foreign('none')}" 0`, `RW 1 FLAT "/proc/self/mem" 0`];
    const header = ['# Disk DescriptorFile', 'version=1', 'CID=1', 'parentCID=ffffffff'];
    await writeFile(
      folder.own('a'),
      [...header, 'createType="monolithicFlat"', ...parts].join('\n'),
    );
    const found = await inspectorFor(folder).find(queryOf({ path: folder.own('a') }), never);
    assert.deepEqual([found?.format, found?.problem], ['vmdk', undefined]);
  });

  void test('cannot be looked at without qemu-img, which is not the image’s fault', async () => {
    await using folder = await Folder.make();
    const path = folder.create(folder.own('a'));
    const images = inspectorFor(folder, {}, { binary: '/nonexistent/qemu-img' });
    const reason = 'FEATURE_NOT_SUPPORTED';
    await assert.rejects(images.find(queryOf({ path }), never), { reason });
    // One that is to be raw is not looked at.
    const found = await images.find(queryOf(raw(path)), never);
    assert.equal(found?.problem, undefined);
  });

  void test('on storage that hangs has a problem in time', async () => {
    await using folder = await Folder.make();
    const image = folder.create(folder.own('a'));
    const binary = folder.own('hang');
    await writeFile(binary, '#!/bin/sh\nexec sleep 60\n', { mode: 0o755 });
    const images = inspectorFor(folder, {}, { binary, timeoutMs: 200 });
    const found = await images.find(queryOf({ path: image }), never);
    assert.match(found?.problem?.text ?? '', /in time/);
  });
});

function raw(image: string) {
  return { path: image, format: 'raw' } as const;
}

void describe('a file', { skip }, () => {
  void test('outside the folders for images is refused, whether it is there or not', async () => {
    await using folder = await Folder.make();
    const there = await folder.raw(folder.foreign('there'));
    const refused = await problemOf(folder, raw(there));
    assert.match(refused, /^IMAGE_NOT_ALLOWED: it is outside the folders of this node for images/);
    assert.equal(await problemOf(folder, raw(folder.foreign('missing'))), refused);
    // Nor is it to be found out by a link, of a file or a folder, that is there for other reasons.
    await symlink(folder.foreign(''), folder.own('iso'));
    for (const name of ['there', 'missing']) {
      await symlink(folder.foreign(name), folder.own(`to-${name}`));
      for (const link of [`to-${name}`, `iso/${name}`, `iso/../foreign/${name}`]) {
        const leads = await problemOf(folder, raw(path.join(folder.root, 'own', '/') + link));
        assert.ok(leads.includes(`${folder.foreign(name)}, outside the folders`), leads);
      }
    }
    const missing = queryOf(raw(folder.own('missing')));
    assert.equal(await inspectorFor(folder).find(missing, never), undefined);
    assert.equal(await problemOf(folder, raw('/etc/shadow')), refused);
  });

  void test('counts as what a link leads to, by .. too, and a folder may be a link', async () => {
    await using folder = await Folder.make();
    const secret = await folder.raw(folder.foreign('secret'));
    await symlink(secret, folder.own('link'));
    const link = { path: folder.own('link'), format: 'raw' } as const;
    assert.match(
      await problemOf(folder, link),
      /^IMAGE_NOT_ALLOWED: it leads to .*foreign\/secret, outs/,
    );
    const dots = { path: `${folder.own('')}/../foreign/secret`, format: 'raw' } as const;
    assert.match(await problemOf(folder, dots), /^IMAGE_NOT_ALLOWED/);
    await symlink(folder.foreign(''), path.join(folder.root, 'images'));
    const folders = [path.join(folder.root, 'images')];
    assert.equal(await problemOf(folder, { path: secret, format: 'raw' }, { folders }), '');
    const named = { path: path.join(folder.root, 'images', 'secret'), format: 'raw' } as const;
    assert.equal(await problemOf(folder, named, { folders }), '');
  });

  void test('of the agent itself is refused, wherever it is', async () => {
    await using folder = await Folder.make();
    const journal = { path: await folder.raw(folder.own('journal.db')), format: 'raw' } as const;
    const ownFiles = [folder.own('journal.')];
    assert.match(await problemOf(folder, journal, { ownFiles }), /agent's own files/);
    assert.equal(await problemOf(folder, journal), '');
  });

  void test('of a guest leads nowhere if it is to be raw, whatever its content says', async () => {
    await using folder = await Folder.make();
    const disk = folder.create(folder.own('disk'), '-u', '-b', '/etc/shadow', '-F', 'raw');
    assert.equal(await problemOf(folder, { path: disk, format: 'raw' }), '');
    assert.match(await problemOf(folder, disk), /^IMAGE_NOT_ALLOWED/);
  });

  void test('to boot from may lie in the folders for that too', async () => {
    await using folder = await Folder.make();
    const kernel = await folder.raw(folder.foreign('vmlinuz'));
    const find = (bootFolders: readonly string[]) =>
      inspectorFor(folder, { bootFolders }).findBootFile(kernel, undefined, never);
    const refused = await find([]);
    assert.equal(refused?.problem?.reason, 'IMAGE_NOT_ALLOWED');
    assert.match(refused.problem.text, /for kernels .*images\.bootFolders$/);
    assert.equal((await find([folder.foreign('')]))?.problem, undefined);
  });
});

const asRoot = process.getuid?.() === 0 ? skip : 'needs root, to become another user';

void describe('QEMU that is not root', { skip: asRoot }, () => {
  const user = { uid: 65_534, gid: 65_534 };

  void test('must be able to reach an image and those behind it; the folder that is closed is named', async () => {
    await using folder = await Folder.make();
    await chmod(folder.root, 0o755);
    const places = { folders: [folder.own(''), folder.foreign('')] };
    const base = await folder.raw(folder.foreign('base'));
    const top = folder.create(folder.own('top'), '-b', base, '-F', 'raw');
    assert.equal(await problemOf(folder, { path: top, user }, places), '');
    await chmod(folder.foreign(''), 0o700);
    const refused = await problemOf(folder, { path: top, user }, places);
    assert.match(refused, /^IMAGE_NOT_READABLE: QEMU, which runs as user nobody on this node/);
    assert.ok(refused.includes(`${folder.foreign('')} is closed to that user`), refused);
    assert.match(refused, /setfacl -m u:nobody:x /);
    const root = { uid: 0, gid: 0 };
    assert.equal(await problemOf(folder, { path: top, user: root }, places), '');
    const kernel = await inspectorFor(folder, places).findBootFile(base, user, never);
    assert.equal(kernel?.problem?.reason, 'IMAGE_NOT_READABLE');
  });

  void test('must be able to open a file that libvirt does not make its own, to write unless it is read-only', async () => {
    await using folder = await Folder.make();
    for (const name of ['', 'own']) await chmod(path.join(folder.root, name), 0o755);
    const qemuConf = folder.foreign('qemu.conf');
    const image = folder.create(folder.own('a'));
    await chmod(image, 0o644);
    const find = async (isReadOnly: boolean) => {
      const images = inspectorFor(folder, {}, { qemuConf });
      const found = await images.find(queryOf({ path: image, user, isReadOnly }), never);
      return found?.problem?.text ?? '';
    };
    await writeFile(qemuConf, '#dynamic_ownership = 0\n');
    assert.equal(await find(false), '');
    await writeFile(qemuConf, 'dynamic_ownership = 0\n');
    assert.match(await find(false), /cannot open it, .*setfacl -m u:nobody:rw .*own\/a$/);
    assert.equal(await find(true), '');
    await chmod(image, 0o600);
    assert.match(await find(true), /cannot open it/);
  });

  void test('whose uid has no name on this node is asked about all the same', async () => {
    await using folder = await Folder.make();
    const image = folder.create(folder.own('a'));
    const stranger = { uid: 54_321, gid: 54_321 };
    const refused = await problemOf(folder, { path: image, user: stranger });
    assert.match(refused, /user 54321 on this node/);
  });
});
