import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toStatistics } from '../../../../src/drivers/libvirt/domain-statistics.ts';
import { toJobStatistics } from '../../../../src/drivers/libvirt/job-statistics.ts';
import { decodeParameters } from '../../../../src/drivers/libvirt/typed-parameters.ts';

/** A virTypedParameter as libvirt lays it out. */
function parameter(name: string, type: number, write: (memory: Buffer) => void): Buffer {
  const memory = Buffer.alloc(96, 0);
  memory.write(name, 'latin1');
  memory.writeInt32LE(type, 80);
  // What lies between must not matter.
  memory.writeUInt32LE(0xdeadbeef, 84);
  write(memory.subarray(88));
  return memory;
}

const unsigned = (name: string, value: bigint) =>
  parameter(name, 4, (memory) => memory.writeBigUInt64LE(value));

test('every type of parameter is read, and strings are left out', () => {
  const parameters = decodeParameters(
    Buffer.concat([
      parameter('int', 1, (memory) => memory.writeInt32LE(-7)),
      parameter('uint', 2, (memory) => memory.writeUInt32LE(4_000_000_000)),
      parameter('llong', 3, (memory) => memory.writeBigInt64LE(-9_007_199_254_740_993n)),
      unsigned('ullong', 18_446_744_073_709_551_615n),
      parameter('double', 5, (memory) => memory.writeDoubleLE(0.5)),
      parameter('boolean', 6, (memory) => memory.writeUInt8(1)),
      parameter('string', 7, (memory) => memory.writeBigUInt64LE(0x1234n)),
    ]),
  );
  assert.deepEqual(Object.fromEntries(parameters), {
    int: -7,
    uint: 4_000_000_000,
    llong: -9_007_199_254_740_993n,
    ullong: 18_446_744_073_709_551_615n,
    double: 0.5,
    boolean: true,
  });
});

test('a name that fills its field has no end mark', () => {
  const name = 'x'.repeat(80);
  const memory = unsigned(name, 1n);
  assert.deepEqual([...decodeParameters(memory).keys()], [name]);
});

test('statistics are in bytes and add up disks and interfaces', () => {
  const parameters = new Map<string, number | bigint | string>([
    ['cpu.time', 123n],
    ['vcpu.current', 2],
    ['balloon.current', 1024n],
    ['balloon.rss', 512n],
    ['block.count', 2],
    ['block.0.name', 'vda'],
    ['block.0.capacity', 4096n],
    ['block.0.physical', 512n],
    ['block.1.name', 'sda'],
    ['block.0.rd.bytes', 10n],
    ['block.1.rd.bytes', 5n],
    ['block.1.wr.bytes', 7n],
    ['net.count', 1],
    ['net.0.rx.bytes', 3n],
    ['net.0.tx.bytes', 4n],
  ]);
  assert.deepEqual(toStatistics(parameters), {
    cpuTimeNs: 123n,
    vcpus: 2,
    memoryActualBytes: 1024 * 1024,
    memoryRssBytes: 512 * 1024,
    diskReadBytes: 15n,
    diskWriteBytes: 7n,
    networkReceiveBytes: 3n,
    networkTransmitBytes: 4n,
    // The other is a drive with nothing in it.
    disks: [{ target: 'vda', virtualBytes: 4096, allocatedBytes: 512 }],
  });
});

test('a VM too busy to be asked has no statistics rather than zeros', () => {
  assert.equal(toStatistics(new Map([['cpu.time', 123n]])), undefined);
});

test('a job that has not reported yet has zeros', () => {
  const job = toJobStatistics(2, new Map([['operation', 5]]));
  assert.equal(job.kind, 'unbounded');
  assert.equal(job.operation, 'migration-out');
  assert.equal(job.memoryTotalBytes, 0n);
  assert.equal(job.iteration, 0);
});
