import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hintFor } from '../../../../src/cli/errors/hints.ts';
import { AgentError } from '../../../../src/core/errors.ts';
import {
  describeFailure,
  LibvirtError,
  toAgentError,
} from '../../../../src/drivers/libvirt/errors.ts';

const call = { operation: 'start', action: 'start VM a/b', metadata: { vmId: '1' } };

function reasonOf(
  code: number,
  operation: string,
  options: { errno?: number; alive?: boolean } = {},
) {
  const failure = describeFailure(
    new LibvirtError(code, 'words', options.errno ?? 0),
    options.alive ?? true,
  );
  return toAgentError(failure, { ...call, operation }).reason;
}

test('libvirt numbers become reasons', () => {
  assert.equal(reasonOf(42, 'start'), 'VM_NOT_FOUND');
  assert.equal(reasonOf(55, 'suspend'), 'VM_NOT_RUNNING');
  assert.equal(reasonOf(68, 'suspend'), 'VM_BUSY');
  assert.equal(reasonOf(84, 'getJob'), 'FEATURE_NOT_SUPPORTED');
  assert.equal(reasonOf(67, 'getJob'), 'INVALID_SPEC');
  assert.equal(reasonOf(1, 'destroy'), 'HYPERVISOR_FAILURE');
  assert.equal(reasonOf(9999, 'destroy'), 'HYPERVISOR_FAILURE');
});

for (const operation of ['define', 'start', 'migrate']) {
  test(`what no list has and libvirt answers to ${operation} is its refusal, in its own words`, () => {
    const listed = ['HYPERVISOR_UNREACHABLE', 'VM_NOT_FOUND', 'VM_BUSY', 'CPU_INCOMPATIBLE'];
    const other = new Set<string>();
    for (let code = 0; code < 130; code++) other.add(reasonOf(code, operation));
    for (const reason of [...listed, 'MIGRATION_FAILED']) other.delete(reason);
    assert.deepEqual([...other], ['HYPERVISOR_REFUSED']);
    const failure = describeFailure(new LibvirtError(67, 'unsupported configuration: no'), true);
    const error = toAgentError(failure, { ...call, operation });
    assert.equal(error.message, 'Cannot start VM a/b: unsupported configuration: no');
  });
}

test('whatever libvirt says of a lost connection, it is unreachable', () => {
  assert.equal(reasonOf(38, 'list', { alive: false }), 'HYPERVISOR_UNREACHABLE');
  assert.equal(reasonOf(1, 'migrate', { alive: false }), 'HYPERVISOR_UNREACHABLE');
});

test('what the destination says is no loss of the hypervisor here', () => {
  assert.equal(reasonOf(38, 'migrate'), 'HYPERVISOR_REFUSED');
  assert.equal(reasonOf(5, 'migrate'), 'HYPERVISOR_REFUSED');
  assert.equal(reasonOf(78, 'migrate'), 'MIGRATION_FAILED');
  assert.equal(reasonOf(91, 'migrate'), 'CPU_INCOMPATIBLE');
  assert.equal(reasonOf(42, 'migrate'), 'VM_NOT_FOUND');
});

test('a VM whose image is missing does not start for that reason', () => {
  assert.equal(reasonOf(38, 'start', { errno: 2 }), 'IMAGE_NOT_FOUND');
  assert.equal(reasonOf(38, 'start', { errno: 13 }), 'IMAGE_NOT_READABLE');
  assert.equal(reasonOf(38, 'start', { errno: 5 }), 'HYPERVISOR_REFUSED');
});

// As libvirt 9.0 and 11.3 say it.
for (const [operation, words] of [
  ['start', "operation failed: Unable to find any firmware to satisfy 'efi'"],
  [
    'define',
    "operation failed: Unable to find 'efi' firmware that is compatible with the current configuration",
  ],
] as const) {
  test(`${operation} without a UEFI image on the node says what to install`, () => {
    const failure = describeFailure(new LibvirtError(9, words), true);
    const error = toAgentError(failure, { ...call, operation });
    assert.equal(error.reason, 'FEATURE_NOT_SUPPORTED');
    assert.match(error.message, /firmware.*; install .* ovmf/);
  });
}

test('the message says what could not be done and why, and the cause has the number', () => {
  const failure = describeFailure(new LibvirtError(42, 'Domain not found'), true);
  const error = toAgentError(failure, call);
  assert.equal(error.message, 'Cannot start VM a/b: Domain not found');
  assert.deepEqual(error.metadata, { vmId: '1' });
  assert.equal(error.cause instanceof LibvirtError && error.cause.code, 42);
});

test('what the driver refuses keeps its reason, and a bug is a failure', () => {
  const refused = describeFailure(new AgentError('VM_RUNNING', 'It is running'), true);
  assert.equal(toAgentError(refused, call).reason, 'VM_RUNNING');
  const bug = describeFailure(new TypeError('oops'), true);
  assert.equal(toAgentError(bug, call).reason, 'HYPERVISOR_FAILURE');
});

test('of huge pages that are not free programs are told as of what the agent itself gives', () => {
  const words = 'unable to map backing store for guest RAM: Cannot allocate memory';
  const error = toAgentError(describeFailure(new LibvirtError(1, words), true), call);
  assert.equal(error.reason, 'NODE_CAPACITY_EXCEEDED');
  assert.deepEqual(error.metadata, { vmId: '1', resource: 'hugepages' });
});

const SAID: readonly {
  readonly code: number;
  readonly words: string;
  readonly reason: string;
  readonly advice: RegExp;
}[] = [
  {
    code: 38,
    words:
      "Cannot access storage file '/root/vm/web.qcow2' (as uid:64055, gid:64055): Permission denied",
    reason: 'IMAGE_NOT_READABLE',
    advice: /as the user that it runs as on WHERE.*setfacl -m u:64055:x/,
  },
  {
    code: 38,
    words:
      "Cannot access backing file '/srv/base.qcow2' of storage file '/srv/web.qcow2' (as uid:107, gid:107): Permission denied",
    reason: 'IMAGE_NOT_READABLE',
    advice: /setfacl -m u:107:x/,
  },
  {
    code: 1,
    words:
      "internal error: process exited while connecting to monitor: qemu-system-x86_64: -blockdev …: Could not open '/srv/web.raw': Permission denied",
    reason: 'IMAGE_NOT_READABLE',
    advice: /may not open it/,
  },
  {
    code: 1,
    words:
      "internal error: qemu unexpectedly closed the monitor: Could not open '/srv/web.raw': No such file or directory",
    reason: 'IMAGE_NOT_FOUND',
    advice: /put it there, on WHERE/,
  },
  {
    code: 38,
    words: "Cannot get interface MTU on 'br7': No such device",
    reason: 'NETWORK_NOT_FOUND',
    advice: /there is no such bridge on WHERE: make it/,
  },
  {
    code: 1,
    words:
      'internal error: process exited while connecting to monitor: Failed to get "write" lock\nIs another process using the image [/srv/x.qcow2]?',
    reason: 'IMAGE_IN_USE',
    advice: /fuser -v/,
  },
  {
    code: 9,
    words:
      "operation failed: guest CPU doesn't match specification: missing features: pcid,erms,invpcid",
    reason: 'CPU_INCOMPATIBLE',
    advice: /the CPU of WHERE lacks .*spec\.template\.spec\.cpu\.model/,
  },
  {
    code: 1,
    words: 'internal error: Unknown CPU model EPYC-Genoa',
    reason: 'CPU_INCOMPATIBLE',
    advice: /libvirt of WHERE does not know it.*cpu-models/,
  },
  {
    code: 91,
    words:
      'the CPU is incompatible with host CPU: Host CPU does not provide required features: avx512f',
    reason: 'CPU_INCOMPATIBLE',
    advice: /the CPU of WHERE lacks/,
  },
  {
    code: 67,
    words:
      'unsupported configuration: guest and host CPU are not compatible: Host CPU does not provide required features: svm',
    reason: 'CPU_INCOMPATIBLE',
    advice: /the CPU of WHERE lacks/,
  },
];

for (const { code, words, reason, advice } of SAID) {
  for (const [operation, where] of [
    ['start', 'this node'],
    ['migrate', 'the destination'],
  ] as const) {
    test(`${operation} that fails with "${words.slice(0, 60)}…" (${code}) is ${reason}, with all that libvirt says`, () => {
      const failure = describeFailure(new LibvirtError(code, words), true);
      const error = toAgentError(failure, { ...call, operation });
      assert.equal(error.reason, reason);
      assert.ok(error.message.startsWith(`Cannot start VM a/b: ${words}; `), error.message);
      assert.match(error.message, new RegExp(advice.source.replace('WHERE', where)));
      assert.doesNotMatch(`${error.message} ${hintFor(error)}`, /version|[Uu]pgrade/);
    });
  }
}
