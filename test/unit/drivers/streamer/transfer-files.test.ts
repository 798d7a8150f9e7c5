import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TransferFiles } from '../../../../src/drivers/streamer/transfer-files.ts';

const ID = '0d7f9c1e-2f57-4a55-9f0e-5b0b7f3c2d10';

test('a run directory that leaves no room for socket paths is refused, with how much is too much', () => {
  const longest = `/${'r'.repeat(44)}`;
  const files = new TransferFiles(longest);
  assert.equal(Buffer.byteLength(files.service(ID, 'libvirt')), 107);
  assert.throws(() => new TransferFiles(`${longest}rr`), {
    reason: 'INVALID_CONFIG',
    message: /shorten it by 2$/,
  });
});

test('a service whose socket path would be too long is refused', () => {
  const files = new TransferFiles('/run/novacron');
  assert.equal(files.service(ID, 'ram'), `/run/novacron/transfers/${ID}/ram/socket`);
  assert.throws(() => files.service(ID, 'r'.repeat(80)), { reason: 'INVALID_REQUEST' });
});

test('ids and services cannot lead out of the directory', () => {
  const files = new TransferFiles('/run/novacron');
  assert.throws(() => files.directory('../../etc'), { reason: 'INVALID_REQUEST' });
  assert.throws(() => files.directory(ID.toUpperCase()), { reason: 'INVALID_REQUEST' });
  assert.throws(() => files.service(ID, '../x'), { reason: 'INVALID_REQUEST' });
});
