import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import type { IncomingVm } from '../../../../src/agent/migration/migration.ts';
import { FieldChecks } from '../../../../src/agent/rpc/field-checks.ts';
import { fromProgress } from '../../../../src/agent/rpc/figure-conversion.ts';
import {
  checkContents,
  fromIncomingBlocker,
  fromIncomingFields,
  fromIncomingReport,
  fromSighting,
  toIncomingFields,
  toIncomingReport,
} from '../../../../src/agent/rpc/peer-conversion.ts';
import { readDefinitionText, toDefinitionText } from '../../../../src/core/vm-definition-text.ts';
import { MigrationProgress } from '../../../../src/gen/novacron/agent/v1/migration.ts';
import {
  CheckIncomingRequest,
  GetIncomingResponse,
  LocateVirtualMachineResponse,
  type PrivateFile,
} from '../../../../src/gen/novacron/peer/v1/peer.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';
import { wrong } from './field-violations.ts';

const MIB = 1024 ** 2;
const SOURCE = '5f0c3c1e-9a3e-4f59-8f4c-0d5a3a4b1c2d';
const content = Buffer.from('#cloud-config\n');
const sha256 = createHash('sha256').update(content).digest('hex');

const incoming: IncomingVm = {
  definition: tinyVm(
    { owner: SOURCE, annotations: { note: 'ü' }, privateFiles: { 'user-data': sha256 } },
    { userData: `sha256:${sha256}` },
  ),
  machineType: 'pc-q35-7.2',
  accelerator: undefined,
  memoryBytes: 64 * MIB,
  vcpus: 1,
  cpu: 'qemu64',
  bridges: ['br0', 'virbr1'],
  hypervisorName: 'renamed',
  privateFiles: { 'user-data': content },
  sourceHostUuid: SOURCE,
  sourceQemuVersion: '7.2.22',
  requiredFeatures: ['private-files'],
};

/** Over the wire; the whole request is refused if anything is wrong in it. */
function carried(vm: IncomingVm, change: (request: CheckIncomingRequest) => void = () => {}) {
  const sent = CheckIncomingRequest.create(toIncomingFields(vm));
  change(sent);
  const request = CheckIncomingRequest.decode(CheckIncomingRequest.encode(sent).finish());
  const checks = new FieldChecks();
  const received = fromIncomingFields(request, checks);
  checkContents(request.incoming?.privateFiles ?? [], checks);
  checks.throwIfAny('INVALID_REQUEST', 'Cannot');
  return received;
}

const changed = (change: (vm: NonNullable<CheckIncomingRequest['incoming']>) => void) =>
  wrong(() =>
    carried(incoming, ({ incoming: vm }) => {
      if (vm !== undefined) change(vm);
    }),
  );

test('a VM crosses from peer to peer as it is, its files with it', () => {
  const received = carried(incoming);
  assert.deepEqual(received.definition, incoming.definition);
  const file = received.privateFiles['user-data'];
  assert.ok(file !== undefined && content.equals(file));
  const { privateFiles: _sent, ...rest } = incoming;
  const { privateFiles: _received, ...other } = received;
  assert.deepEqual(other, rest);
});

test('a disk crosses with the name of the secret that it is encrypted with', () => {
  const disk = {
    path: '/srv/a.qcow2',
    format: 'qcow2',
    bytes: MIB,
    encryption: { secret: 'disk-key' },
  } as const;
  const plain = { path: '/srv/b.raw', format: 'raw', bytes: MIB } as const;
  const madeDisks = { a: disk, b: plain };
  const definition = { ...incoming.definition, madeDisks };
  assert.deepEqual(carried({ ...incoming, definition }).definition.madeDisks, madeDisks);
});

test('what a newer agent has written crosses byte for byte', () => {
  const document = JSON.parse(toDefinitionText(incoming.definition));
  const manifest = `${JSON.stringify({ ...document, spec: { ...document.spec, later: 1 } }, null, 3)}\n`;
  const { definition } = incoming;
  const newer = readDefinitionText(manifest, { ...definition, isNewerVersion: false });
  const received = carried({ ...incoming, definition: newer });
  assert.deepEqual(received.definition.newer, { manifest, unknownFields: ['spec.later'] });
  assert.equal(toDefinitionText(received.definition), manifest);
});

test('a definition is limited, and must be text', () => {
  assert.deepEqual(
    changed((vm) => {
      vm.definition = Buffer.alloc(MIB + 1, ' ');
    }),
    ['incoming.definition'],
  );
  assert.deepEqual(
    changed((vm) => {
      vm.definition = Buffer.of(0x7b, 0xff, 0x7d);
    }),
    ['incoming.definition'],
  );
});

test('user data themselves are not taken in where their digest belongs', () => {
  assert.deepEqual(
    changed((vm) => {
      const text = Buffer.from(vm.definition).toString('utf8');
      vm.definition = Buffer.from(text.replace(`sha256:${sha256}`, 'password: secret'));
    }),
    ['incoming.definition'],
  );
});

test('the user data that a definition names must be among the files', () => {
  const other = createHash('sha256').update('other').digest('hex');
  for (const privateFiles of [
    [],
    [{ name: 'other', sha256, content }],
    [{ name: 'user-data', sha256: other, content: Buffer.from('other') }],
  ]) {
    assert.deepEqual(
      changed((vm) => {
        vm.privateFiles = privateFiles;
      }),
      ['incoming.privateFiles'],
    );
  }
});

test('private files are few, limited, named once, and what their digest says', () => {
  // One that names no user data, so that no file is missed.
  const plain = Buffer.from(toDefinitionText(tinyVm({ owner: SOURCE })));
  const withFiles = (files: PrivateFile[]) =>
    changed((vm) => {
      vm.definition = plain;
      vm.privateFiles = files;
    });
  const large = Buffer.alloc(MIB + 1);
  const digest = createHash('sha256').update(large).digest('hex');
  assert.deepEqual(withFiles([{ name: 'large', sha256: digest, content: large }]), [
    'incoming.privateFiles[0].content',
  ]);
  assert.deepEqual(withFiles(['a', 'b', 'c', 'd'].map((name) => ({ name, sha256, content }))), [
    'incoming.privateFiles',
  ]);
  assert.deepEqual(withFiles(['a', 'a'].map((name) => ({ name, sha256, content }))), [
    'incoming.privateFiles[1].name',
  ]);
  assert.deepEqual(withFiles([{ name: '../a', sha256: 'ab', content: Buffer.from('other') }]), [
    'incoming.privateFiles[0].name',
    'incoming.privateFiles[0].sha256',
    'incoming.privateFiles[0].content',
  ]);
});

const withEjected = (ejected: Record<string, string>) =>
  changed((vm) => {
    vm.ejected = ejected;
  });

test('media that its guest has ejected cross, and are few, of volumes, and named by digests', () => {
  const ejected = { cd: sha256 };
  const received = carried({ ...incoming, definition: { ...incoming.definition, ejected } });
  assert.deepEqual(received.definition.ejected, ejected);
  const many = Array.from({ length: 65 }, (_, index) => [`cd${index}`, sha256] as const);
  assert.deepEqual(withEjected(Object.fromEntries(many)), ['incoming.ejected']);
  assert.deepEqual(withEjected(Object.fromEntries(many.slice(1))), []);
  assert.deepEqual(withEjected({ cd: sha256.toUpperCase(), setup: `${sha256}0` }), [
    'incoming.ejected.cd',
    'incoming.ejected.setup',
  ]);
  assert.deepEqual(withEjected({ 'a" owner="b': sha256 }), [
    String.raw`incoming.ejected["a\" owner=\"b"]`,
  ]);
});

test('an incoming VM without what it must have is refused by field', () => {
  const fields = wrong((checks) =>
    fromIncomingFields(
      CheckIncomingRequest.fromPartial({
        incoming: { accelerator: 'xen', ownershipEpoch: 2n ** 63n },
      }),
      checks,
    ),
  );
  assert.deepEqual(fields.toSorted(), [
    'incoming.accelerator',
    'incoming.name',
    'incoming.namespace',
    'incoming.ownershipEpoch',
    'incoming.uid',
  ]);
  assert.ok(
    wrong((checks) => fromIncomingFields(CheckIncomingRequest.create(), checks)).includes(
      'incoming',
    ),
  );
});

test('a report crosses with its figures, or without any', () => {
  const figures = { downtimeMs: 12.5, memoryProcessedBytes: 0n, iterations: 0, elapsedMs: 900 };
  const nothing = {
    downtimeMs: undefined,
    memoryProcessedBytes: undefined,
    iterations: undefined,
    elapsedMs: undefined,
  };
  for (const report of [
    { state: 'arrived', ownershipEpoch: 4, holdsSource: true, figures },
    {
      state: 'arrived',
      ownershipEpoch: 4,
      holdsSource: false,
      figures: { ...nothing, downtimeMs: 1 },
    },
    {
      state: 'arrived',
      ownershipEpoch: 4,
      holdsSource: false,
      figures: { ...nothing, iterations: 2 },
    },
    { state: 'absent', ownershipEpoch: 0, holdsSource: false, figures: undefined },
  ] as const) {
    const bytes = GetIncomingResponse.encode(toIncomingReport(report)).finish();
    assert.deepEqual(fromIncomingReport(GetIncomingResponse.decode(bytes)), report);
  }
});

test('progress that cannot be is refused by field', () => {
  const name = 'x'.repeat(200);
  for (const [progress, field] of [
    [{ fractionDone: 1.5 }, 'progress.fractionDone'],
    [{ fractionDone: Number.NaN }, 'progress.fractionDone'],
    [{ channels: Array.from({ length: 65 }, () => ({})) }, 'progress.channels'],
    [{ channels: [{ name }] }, 'progress.channels'],
  ] as const) {
    const message = MigrationProgress.create(
      progress as Parameters<typeof MigrationProgress.create>[0],
    );
    assert.deepEqual(
      wrong((checks) => fromProgress(message, checks)),
      [field],
    );
  }
});

test('what only a newer peer knows makes us careful', () => {
  const report = GetIncomingResponse.create({ state: 99 as never, ownershipEpoch: 1n });
  assert.equal(fromIncomingReport(report).state, 'unknown');
  const located = LocateVirtualMachineResponse.create({ presence: 99 as never });
  assert.equal(fromSighting(located).presence, 'unknown');
  assert.equal(fromSighting(LocateVirtualMachineResponse.create()).presence, 'unknown');
  const blocker = { reason: 'FROM_THE_FUTURE', message: 'No', subject: '' };
  assert.equal(fromIncomingBlocker(blocker).reason, 'MIGRATION_BLOCKED');
});
