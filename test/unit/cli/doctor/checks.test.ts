import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toTimestamp } from '../../../../src/agent/rpc/time-conversion.ts';
import { checkAgent, judgeNode } from '../../../../src/cli/doctor/agent-checks.ts';
import { parseAgentSettings } from '../../../../src/cli/doctor/agent-settings.ts';
import { checkPermissions } from '../../../../src/cli/doctor/certificate-checks.ts';
import { ok, runChecks } from '../../../../src/cli/doctor/check.ts';
import { checkConsoleLogs } from '../../../../src/cli/doctor/console-checks.ts';
import type { Host } from '../../../../src/cli/doctor/host.ts';
import {
  checkAutostart,
  checkHostShutdown,
} from '../../../../src/cli/doctor/host-shutdown-checks.ts';
import {
  checkHostUuid,
  checkKvm,
  checkLibvirtSocket,
  checkQemu,
} from '../../../../src/cli/doctor/hypervisor-checks.ts';
import { doctorText, inOrder } from '../../../../src/cli/doctor/report.ts';
import {
  checkAddresses,
  checkClock,
  checkConfiguration,
  checkKernelLimits,
  checkSpace,
  checkStreamer,
  judgeProcessLimits,
} from '../../../../src/cli/doctor/system-checks.ts';
import { Node, VirtualMachine } from '../../../../src/client/api.ts';
import { delay } from '../../../../src/core/delay.ts';
import { AgentError } from '../../../../src/core/errors.ts';
import { fakeHost } from './fake-host.ts';

const never = new AbortController().signal;
const { settings } = parseAgentSettings('nodeName: a\n');

function texts(files: Readonly<Record<string, string>>): Pick<Host, 'findText'> {
  return { findText: async (path) => files[path] };
}

function isA(kind: 'socket' | 'file'): Host['findInfo'] {
  return async () => ({ kind, mode: 0o750, ownerId: 0 });
}

/** The program, or any, is there and prints so. */
function prints(program: string | undefined, stdout: string): Pick<Host, 'run'> {
  return {
    run: async (asked) =>
      program === undefined || asked === program ? { code: 0, stdout } : undefined,
  };
}

async function refuse(code: string): Promise<never> {
  throw Object.assign(new Error(code), { code });
}

test('a check that hangs fails on its own and holds up no other', async () => {
  const results = await runChecks(
    [
      { name: 'hangs', run: () => new Promise(() => undefined) },
      { name: 'quick', run: async () => ok('fine') },
      { name: 'broken', run: () => refuse('EIO') },
    ],
    { timeoutMs: 20, isRoot: true },
    never,
  );
  assert.deepEqual(
    results.map(({ name, level }) => [name, level]),
    [
      ['hangs', 'failure'],
      ['quick', 'ok'],
      ['broken', 'failure'],
    ],
  );
});

test('on a slow machine checks are waited for as long as one after another ends', async () => {
  const stepMs = 40;
  const slow = (step: number) => ({
    name: `${step}`,
    run: () => delay(step * stepMs, never).then(() => ok('')),
  });
  const checks = Array.from({ length: 12 }, (_, index) => slow(index + 1));
  const results = await runChecks(checks, { timeoutMs: 8 * stepMs, isRoot: true }, never);
  assert.deepEqual(new Set(results.map(({ level }) => level)), new Set(['ok']));
});

test('Ctrl-C ends the checks', async () => {
  const abort = new AbortController();
  const checks = [{ name: 'hangs', run: () => new Promise<never>(() => undefined) }];
  const running = runChecks(checks, { timeoutMs: 60_000, isRoot: true }, abort.signal);
  abort.abort(new Error('enough'));
  await assert.rejects(running, /enough/);
});

test('a configuration that is missing, no YAML or only half meant for others fails', () => {
  for (const text of [undefined, 'a: [', 'listen: 10.0.0.1:7443', 'peers: {}', 'peers: 3']) {
    assert.equal(
      checkConfiguration(parseAgentSettings(text), '/etc/a.yaml').level,
      'failure',
      text,
    );
  }
  for (const good of ['{}', 'nodeName: a\nadvertise: 10.0.0.1:7443\n']) {
    assert.equal(checkConfiguration(parseAgentSettings(good), '/etc/a.yaml').level, 'ok');
  }
});

for (const [line, detail] of [
  ['unknownToUs: true', /unknownToUs: unknown key/],
  ['hypervisor: {accelerator: fpga}', /hypervisor\.accelerator: must be auto, kvm or tcg/],
  ['hypervisor: {uri: "qemu:///session"}', /hypervisor\.uri: .* of one user only/],
  ['migration: {lanes: many}', /migration\.lanes: must be a number/],
] as const) {
  test(`doctor fails a configuration with "${line}", as the agent does not start with it`, () => {
    const text = `nodeName: a\nadvertise: 10.0.0.1:7443\ntls: {certificate: /c, key: /k, ca: /ca}\n${line}`;
    const { level, detail: found } = checkConfiguration(parseAgentSettings(text), '/etc/a.yaml');
    assert.equal(level, 'failure');
    assert.match(found, detail);
  });
}

for (const [text, level, detail] of [
  ['advertise: 10.0.0.1:7443', 'ok', /Listens at 0\.0\.0\.0:7443, others reach it at 10\.0\.0\.1/],
  ['{}', 'ok', /alone: its API is at \/run\/novacron\/agent\.sock only/],
  ['advertise: 0.0.0.0:7443', 'failure', /^advertise: .*wildcard/],
  ['advertise: fd00::2:7443', 'failure', /^advertise: .*write \[fd00::2\]:7443/],
  ['advertise: 10.0.0.1:7443\npeers: {b: "[fe80::1%eth0]:7443"}', 'failure', /^peers\.b: .*zone/],
  ['advertise: 10.0.0.1:7443\nlisten: 10.0.0.2:7443', 'warning', /^advertise: /],
  [
    'advertise: 10.0.0.9:7443',
    'warning',
    /^advertise: 10\.0\.0\.9:7443 is none of the addresses of this machine \(10\.0\.0\.1\)/,
  ],
] as const) {
  test(`doctor knows of the addresses "${text}" what the agent's own check knows`, () => {
    const finding = checkAddresses(parseAgentSettings(text).settings, '/etc/a.yaml', ['10.0.0.1']);
    assert.equal(finding.level, level);
    assert.match(finding.detail, detail);
  });
}

test('an address in brackets without quotes is what is wrong with the configuration', () => {
  const { detail } = checkConfiguration(parseAgentSettings('listen: [::]:7443'), '/etc/a.yaml');
  assert.match(detail, /must be in quotes: listen: "\[::\]:7443"/);
});

test("libvirt's socket must be there, be a socket and answer", async () => {
  const socket = isA('socket');
  const file = isA('file');
  const refused = { findInfo: socket, connectUnix: () => refuse('ECONNREFUSED') };
  for (const [given, level] of [
    [{}, 'failure'],
    [{ findInfo: file }, 'failure'],
    [refused, 'failure'],
    [{ findInfo: socket }, 'ok'],
  ] as const) {
    assert.equal((await checkLibvirtSocket(fakeHost(given), settings, never)).level, level);
  }
});

/** A host with these sockets and no others. */
function withSockets(...paths: readonly string[]): Host {
  return fakeHost({
    findInfo: async (path) =>
      paths.includes(path) ? { kind: 'socket', mode: 0o700, ownerId: 0 } : undefined,
    findText: async (path) =>
      path === '/proc/net/unix'
        ? paths.map((each) => `0: 00000002 0 00010000 0001 01 17 ${each}\n`).join('')
        : undefined,
  });
}

for (const [what, configuration, sockets, level, text] of [
  ['virtqemud by itself', '{}', ['/run/libvirt/virtqemud-sock'], 'ok', /virtqemud-sock answers/],
  ['libvirtd by itself', '{}', ['/run/libvirt/libvirt-sock'], 'ok', /libvirt-sock answers/],
  [
    'the setting for a libvirt at another socket',
    '{}',
    ['/run/user/0/libvirt/libvirt-sock', '/opt/libvirt/libvirt-sock'],
    'failure',
    /libvirt is at \/opt\/libvirt\/libvirt-sock.*Set hypervisor\.libvirtSocket: \/opt\/libvirt\/libvirt-sock/,
  ],
  [
    'that the advice was followed',
    'hypervisor: {libvirtSocket: /opt/libvirt/libvirt-sock}',
    ['/opt/libvirt/libvirt-sock'],
    'ok',
    /^\/opt/,
  ],
  [
    'the setting that names the wrong socket',
    'hypervisor: {libvirtSocket: /run/libvirt/libvirt-sock}',
    ['/run/libvirt/virtqemud-sock'],
    'failure',
    /hypervisor\.libvirtSocket names, is no socket, but libvirt is at \/run\/libvirt\/virtqemud-sock/,
  ],
  [
    'the URI that names the wrong socket',
    'hypervisor: {uri: "qemu+unix:///system?socket=/x/libvirt-sock"}',
    ['/run/libvirt/libvirt-sock'],
    'failure',
    /\/x\/libvirt-sock, which hypervisor\.uri names.*Correct hypervisor\.uri/,
  ],
  ['both names where there is none', '{}', [], 'failure', /virtqemud-sock.*libvirt-sock.*Install/],
] as const) {
  test(`doctor finds ${what}`, async () => {
    const own = parseAgentSettings(configuration).settings;
    const {
      detail,
      fix = '',
      ...found
    } = await checkLibvirtSocket(withSockets(...sockets), own, never);
    assert.equal(found.level, level);
    assert.match(`${detail} ${fix}`, text);
  });
}

function qemu(version: string): Pick<Host, 'run'> {
  return prints(undefined, `QEMU emulator version ${version} (Debian)\n`);
}

test('QEMU before 9.0 without KVM is warned about', async () => {
  const noKvm = { openReadWrite: () => refuse('ENOENT') };
  for (const [given, level] of [
    [{}, 'failure'],
    [{ ...qemu('7.2.22'), ...noKvm }, 'warning'],
    [{ ...qemu('10.0.2'), ...noKvm }, 'ok'],
    [qemu('7.2.22'), 'ok'],
  ] as const) {
    assert.equal((await checkQemu(fakeHost(given), settings, 'x64', never)).level, level);
  }
});

test('a missing KVM is a failure only where it is demanded', async () => {
  const demanding = parseAgentSettings('hypervisor: {accelerator: kvm}').settings;
  assert.equal((await checkKvm(fakeHost(), settings)).level, 'warning');
  assert.equal((await checkKvm(fakeHost(), demanding)).level, 'failure');
});

test("the host's UUID comes from libvirt or the firmware and must be worth something", async () => {
  const uuid = '3f1c2d4e-0000-4000-8000-000000000001';
  const libvirt = '/etc/libvirt/libvirtd.conf';
  const firmware = '/sys/class/dmi/id/product_uuid';
  for (const [files, level] of [
    [{}, 'failure'],
    [{ [firmware]: `${uuid.toUpperCase()}\n` }, 'ok'],
    [{ [firmware]: '03000200-0400-0500-0006-000700080009\n' }, 'failure'],
    [{ [libvirt]: `#host_uuid = "x"\nhost_uuid = "${uuid}"\n` }, 'ok'],
    [{ [libvirt]: 'host_uuid = "nonsense"\n', [firmware]: uuid }, 'failure'],
  ] as const) {
    const finding = await checkHostUuid(fakeHost(texts(files)), settings, never);
    assert.equal(finding.level, level, JSON.stringify(files));
  }
});

test('a key that others can read fails, with the chmod to do', async () => {
  const withTls = parseAgentSettings('tls: {certificate: /c, key: /k, ca: /ca}').settings;
  const open = { findInfo: async () => ({ kind: 'file', mode: 0o644, ownerId: 0 }) as const };
  const finding = await checkPermissions(fakeHost(open), withTls);
  assert.deepEqual([finding.level, finding.fix], ['failure', 'chmod 600 /k']);
});

test('a clock is synchronised when any of three says so', async () => {
  assert.equal((await checkClock(fakeHost(prints('timedatectl', 'yes\n')), never)).level, 'ok');
  const chrony = prints('chronyc', 'Stratum : 3\nLeap status     : Normal\n');
  assert.equal((await checkClock(fakeHost(chrony), never)).level, 'ok');
  assert.equal((await checkClock(fakeHost(prints('timedatectl', 'no\n')), never)).level, 'warning');
});

function space(freeBytes: number, freeInodes = 1e6): Host {
  return fakeHost({ space: async () => ({ freeBytes, freeInodes }) });
}

test('a full disk fails, a filling one warns, one that cannot be read fails', async () => {
  const needs = [{ path: '/x', failBelowBytes: 100, warnBelowBytes: 1000, keep: true }];
  const full = await checkSpace(space(50), needs);
  assert.equal(full.level, 'failure');
  assert.match(full.fix ?? '', /^Make room on its file system, .* leave alone what the agent has/);
  assert.doesNotMatch(full.fix ?? '', /\bdu\b|\brm\b/);
  assert.equal((await checkSpace(space(5000, 3), needs)).level, 'failure');
  assert.equal((await checkSpace(space(500), needs)).level, 'warning');
  assert.equal((await checkSpace(space(5000), needs)).level, 'ok');
  const broken = fakeHost({ space: () => refuse('EIO') });
  assert.match((await checkSpace(broken, needs)).fix ?? '', /findmnt -T \/x/);
});

test('low settings of the kernel are named', async () => {
  const low = texts({ '/proc/sys/fs/inotify/max_user_instances': '8\n' });
  const finding = await checkKernelLimits(fakeHost(low));
  assert.equal(finding.detail, 'fs.inotify.max_user_instances is 8, should be at least 128');
});

const LIMITS = `Limit                     Soft Limit           Hard Limit           Units
Max open files            1024                 524288               files
Max locked memory         8388608              unlimited            bytes
`;

test('the hard limits of a process count', () => {
  assert.equal(judgeProcessLimits(LIMITS, 'libvirtd').level, 'ok');
  const low = judgeProcessLimits(LIMITS.replace('524288', '1024'), 'libvirtd');
  assert.equal(low.detail, 'Limits of libvirtd are low: open files 1024');
});

test('the streamer must be there, be executable and run', async () => {
  const file = isA('file');
  const { run } = prints(undefined, 'novacron-streamer 0.1.0\n');
  for (const [given, level] of [
    [{}, 'failure'],
    [{ findInfo: file, isExecutable: async () => false }, 'failure'],
    [{ findInfo: file }, 'failure'],
    [{ findInfo: file, run }, 'ok'],
  ] as const) {
    assert.equal((await checkStreamer(fakeHost(given), settings, never)).level, level);
  }
});

test('an agent whose conditions do not hold fails, one without KVM warns', () => {
  const hypervisor = { accelerator: 'kvm', qemuVersion: '7.2.22' };
  const ready = Node.create({ status: { conditions: [{ type: 'Ready', status: 1 }], hypervisor } });
  const broken = Node.create({
    status: {
      conditions: [{ type: 'HypervisorConnected', status: 2, message: 'libvirt is gone' }],
    },
  });
  const tcg = Node.create({
    status: { hypervisor: { accelerator: 'tcg', qemuVersion: '7.2.22' } },
  });
  assert.equal(judgeNode(ready).level, 'ok');
  assert.match(judgeNode(broken).detail, / is not well: libvirt is gone \(HypervisorConnected\)$/);
  assert.match(judgeNode(tcg).detail, /QEMU before 9\.0/);
});

/** Of an agent that started so long ago. */
const nodeOf = (agoMs: number, status: 1 | 2) =>
  Node.create({
    status: {
      agentStartTime: toTimestamp(Date.now() - agoMs),
      conditions: [{ type: 'HypervisorConnected', status, message: 'not yet' }],
    },
  });
const findNoEnd = async () => undefined;

test('an agent that has just started is asked until it has found libvirt; one that has run for long is not', async () => {
  let asked = 0;
  const fresh = async () => nodeOf(1_000, (asked += 1) < 3 ? 2 : 1);
  assert.notEqual((await checkAgent(fresh, findNoEnd, 6_000, never)).level, 'failure');
  assert.equal(asked, 3);
  // Not for longer than it may be waited for.
  const starting = nodeOf(1_000, 2);
  assert.equal((await checkAgent(async () => starting, findNoEnd, 0, never)).level, 'failure');
  const old = nodeOf(60_000, 2);
  assert.equal((await checkAgent(async () => old, findNoEnd, 6_000, never)).level, 'failure');
});

test('doctor does not send people to doctor', async () => {
  const gone = new AgentError('AGENT_UNREACHABLE', 'Nobody listens there');
  const { fix } = await checkAgent(
    () => Promise.reject(gone),
    async () => undefined,
    0,
    never,
  );
  assert.match(fix ?? '', /systemctl status novacron-agent/);
  assert.doesNotMatch(fix ?? '', /doctor/);
});

test('memory that is given twice is warned about, with who has it', () => {
  const message = 'VMs have been given 40Gi of memory, more than the 22Gi that they may have';
  const node = Node.create({
    status: { conditions: [{ type: 'MemoryAvailable', status: 2, message }] },
  });
  const { level, detail, fix } = judgeNode(node);
  assert.equal(level, 'warning');
  assert.match(detail, /is ready, but VMs have been given 40Gi/);
  assert.match(fix ?? '', /novactl node get/);
});

test('a host whose KVM boots no guest is warned about, with what is found', () => {
  const message = 'KVM boots no guest here: a guest of ours said nothing within 10 s';
  const { level, detail, fix } = judgeNode(
    Node.create({
      status: {
        conditions: [{ type: 'AcceleratorAvailable', status: 2, message }],
        hypervisor: { accelerator: 'tcg', qemuVersion: '7.2.22' },
      },
    }),
  );
  assert.equal(level, 'warning');
  assert.match(detail, /is ready, but KVM boots no guest here: a guest of ours said nothing/);
  assert.match(fix ?? '', /hypervisor\.accelerator to tcg/);
});

test('a cordon is not broken, but said', () => {
  const node = Node.create({
    spec: { cordon: true, cordonReason: 'new memory' },
    status: { conditions: [{ type: 'Schedulable', status: 2, reason: 'Cordoned' }] },
  });
  const { level, detail } = judgeNode(node);
  assert.equal(level, 'warning');
  assert.match(detail, /takes no new VMs, as it was cordoned: new memory$/);
});

test('VMs of nobody knows whom are not broken, but said', () => {
  const node = Node.create({
    status: {
      conditions: [
        { type: 'Ready', status: 1 },
        { type: 'VirtualMachinesIdentified', status: 2, message: 'libvirt cannot describe web' },
      ],
    },
  });
  const { level, detail } = judgeNode(node);
  assert.equal(level, 'warning');
  assert.match(detail, /is ready, but libvirt cannot describe web$/);
});

test('an agent that waits for them is not ready, and the fix names the verb to go on', () => {
  const reason = 'VmsNotIdentified';
  const node = Node.create({
    status: {
      conditions: [
        { type: 'Ready', status: 2, reason, message: 'the journal is new' },
        { type: 'VirtualMachinesIdentified', status: 2, message: 'libvirt cannot describe web' },
      ],
    },
  });
  const { level, detail, fix } = judgeNode(node);
  assert.equal(level, 'failure');
  assert.match(detail, /is not ready: the journal is new \(Ready\)$/);
  assert.match(fix ?? '', /novactl node accept-unidentified/);
});

test('the report has a fix below what is wrong, and the sum', () => {
  const text = doctorText([
    { name: 'KVM', level: 'ok', detail: 'fine' },
    { name: 'agent', level: 'failure', detail: 'gone', fix: 'Start it' },
  ]);
  assert.equal(
    text,
    'ok    KVM    fine\nFAIL  agent  gone\n             To do: Start it\n\n1 of 2 checks failed, 0 warn\n',
  );
});

test('the cause comes first, and what follows from it does not say it again', () => {
  const message = 'libvirt has no socket';
  const node = Node.create({
    metadata: { name: 'a' },
    status: {
      conditions: [
        { type: 'Ready', status: 2, reason: 'HypervisorNotConnected', message },
        { type: 'HypervisorConnected', status: 2, message },
        { type: 'MemoryAvailable', status: 3, message: 'not listed' },
      ],
    },
  });
  const agent = { name: 'agent', ...judgeNode(node) };
  assert.equal(agent.detail.split(message).length, 2);
  const socket = {
    name: 'libvirt socket',
    level: 'failure',
    detail: message,
    fix: 'Start',
  } as const;
  const well = { name: 'configuration', level: 'ok', detail: 'fine' } as const;
  const warned = { name: 'KVM', level: 'warning', detail: 'slow', fix: 'Give it' } as const;
  const text = doctorText(inOrder([well, agent, warned, socket]));
  const [first = ''] = text.split('\n');
  assert.match(first, /^FAIL {2}libvirt socket +libvirt has no socket$/);
  assert.equal(text.split(message).length, 2, text);
  assert.match(
    text,
    /^FAIL {2}agent +agent {2}of node a is not ready: HypervisorConnected does not hold$/m,
  );
  assert.match(text, /To do: See libvirt socket above/);
  assert.ok(text.indexOf('KVM') < text.indexOf('configuration'));
  // Without the checks that tell why, as of another node, the agent tells.
  assert.match(doctorText(inOrder([well, agent])), /^FAIL {2}agent .*libvirt has no socket/);
});

test('what does not keep a node from working is warned about, all of it', () => {
  const down = '2 VMs that should run do not: shop/db (WaitsForMemory), default/web (IoError)';
  const node = Node.create({
    status: {
      conditions: [
        { type: 'Ready', status: 1 },
        { type: 'MemoryAvailable', status: 2, message: 'given twice' },
        { type: 'VirtualMachinesRunning', status: 2, message: down },
      ],
    },
  });
  const { level, detail } = judgeNode(node);
  assert.equal(level, 'warning');
  assert.ok(detail.endsWith(`is ready, but given twice; ${down}`), detail);
});

/** What systemctl says of each question, such as `is-enabled libvirt-guests.service`; else nothing, as without systemd. */
function systemd(answers: Readonly<Record<string, string>>): Pick<Host, 'run'> {
  return {
    run: async (program, words) =>
      program === 'systemctl'
        ? { code: 1, stdout: `${answers[words.join(' ').replace('.service', '')] ?? ''}\n` }
        : undefined,
  };
}

test("VMs are powered off by our service when the host goes down, and not by libvirt's", async () => {
  const ours = { 'is-enabled novacron-guests': 'enabled' };
  const theirs = { ...ours, 'is-enabled libvirt-guests': 'enabled' };
  const judge = (answers: Readonly<Record<string, string>>, files = {}) =>
    checkHostShutdown(fakeHost({ ...systemd(answers), ...texts(files) }), never);
  assert.equal((await judge({ ...ours, 'is-enabled libvirt-guests': 'masked' })).level, 'ok');
  assert.equal((await judge(ours)).level, 'ok');
  const absent = await judge({});
  assert.match(absent.detail, /novacron-guests\.service is not enabled/);
  assert.match(absent.fix ?? '', /package novacron-agent/);
  const { fix } = await judge({ 'is-enabled novacron-guests': 'disabled' });
  assert.equal(fix, 'systemctl enable --now novacron-guests.service');
  const found = await judge(theirs);
  assert.deepEqual([found.level, /one after another/.test(found.detail)], ['warning', true]);
  assert.match(found.fix ?? '', /mask libvirt-guests\.service\. Do not stop it/);
  // Masked it does nothing any more, though it counts as active until the next boot.
  const masked = { 'is-enabled libvirt-guests': 'masked', 'is-active libvirt-guests': 'active' };
  assert.equal((await judge({ ...ours, ...masked })).level, 'ok');
  const started = { 'is-enabled libvirt-guests': 'disabled', 'is-active libvirt-guests': 'active' };
  assert.equal((await judge({ ...ours, ...started })).level, 'warning');
  const settings = '#ON_BOOT=ignore\nON_BOOT=start\nON_SHUTDOWN="suspend"\n';
  const { detail } = await judge(theirs, { '/etc/default/libvirt-guests': settings });
  assert.match(detail, /saves the memory.*, and after the boot starts them itself/);
  assert.equal((await checkHostShutdown(fakeHost(), never)).level, 'skipped');
});

async function unreachable(): Promise<never> {
  throw new AgentError('AGENT_UNREACHABLE', 'It does not answer');
}

test('a VM of the agent that libvirt starts by itself is named', async () => {
  const uid = '0b9d3c4e-1111-4222-8333-444455556666';
  const vm = VirtualMachine.create({ metadata: { namespace: 'shop', name: 'web', uid } });
  const judge = (stdout: string, listVms = async () => [vm]) =>
    checkAutostart(fakeHost(prints('virsh', stdout)), settings, listVms, never);
  const marked = await judge(`${uid}\n\n`);
  assert.equal(marked.level, 'warning');
  assert.match(marked.detail, /by itself at boot: shop\/web,/);
  assert.equal((await judge('\n')).level, 'ok');
  assert.equal((await judge('c0ffee00-0000-4000-8000-000000000001\n')).level, 'ok');
  assert.equal((await judge(`${uid}\n`, unreachable)).level, 'skipped');
  assert.equal(
    (await checkAutostart(fakeHost(), settings, async () => [], never)).level,
    'skipped',
  );
});

test('a node that is being shut down is no fault, and the way back is named', () => {
  const node = Node.create({
    metadata: { name: 'a' },
    status: {
      shutdown: { requestedBy: 'unix:root' },
      conditions: [
        { type: 'Schedulable', status: 2, reason: 'ShuttingDown' },
        { type: 'ShuttingDown', status: 1 },
      ],
    },
  });
  const { level, detail, fix } = judgeNode(node);
  assert.deepEqual([level, /starts nothing.*unix:root/.test(detail)], ['warning', true]);
  assert.match(fix ?? '', /shutdown-vms --abort/);
});

const judge = (files: Readonly<Record<string, string>>) => checkConsoleLogs(fakeHost(texts(files)));

test('console logs that grow without end are warned about', async () => {
  assert.match((await judge({})).detail, /^virtlogd keeps 2\.0 MiB of each console, and 3 parts/);
  const conf = '/etc/libvirt/virtlogd.conf';
  const small = await judge({ [conf]: '#max_size = 0\nmax_size = 1048576\nmax_backups = 1\n' });
  assert.deepEqual([small.level, /1\.0 MiB.* 1 parts/.test(small.detail)], ['ok', true]);
  for (const files of [
    { [conf]: 'max_size = 0\n' },
    { [conf]: 'max_backups = 40\n' },
    { '/etc/libvirt/qemu.conf': 'stdio_handler = "file"\n' },
  ]) {
    assert.equal((await judge(files)).level, 'warning', JSON.stringify(files));
  }
  assert.equal(
    (await judge({ '/etc/libvirt/qemu.conf': '#stdio_handler = "file"\n' })).level,
    'ok',
  );
});
