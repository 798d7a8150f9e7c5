import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { copyFile, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import type { AdmitRequest } from '../../../src/drivers/image-store.ts';
import { LocalImageStore } from '../../../src/drivers/images/local-image-store.ts';
import { flip, patch, StoreFolder } from './image-store-folder.ts';

const SECRET = 'nothing for guests to read';

interface Attempt {
  readonly file: string;
  readonly message: RegExp;
  readonly wish?: Partial<AdmitRequest>;
}

/** Refused with that reason, whatever format is given; nothing is left. */
async function assertRefused(folder: StoreFolder, { file, message, wish }: Attempt): Promise<void> {
  const store = new LocalImageStore({ folder: folder.disks });
  for (const format of ['raw', undefined] as const) {
    if (wish !== undefined && format === 'raw') continue;
    await assert.rejects(folder.admit(store, file, { format, ...wish }), {
      reason: 'IMAGE_INVALID',
      message,
    });
    assert.deepEqual(await folder.files(), []);
  }
}

async function withSecret(folder: StoreFolder): Promise<string> {
  const secret = folder.outside('secret');
  await writeFile(secret, SECRET.repeat(1000));
  return secret;
}

void describe('an image that leads to other files is refused by naming them', () => {
  void test('a qcow2 image with a backing file, in whichever way that is named', async () => {
    await using folder = await StoreFolder.make();
    for (const name of ['/etc/shadow', 'json:{"driver":"null-co"}', 'nbd://example.org/a']) {
      const file = folder.outside('backed.qcow2');
      folder.qemuImg('create', '-q', '-f', 'qcow2', '-u', '-b', name, '-F', 'raw', file, '1M');
      const message = new RegExp(
        `it is a qcow2 image that stands on another file \\(${RegExp.escape(name)}\\), which is refused; make it whole`,
      );
      await assertRefused(folder, { file, message });
    }
  });

  void test('the end of a chain of 10,000', async () => {
    await using folder = await StoreFolder.make();
    const file = folder.outside('end.qcow2');
    const before = folder.outside('9999.qcow2');
    folder.qemuImg('create', '-q', '-f', 'qcow2', '-u', '-b', before, '-F', 'qcow2', file, '1M');
    await assertRefused(folder, { file, message: /stands on another file \(.*9999\.qcow2\)/ });
  });

  void test('a qcow2 image whose data is in another file', async () => {
    await using folder = await StoreFolder.make();
    const secret = await withSecret(folder);
    const file = folder.outside('data.qcow2');
    const data = folder.outside(`d${'a'.repeat(path.basename(secret).length - 1)}`);
    folder.qemuImg('create', '-q', '-f', 'qcow2', '-o', `data_file=${data}`, file, '1M');
    const at = (await readFile(file)).indexOf(data);
    await patch(file, at, Buffer.from(secret));
    const named = new RegExp(`keeps its data in another file \\(${RegExp.escape(secret)}\\)`);
    await assertRefused(folder, { file, message: named });
    // Without a name, QEMU would be told it by whoever opens the image.
    const header = await readFile(file);
    await patch(file, header.indexOf('DATA'), Buffer.from('GONE'));
    await assertRefused(folder, { file, message: /keeps its data in another file, which/ });
  });

  void test('a VMDK image whose extent is a file of the host', async () => {
    await using folder = await StoreFolder.make();
    const secret = await withSecret(folder);
    const file = folder.outside('flat.vmdk');
    await writeFile(
      file,
      `# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\nRW 8 FLAT "${secret}" 0\n`,
    );
    const named = new RegExp(`data is in another file \\(${RegExp.escape(secret)}\\)`);
    await assertRefused(folder, { file, message: named });
    // Without a capacity, QEMU takes what is within one for the same.
    const sparse = folder.create('sparse.vmdk', 'vmdk');
    const content = await readFile(sparse);
    const described = content.indexOf('# Disk DescriptorFile');
    await patch(sparse, described, await readFile(file));
    await assertRefused(folder, { file: sparse, message: /of the kind monolithicFlat/ });
    await patch(sparse, 12, Buffer.alloc(8));
    await assertRefused(folder, { file: sparse, message: /VMDK image whose header is broken/ });
  });

  void test('a VMDK image with a parent, and a part of one', async () => {
    await using folder = await StoreFolder.make();
    const base = folder.create('base.vmdk', 'vmdk');
    const file = folder.outside('child.vmdk');
    folder.qemuImg('create', '-q', '-f', 'vmdk', '-b', base, '-F', 'vmdk', file);
    const named = /VMDK image that stands on another one \(.*base\.vmdk\)/;
    await assertRefused(folder, { file, message: named });
    folder.create('parts.vmdk', 'vmdk', '8M', '-o', 'subformat=twoGbMaxExtentSparse');
    const part = folder.outside('parts-s001.vmdk');
    await assertRefused(folder, { file: part, message: /is one part of a VMDK image/ });
  });

  void test('VDI, VHD and VHDX images with a parent', async () => {
    await using folder = await StoreFolder.make();
    const vdi = folder.create('child.vdi', 'vdi');
    await patch(vdi, 440, Buffer.alloc(16, 7));
    await assertRefused(folder, { file: vdi, message: /VDI image that stands on another one/ });
    const vpc = folder.create('child.vhd', 'vpc');
    await patch(vpc, 63, Buffer.of(4));
    await assertRefused(folder, { file: vpc, message: /VHD image that stands on another one/ });
    const vhdx = folder.create('child.vhdx', 'vhdx');
    const parameters = Buffer.from('3767a1ca36fa434db3b633f0aa44e76b', 'hex');
    const content = await readFile(vhdx);
    const item = content.indexOf(parameters);
    const metadataAt = content.lastIndexOf('metadata', item);
    const offset = metadataAt + content.readUInt32LE(item + 16);
    await patch(vhdx, offset + 4, Buffer.of(2));
    await assertRefused(folder, { file: vhdx, message: /VHDX image that stands on another one/ });
  });

  void test('where our own parsers do not see it, qemu-img cannot open it either', {
    skip: existsSync('/usr/bin/strace') ? false : 'needs strace',
  }, async () => {
    await using folder = await StoreFolder.make();
    const secret = await withSecret(folder);
    const trace = folder.outside('trace');
    const script = folder.outside('confined.ts');
    const module = new URL('../../../src/drivers/images/confined-qemu-img.ts', import.meta.url);
    await writeFile(
      script,
      `const { ConfinedQemuImg } = await import(${JSON.stringify(module.href)});
       const [source, ...given] = process.argv.slice(2);
       const end = await new ConfinedQemuImg().run({ source, arguments: given }, AbortSignal.timeout(60_000));
       console.log(JSON.stringify(end));`,
    );
    const file = folder.outside('backed.qcow2');
    folder.qemuImg('create', '-q', '-f', 'qcow2', '-b', secret, '-F', 'raw', file);
    const given = ['convert', '-f', 'qcow2', '-O', 'raw', '/work/in', '/dev/null'];
    const traced = ['-f', '-e', 'trace=open,openat,openat2,execve', '-o', trace];
    const command = [...traced, process.execPath, script, file, ...given];
    const told = JSON.parse(execFileSync('strace', command, { stdio: 'pipe' }).toString());
    assert.match(told.complaint, /Could not open '.*secret': No such file or directory/);
    const lines = (await readFile(trace, 'utf8')).split('\n');
    assert.ok(lines.some((line) => line.includes('execve("/usr/bin/qemu-img"')));
    const opened = lines.filter((line) => line.includes(`"${secret}"`));
    // It has tried, as strace must show for this test to be worth anything.
    assert.ok(opened.length > 0);
    for (const line of opened) assert.match(line, /ENOENT/);
  });
});

void describe('a broken image is refused', () => {
  void test('one of 2^60 bytes, by its header', async () => {
    await using folder = await StoreFolder.make();
    const file = folder.create('huge.qcow2', 'qcow2');
    const size = Buffer.alloc(8);
    size.writeBigUInt64BE(2n ** 60n);
    await patch(file, 24, size);
    const message =
      /it is a disk of 1152921504606846976 bytes \(1Ei\), and at most 2147483648 bytes \(2Gi\) are taken here/;
    await assertRefused(folder, { file, message, wish: { format: undefined } });
  });

  void test('one that grows: a VMDK of a few bytes for all that it says to hold', async () => {
    await using folder = await StoreFolder.make();
    const file = folder.create('bomb.vmdk', 'vmdk', '8M', '-o', 'subformat=streamOptimized');
    const size = Buffer.alloc(8);
    size.writeBigUInt64LE(2n ** 40n / 512n);
    await patch(file, 12, size);
    const message = /it is a disk of 1099511627776 bytes \(1Ti\), and at most/;
    await assertRefused(folder, { file, message, wish: { format: undefined } });
    // All of it is data, and so more than may be as qcow2.
    const full = folder.outside('full.vmdk');
    const raw = folder.outside('full.raw');
    await writeFile(raw, Buffer.alloc(2 ** 23, 7));
    const options = ['-O', 'vmdk', '-o', 'subformat=streamOptimized'];
    folder.qemuImg('convert', '-f', 'raw', ...options, raw, full);
    assert.ok((await stat(full)).size < 200_000);
    await assertRefused(folder, {
      file: full,
      message: /it takes more than 8388608 bytes \(8Mi\) as qcow2/,
      wish: { format: undefined, maxBytes: 2 ** 23 },
    });
  });

  void test('encrypted, marked corrupt, of another version or with unknown features', async () => {
    await using folder = await StoreFolder.make();
    const good = folder.create('good.qcow2', 'qcow2');
    const cases = [
      [32, Buffer.of(0, 0, 0, 2), /is an encrypted qcow2 image/],
      [76, Buffer.of(0, 0, 0, 2), /is marked corrupt; repair it/],
      [76, Buffer.of(0, 0, 1, 0), /with features that are not known/],
      [4, Buffer.of(0, 0, 0, 9), /of version 9, and those up to 3 are taken/],
      [4, Buffer.of(0, 0, 0, 1), /is a qcow image of version 1/],
      [100, Buffer.of(0, 0, 0, 1), /header is broken or cut off/],
      [24, Buffer.alloc(8), /is a disk of no bytes/],
    ] as const;
    for (const [at, bytes, message] of cases) {
      const file = folder.outside('bad.qcow2');
      await copyFile(good, file);
      await patch(file, at, bytes);
      await assertRefused(folder, { file, message, wish: { format: undefined } });
    }
  });

  void test('cut off anywhere', async () => {
    await using folder = await StoreFolder.make();
    const whole = [
      folder.create('a.qcow2', 'qcow2'),
      folder.create('compressed.qcow2', 'qcow2', '8M', '-c'),
      ...['vmdk', 'vdi', 'vhdx', 'vpc'].map((format) => folder.create(`a.${format}`, format)),
    ];
    for (const good of whole) {
      const { size } = await stat(good);
      const file = folder.outside('cut');
      const lengths = [50, 300, 600, 70_000, Math.floor(size / 2), size - 70_000, size - 1025];
      for (const length of lengths) {
        await copyFile(good, file);
        await truncate(file, length);
        const message = /cut off|broken|is neither a disk image/;
        await assertRefused(folder, { file, message, wish: { format: undefined } });
      }
    }
  });

  void test('with a flipped bit wherever it matters', async () => {
    await using folder = await StoreFolder.make();
    const good = folder.create('good.qcow2', 'qcow2');
    const content = await readFile(good);
    const tables = Number(content.readBigUInt64BE(40));
    const refcounts = Number(content.readBigUInt64BE(48));
    for (const [at, mask] of [
      [0, 1],
      [20, 255],
      [tables + 1, 255],
      [tables + 6, 2],
      [refcounts + 4, 64],
      [refcounts + 7, 1],
    ] as const) {
      const file = folder.outside('flipped.qcow2');
      await copyFile(good, file);
      await flip(file, at, mask);
      const message = /broken or cut off|is neither a disk image/;
      await assertRefused(folder, { file, message, wish: { format: undefined } });
    }
  });
});
