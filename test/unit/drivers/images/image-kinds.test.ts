import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { KIND_BYTES, kindOf, refusalOf } from '../../../../src/drivers/images/image-kinds.ts';

const GI = 2 ** 30;
const wish = { format: undefined, maxBytes: 4 * GI } as const;

function startOf(...parts: readonly (readonly [at: number, content: string | Buffer])[]): Buffer {
  const start = Buffer.alloc(KIND_BYTES);
  for (const [at, content] of parts) Buffer.from(content as string, 'latin1').copy(start, at);
  return start;
}

function qcow2Of(bytes: bigint, changes: (start: Buffer) => void = () => undefined): Buffer {
  const start = startOf([0, 'QFI\u{fb}']);
  start.writeUInt32BE(3, 4);
  start.writeUInt32BE(16, 20);
  start.writeBigUInt64BE(bytes, 24);
  start.writeUInt32BE(104, 100);
  changes(start);
  return start;
}

function vmdkOf(descriptor: string, sectors = 2048n): Buffer {
  const start = startOf([0, 'KDMV'], [512, descriptor]);
  start.writeBigUInt64LE(sectors, 12);
  start.writeBigUInt64LE(1n, 28);
  start.writeBigUInt64LE(20n, 36);
  return start;
}

function vdiOf(type: number, bytes = 2n ** 30n): Buffer {
  const start = startOf([64, Buffer.of(0x7f, 0x10, 0xda, 0xbe)]);
  start.writeUInt32LE(type, 76);
  start.writeBigUInt64LE(bytes, 368);
  return start;
}

function vpcOf(type: number): Buffer {
  const start = startOf([0, 'conectix']);
  start.writeBigUInt64BE(2n ** 30n, 48);
  start.writeUInt32BE(type, 60);
  return start;
}

const WHOLE = '# Disk DescriptorFile\nparentCID=ffffffff\ncreateType="streamOptimized"\n';

void describe('what is taken', () => {
  const cases: readonly (readonly [string, Buffer, format: string, bytes: number | undefined])[] = [
    ['a qcow2 image', qcow2Of(2n ** 30n), 'qcow2', GI],
    ['a VMDK image', vmdkOf(WHOLE), 'vmdk', 2 ** 20],
    ['a VDI image', vdiOf(1), 'vdi', GI],
    ['a VHD image', vpcOf(3), 'vpc', GI],
    ['a VHDX image', startOf([0, 'vhdxfile']), 'vhdx', undefined],
    ['an ISO image', startOf([32_769, 'CD001'], [510, 'U\u{aa}']), 'raw', undefined],
  ];
  for (const [words, start, format, virtualBytes] of cases) {
    void test(words, () => {
      const kind = kindOf(start);
      assert.equal(kind.words, words);
      assert.equal(kind.format, format);
      assert.equal(kind.virtualBytes, virtualBytes);
      assert.equal(refusalOf(kind, wish), undefined);
    });
  }

  void test('raw content only where that is asked for, by whatever name it has', () => {
    for (const [start, words] of [
      [startOf([510, 'U\u{aa}']), 'a raw disk with an MBR'],
      [startOf([510, 'U\u{aa}'], [512, 'EFI PART']), 'a raw disk with a GPT'],
      [startOf([1080, 'S\u{ef}']), 'an ext file system'],
      [startOf([0, 'hsqs']), 'a squashfs file system'],
      [startOf([0, 'film']), 'neither a disk image nor anything else that is known here'],
      [Buffer.alloc(0), 'neither a disk image nor anything else that is known here'],
    ] as const) {
      const kind = kindOf(start);
      const text = `is ${words}; say format: raw if it is to be taken as it is`;
      assert.equal(refusalOf(kind, wish), text);
      assert.equal(refusalOf(kind, { ...wish, format: 'raw' }), undefined);
    }
  });

  void test('an image of another format is not taken for raw', () => {
    assert.equal(
      refusalOf(kindOf(qcow2Of(2n ** 30n)), { ...wish, format: 'raw' }),
      'is a qcow2 image, and said to be raw; leave out the format',
    );
  });
});

void describe('what is refused, whatever format is asked for', () => {
  const cases: readonly (readonly [Buffer | string, RegExp])[] = [
    ['\u{1f}\u{8b}\u{8}', /^is compressed with gzip, which is not taken; decompress it first/],
    ['\u{fd}7zXZ\0', /^is compressed with xz/],
    ['(\u{b5}/\u{fd}', /^is compressed with zstd/],
    ['BZh91AY', /^is compressed with bzip2/],
    ['\u{4}"M\u{18}', /^is compressed with lz4/],
    ['PK\u{3}\u{4}', /^is a zip archive, which is not taken; unpack it first/],
    ["7z\u{bc}\u{af}'\u{1c}", /^is a 7z archive/],
    [startOf([257, 'ustar']), /^is a tar archive, as an OVA is one.*unpack the disk in it/],
    ['\n<!DOCTYPE html><html>', /^is a web page or XML and no image/],
    ['QED\0', /^is a QED image, which is not taken; convert it first/],
    ['QFI\u{fb}\0\0\0\u{1}', /^is a qcow image of version 1/],
    ['# Disk DescriptorFile\nRW 9 FLAT "/etc/shadow" 0', /in another file \(\/etc\/shadow\)/],
    [vmdkOf(`${WHOLE}parentFileNameHint="/a"\n`), /stands on another one \(\/a\)/],
    [vmdkOf(WHOLE.replace('ffffffff', '1')), /^is a VMDK image that stands on another one, which/],
    [vmdkOf('createType="vmfsSparse"'), /of the kind vmfsSparse, and monolithicSparse and/],
    [vmdkOf(''), /^is one part of a VMDK image/],
    [vmdkOf(WHOLE, 0n), /header is broken or cut off/],
    [vdiOf(4), /^is a VDI image that stands on another one/],
    [vpcOf(4), /^is a VHD image that stands on another one/],
    [qcow2Of(1n, (start) => start.writeUInt32BE(1, 32)), /^is an encrypted qcow2 image/],
    [qcow2Of(1n, (start) => start.writeUInt32BE(2, 76)), /marked corrupt/],
    [qcow2Of(1n, (start) => start.writeUInt32BE(4, 76)), /keeps its data in another file, which/],
    [qcow2Of(1n, (start) => start.writeUInt32BE(1, 72)), /features that are not known/],
    [qcow2Of(1n).subarray(0, 80), /header is broken or cut off/],
    [qcow2Of(1n).subarray(0, 8), /header is broken or cut off/],
    [vdiOf(1).subarray(0, 100), /header is broken or cut off/],
    [vpcOf(3).subarray(0, 100), /header is broken or cut off/],
    [vmdkOf(WHOLE).subarray(0, 60), /header is broken or cut off/],
  ];
  for (const [content, text] of cases) {
    void test(text.source, () => {
      const kind = kindOf(Buffer.isBuffer(content) ? content : Buffer.from(content, 'latin1'));
      for (const format of [undefined, 'raw'] as const) {
        assert.match(refusalOf(kind, { ...wish, format }) ?? '', text);
      }
    });
  }

  void test('by the names of other files, whatever is in those', () => {
    const name = `/a\u{1b}[2J\n${'b'.repeat(900)}`;
    const start = qcow2Of(1n, (each) => {
      each.writeBigUInt64BE(1024n, 8);
      each.writeUInt32BE(name.length, 16);
      each.write(name, 1024);
    });
    const text = refusalOf(kindOf(start), wish) ?? '';
    assert.match(text, /stands on another file \(\/a\?\[2J\?b+…\), which is refused/);
    assert.ok(text.length < 500);
  });
});

void test('larger than may be is told with both sizes, and nothing is no disk', () => {
  const text =
    'is a disk of 1152921504606846976 bytes (1Ei), and at most 4294967296 bytes (4Gi) are';
  assert.ok(refusalOf(kindOf(qcow2Of(2n ** 60n)), wish)?.startsWith(text));
  assert.match(refusalOf(kindOf(qcow2Of(0n)), wish) ?? '', /^is a disk of no bytes/);
  assert.match(refusalOf(kindOf(qcow2Of(2n ** 64n - 1n)), wish) ?? '', /^is a disk of \d+ bytes/);
});
