import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkAgent, checkPeers } from '../../../../src/cli/doctor/agent-checks.ts';
import { parseAgentSettings } from '../../../../src/cli/doctor/agent-settings.ts';
import { runChecks } from '../../../../src/cli/doctor/check.ts';
import type { Host } from '../../../../src/cli/doctor/host.ts';
import {
  checkHostUuid,
  checkKvm,
  checkLibvirtSocket,
} from '../../../../src/cli/doctor/hypervisor-checks.ts';
import { checkOtherHypervisors } from '../../../../src/cli/doctor/other-hypervisors.ts';
import { checkFolders } from '../../../../src/cli/doctor/system-checks.ts';
import { parseAgentEnd } from '../../../../src/core/agent-end.ts';
import { AgentError } from '../../../../src/core/errors.ts';
import { fakeHost } from './fake-host.ts';

/* What doctor says of hosts that are not as the agent needs them. */

const never = new AbortController().signal;
const { settings } = parseAgentSettings('nodeName: a\n');

test('of an agent that is not there doctor says what it said when it ended', async () => {
  const gone = new AgentError('AGENT_UNREACHABLE', 'the socket does not exist');
  const text = '{"at":"2026-01-02T03:04:05Z","problem":"Cannot listen on 0.0.0.0:7443"}';
  const { level, detail } = await checkAgent(
    () => Promise.reject(gone),
    async () => parseAgentEnd(text),
    0,
    never,
  );
  assert.equal(level, 'failure');
  assert.match(detail, /ended at 2026-01-02T03:04:05Z, .*: Cannot listen on 0\.0\.0\.0:7443$/);
  for (const bad of [undefined, '', '{"at":1}', '[]']) assert.equal(parseAgentEnd(bad), undefined);
});

test('where libvirt is not installed, it is to be installed, not started', async () => {
  const none = await checkLibvirtSocket(fakeHost(), settings, never);
  assert.match(none.detail, /libvirt is not installed here/);
  assert.match(none.fix ?? '', /apt install libvirt-daemon-system/);
  const installed = fakeHost({
    findInfo: async (path) =>
      path === '/usr/sbin/libvirtd' ? { kind: 'file', mode: 0o755, ownerId: 0 } : undefined,
  });
  assert.match((await checkLibvirtSocket(installed, settings, never)).fix ?? '', /^Start libvirt/);
});

const daemon = (program: string, ownerId = 0) => ({
  pid: 7,
  ownerId,
  words: [program, '--timeout', '120'],
  cgroup: '0::/system.slice',
});
const MINE = '11111111-1111-4111-8111-111111111111';
const qemu = (pid: number, name: string, uid: string | undefined, cgroup = '0::/') => ({
  pid,
  ownerId: 64055,
  words: [
    '/usr/bin/qemu-system-x86_64',
    '-name',
    `guest=${name},debug-threads=on`,
    ...(uid === undefined ? [] : ['-uuid', uid]),
  ],
  cgroup,
});

for (const [what, processes, socket, level] of [
  ['libvirtd alone', [daemon('/usr/sbin/libvirtd')], false, 'ok'],
  ['virtqemud alone', [daemon('/usr/sbin/virtqemud')], true, 'ok'],
  ['virtqemud that systemd has yet to start', [], true, 'ok'],
  ["a user's own libvirtd", [daemon('/usr/sbin/libvirtd', 1000)], true, 'ok'],
  ['both', [daemon('/usr/sbin/libvirtd'), daemon('/usr/sbin/virtqemud')], true, 'failure'],
  ['libvirtd with the socket of virtqemud', [daemon('/usr/sbin/libvirtd')], true, 'failure'],
] as const) {
  test(`${what} on a host is ${level === 'ok' ? 'fine' : 'one libvirt too many'}`, async () => {
    const host = fakeHost({
      listProcesses: async () => processes,
      findInfo: async (path) =>
        socket && path === '/run/libvirt/virtqemud-sock'
          ? { kind: 'socket', mode: 0o600, ownerId: 0 }
          : undefined,
    });
    const finding = await checkOtherHypervisors(host, settings, never);
    assert.equal(finding.level, level);
    if (level === 'failure') assert.match(finding.fix ?? '', /disable --now virtqemud\.socket/);
  });
}

/** A host whose libvirt has one UUID, and its configuration another or none. */
function withUuids(inUse: string, configured: string | undefined): Host {
  const stdout = `<capabilities>\n\n  <host>\n    <uuid>${inUse}</uuid>\n`;
  const text = configured && `host_uuid = "${configured}"\n`;
  return fakeHost({
    run: async () => ({ code: 0, stdout }),
    findText: async (path) => (path === '/etc/libvirt/libvirtd.conf' ? text : undefined),
  });
}

test('a host UUID that a restart of libvirt, or its other daemon, would change is warned about', async () => {
  const other = '33333333-3333-4333-8333-333333333333';
  const changed = await checkHostUuid(withUuids(MINE, other), settings, never);
  assert.equal(changed.level, 'warning');
  assert.match(changed.fix ?? '', new RegExp(`set host_uuid = "${MINE}" there`));
  assert.equal((await checkHostUuid(withUuids(MINE, MINE), settings, never)).level, 'ok');
  const worthless = await checkHostUuid(
    withUuids('03000200-0400-0500-0006-000700080009', undefined),
    settings,
    never,
  );
  assert.equal(worthless.level, 'failure');
});

test("VMs that are not of the agent's libvirt are named, as their memory counts as free", async () => {
  const theirs = [
    qemu(3, 'default_vmi', '22222222-2222-4222-8222-222222222222', '0::/kubepods.slice/pod1'),
    qemu(4, 'by-hand', undefined),
  ];
  const given = { run: async () => ({ code: 0, stdout: `${MINE}\n\n` }) };
  const alone = fakeHost({ ...given, listProcesses: async () => [qemu(2, 'mine', MINE)] });
  assert.equal((await checkOtherHypervisors(alone, settings, never)).level, 'ok');
  const shared = fakeHost({
    ...given,
    listProcesses: async () => [qemu(2, 'mine', MINE), ...theirs],
  });
  const { level, detail, fix } = await checkOtherHypervisors(shared, settings, never);
  assert.equal(level, 'warning');
  assert.match(detail, /default_vmi \(pid 3 of user 64055, in a pod, as those of KubeVirt\)/);
  assert.match(detail, /by-hand \(pid 4 of user 64055\)/);
  assert.doesNotMatch(detail, /mine/);
  assert.match(fix ?? '', /capacity\.reservedMemoryBytes/);
});

test('a KVM that opens and boots no guest is no good one, as long as the host has not rebooted', async () => {
  const finding = { key: 'boot-1\nkernel\nqemu', foundAtMs: 1, boots: false, why: 'it hangs' };
  const host = (bootId: string) =>
    fakeHost({
      findInfo: async () => ({ kind: 'device', mode: 0o666, ownerId: 0 }),
      findText: async (path) =>
        ({
          '/var/lib/novacron/kvm-boots.json': JSON.stringify(finding),
          '/proc/sys/kernel/random/boot_id': `${bootId}\n`,
        })[path],
    });
  const bad = await checkKvm(host('boot-1'), settings);
  assert.equal(bad.level, 'warning');
  assert.match(bad.detail, /no guest boots with it: it hangs/);
  assert.match(bad.fix ?? '', /set hypervisor\.accelerator to tcg/);
  const demanded = parseAgentSettings('hypervisor: {accelerator: kvm}').settings;
  assert.equal((await checkKvm(host('boot-1'), demanded)).level, 'failure');
  assert.equal((await checkKvm(host('boot-2'), settings)).level, 'ok');
});

test('a folder that cannot be written is named with what is lost and the way on', async () => {
  const closed = fakeHost({
    folderProblem: async (path) =>
      path === '/run/novacron' ? 'is mounted read-only; make it writable' : undefined,
  });
  const { level, detail, fix } = await checkFolders(closed, settings);
  assert.deepEqual(
    [level, detail, fix],
    ['failure', '/run/novacron is mounted read-only: no VM can migrate', 'Make it writable'],
  );
  assert.equal((await checkFolders(fakeHost(), settings)).level, 'ok');
});

async function findNoName(address: string): Promise<never> {
  throw new AgentError('PEER_UNREACHABLE', `Cannot reach ${address}: the host name is not known`);
}

test('a peer whose name nothing resolves is told apart from one that is silent', async () => {
  const text =
    'nodeName: a\ntls: {certificate: /c, key: /k, ca: /ca}\npeers: {b: "nowhere.invalid:7443"}';
  const finding = await checkPeers(parseAgentSettings(text).settings, findNoName, never);
  assert.match(finding.fix ?? '', /^Write IP addresses under peers, or have the names resolved/);
});

test('what only root may look at is skipped for others, and fails for root', async () => {
  const error = Object.assign(new Error('EACCES'), {
    code: 'EACCES',
    path: '/etc/libvirt/qemu.conf',
  });
  const checks = [{ name: 'closed', run: () => Promise.reject(error) }];
  const [asUser] = await runChecks(checks, { timeoutMs: 1_000, isRoot: false }, never);
  assert.equal(asUser?.level, 'skipped');
  assert.match(asUser?.detail ?? '', /Only root may look at \/etc\/libvirt\/qemu\.conf.*sudo/);
  const [asRoot] = await runChecks(checks, { timeoutMs: 1_000, isRoot: true }, never);
  assert.equal(asRoot?.level, 'failure');
});
