import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeDetailsText } from '../../../../src/cli/views/node-details.ts';
import { nodeView } from '../../../../src/cli/views/node-view.ts';
import { ConditionStatus, Node } from '../../../../src/client/api.ts';

const { CONDITION_STATUS_TRUE: YES, CONDITION_STATUS_FALSE: NO } = ConditionStatus;

const NODE = Node.create({
  metadata: { name: 'node-a' },
  spec: { cordon: true, cordonReason: 'new memory' },
  status: {
    capacity: { cpu: '8', memory: '16Gi', 'hugepages-2Mi': '0' },
    allocatable: { cpu: '8', memory: '15Gi', 'hugepages-2Mi': '0' },
    allocated: { cpu: '2', memory: '586Mi' },
    foreign: { cpu: '1', memory: '128Mi' },
    conditions: [
      { type: 'Ready', status: YES, reason: 'Ready' },
      { type: 'Schedulable', status: NO, reason: 'Cordoned', message: 'new memory' },
    ],
    controllers: [
      { name: 'stale-copies' },
      {
        name: 'run-strategies',
        depth: 1,
        oldestAge: { seconds: 90n, nanos: 0 },
        waiting: 2,
        failing: 2,
        retries: 7n,
        lastError: 'Cannot start VM web',
      },
    ],
  },
});

function cell(node: Node, header: string): string | undefined {
  return nodeView(0)
    .columns.find((column) => column.header === header)
    ?.value(node);
}

test('what VMs have been given is shown of what they may have', () => {
  assert.equal(cell(NODE, 'CPUS'), '2/8');
  assert.equal(cell(NODE, 'MEMORY'), '586Mi/15Gi');
});

test('a cordon is no fault, and what does not hold is named', () => {
  assert.equal(cell(NODE, 'STATE'), 'Ready,Cordoned');
  const broken = Node.create({
    status: { conditions: [{ type: 'HypervisorConnected', status: NO }] },
  });
  assert.equal(cell(broken, 'STATE'), 'NotHypervisorConnected');
});

test('VMs of nobody knows whom are no fault of the node, but named', () => {
  const node = Node.create({
    status: {
      conditions: [
        { type: 'Ready', status: YES },
        { type: 'VirtualMachinesIdentified', status: NO },
      ],
      unidentifiedVirtualMachines: [{ hypervisorName: 'default_web', uid: 'u-1' }],
    },
  });
  assert.equal(cell(node, 'STATE'), 'Ready,UnidentifiedVMs');
  assert.match(nodeDetailsText(node, 0), /\nUNIDENTIFIED VM +UID\ndefault_web +u-1\n\nWhat to do/);
  assert.doesNotMatch(nodeDetailsText(NODE, 0), /UNIDENTIFIED/);
  const { status } = JSON.parse(JSON.stringify(nodeView(0).document(node)));
  assert.deepEqual(status.unidentifiedVirtualMachines, [
    { hypervisorName: 'default_web', uid: 'u-1' },
  ]);
});

test('a node that is being shut down says so beside its state', () => {
  const node = Node.create({
    status: {
      shutdown: {},
      conditions: [
        { type: 'Ready', status: YES },
        { type: 'Schedulable', status: NO, reason: 'ShuttingDown' },
        { type: 'ShuttingDown', status: YES },
      ],
    },
  });
  assert.equal(cell(node, 'STATE'), 'Ready,ShuttingDown');
});

test('a node that has given more memory than it has is ready, and says so', () => {
  const node = Node.create({
    status: {
      conditions: [
        { type: 'Ready', status: YES },
        { type: 'MemoryAvailable', status: NO },
      ],
    },
  });
  assert.equal(cell(node, 'STATE'), 'Ready,Overcommitted');
});

test('every resource, condition and controller has its line', () => {
  const lines = nodeDetailsText(NODE, 0)
    .split('\n')
    .map((line) => line.split(/ {2,}/));
  const lineOf = (first: string) => lines.find(([word]) => word === first);
  assert.deepEqual(lineOf('RESOURCE'), [
    'RESOURCE',
    'CAPACITY',
    'ALLOCATABLE',
    'ALLOCATED',
    'FOREIGN',
    'FREE',
  ]);
  assert.deepEqual(lineOf('memory'), ['memory', '16Gi', '15Gi', '586Mi', '128Mi', '14.4Gi']);
  assert.deepEqual(lineOf('hugepages-2Mi'), ['hugepages-2Mi', '0B', '0B', '0B', '0B', '0B']);
  assert.deepEqual(lineOf('Schedulable'), ['Schedulable', 'False', '-', 'Cordoned', 'new memory']);
  assert.deepEqual(lineOf('stale-copies'), ['stale-copies', '0', '-', '0', '0', '0', '-']);
  const failing = ['run-strategies', '1', '1m30s', '2', '2', '7', 'Cannot start VM web'];
  assert.deepEqual(lineOf('run-strategies'), failing);
});

test('what is wrong with a node comes first, its cause before what follows, and each is said once', () => {
  const message = 'libvirt listens elsewhere; set hypervisor.libvirtSocket';
  const obstacle = 'Nothing can be said of VMs yet';
  const { CONDITION_STATUS_UNKNOWN: UNKNOWN } = ConditionStatus;
  const node = Node.create({
    status: {
      capacity: { cpu: '8' },
      conditions: [
        { type: 'Ready', status: NO, reason: 'HypervisorNotConnected', message },
        { type: 'Schedulable', status: YES, reason: 'Open' },
        { type: 'HypervisorConnected', status: NO, reason: 'Disconnected', message },
        { type: 'VirtualMachinesIdentified', status: UNKNOWN, reason: 'X', message: obstacle },
        { type: 'VirtualMachinesRunning', status: UNKNOWN, reason: 'X', message: obstacle },
      ],
    },
  });
  const text = nodeDetailsText(node, 0);
  const lines = text.split('\n').map((line) => line.split(/ {2,}/));
  assert.deepEqual(
    lines.slice(1, 7).map(([first]) => first),
    [
      'CONDITION',
      'HypervisorConnected',
      'Ready',
      'VirtualMachinesIdentified',
      'VirtualMachinesRunning',
      'Schedulable',
    ],
  );
  assert.equal(text.split(message).length, 2, text);
  assert.equal(text.split(obstacle).length, 2, text);
  assert.equal(lines[3]?.at(-1), 'See HypervisorConnected');
  assert.ok(text.indexOf('RESOURCE') > text.indexOf('CONDITION'));
  assert.match(text, /\nWhat to do: run novactl doctor on the node/);
});

test('the cordon and its reason are part of the document', () => {
  assert.deepEqual(nodeView(0).document(NODE)['spec'], {
    cordon: true,
    cordonReason: 'new memory',
  });
});

test('VMs that cannot be asked after are not counted as none', () => {
  const node = Node.fromPartial({
    status: {
      runningVirtualMachines: 0,
      conditions: [
        { type: 'HypervisorConnected', status: ConditionStatus.CONDITION_STATUS_FALSE },
        { type: 'VirtualMachinesRunning', status: ConditionStatus.CONDITION_STATUS_UNKNOWN },
      ],
    },
  });
  assert.equal(cell(node, 'VMS'), 'unknown');
  assert.equal(cell(node, 'STATE'), 'NotHypervisorConnected');
});

test('a node whose VMs should run and do not says so, and is ready', () => {
  const node = Node.fromPartial({
    status: {
      runningVirtualMachines: 3,
      conditions: [
        { type: 'VirtualMachinesRunning', status: ConditionStatus.CONDITION_STATUS_FALSE },
      ],
    },
  });
  assert.equal(cell(node, 'VMS'), '3');
  assert.equal(cell(node, 'STATE'), 'Ready,VMsDown');
});
