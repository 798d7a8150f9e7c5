import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AgentError } from '../../../../src/core/errors.ts';
import type { Logger } from '../../../../src/core/logger.ts';
import { ConsoleLogs } from '../../../../src/drivers/libvirt/console-logs.ts';
import { DefinitionCache } from '../../../../src/drivers/libvirt/definition-cache.ts';
import type { DomainRecord } from '../../../../src/drivers/libvirt/domain-statistics.ts';
import { buildDomainXml } from '../../../../src/drivers/libvirt/domain-xml/build-domain-xml.ts';
import { DriverCalls } from '../../../../src/drivers/libvirt/driver-calls.ts';
import type { DriverSupervisor } from '../../../../src/drivers/libvirt/driver-supervisor.ts';
import { LibvirtDomains } from '../../../../src/drivers/libvirt/libvirt-domains.ts';
import type { OperationName, OperationResult } from '../../../../src/drivers/libvirt/operations.ts';
import { Seeds } from '../../../../src/drivers/libvirt/seeds.ts';
import { TpmStates } from '../../../../src/drivers/libvirt/tpm-states.ts';
import { UefiVariables } from '../../../../src/drivers/libvirt/uefi-variables.ts';
import { recordedLog } from '../../../fakes/recorded-log.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';

const never = new AbortController().signal;
const NVRAM_PATH = '/var/lib/nvram/VARS.fd';
const NODE_DEFAULTS = {
  accelerator: 'tcg',
  defaultMachineType: 'q35',
  defaultCpuModel: 'qemu64',
  consoleDirectory: '/var/log/console',
} as const;

/**
 * libvirt with running domains, of which some do not answer or have an XML of their own; those of `foreign` were made by
 * somebody else.
 */
class Libvirt implements Pick<DriverSupervisor, 'call'> {
  readonly vms = [tinyVm(), tinyVm(), tinyVm()] as const;
  readonly stuck = new Set<string>();
  readonly failures = new Map<string, Error>();
  readonly xmls = new Map<string, string>();
  readonly foreign = new Set<string>();

  async call<Name extends OperationName>(
    operation: Name,
    values: readonly unknown[],
  ): Promise<OperationResult<Name>> {
    return this.#answer(operation, String(values[0])) as OperationResult<Name>;
  }

  #answer(operation: OperationName, uid: string): unknown {
    if (operation === 'list') return this.vms.map((vm) => recordOf(vm.uid));
    if (operation === 'find') {
      return { record: recordOf(uid), xml: { live: this.#xmlOf(uid), persistent: undefined } };
    }
    assert.equal(operation, 'readXml');
    return { live: this.#xmlOf(uid), persistent: undefined };
  }

  #xmlOf(uid: string): string {
    if (this.stuck.has(uid)) throw new AgentError('HYPERVISOR_TIMEOUT', 'No answer in time');
    const failure = this.failures.get(uid);
    if (failure !== undefined) throw failure;
    const xml = this.xmls.get(uid);
    if (xml !== undefined) return xml;
    const vm = this.vms.find((candidate) => candidate.uid === uid);
    assert.ok(vm);
    const consoleLogPath = `/var/log/console/${uid}-console.log`;
    const live = buildDomainXml(vm, {
      ...NODE_DEFAULTS,
      consoleLogPath,
      nvramPath: NVRAM_PATH,
      seedPath: '/var/lib/libvirt/cloud-init/x.iso',
      oddRamSize: false,
    });
    return this.foreign.has(uid) ? live.replace(/<metadata>.*<\/metadata>/s, '') : live;
  }
}

function recordOf(uid: string): DomainRecord {
  const name = `default_${uid}`;
  return { uid, name, runId: 1, state: 1, reason: 1, persistent: true, statistics: undefined };
}

test('a domain that cannot be read in time is listed unread, and all others as they are', async () => {
  const libvirt = new Libvirt();
  const [stuck, foreign, own] = libvirt.vms;
  libvirt.stuck.add(stuck.uid);
  libvirt.foreign.add(foreign.uid);
  const cache = new DefinitionCache();
  const domains = domainsOf(libvirt, cache);
  const listed = await domains.list(never);
  assert.deepEqual(
    listed.map(({ uid, isRead, definition }) => [uid, isRead, definition?.uid]),
    [
      [stuck.uid, false, undefined],
      [foreign.uid, true, undefined],
      [own.uid, true, own.uid],
    ],
  );
  assert.deepEqual(
    [listed[0]?.hypervisorName, listed[0]?.state],
    [`default_${stuck.uid}`, 'running'],
  );
});

test('a domain that was read once stays read, with what was known of it', async () => {
  const libvirt = new Libvirt();
  const [vm] = libvirt.vms;
  const cache = new DefinitionCache();
  const domains = domainsOf(libvirt, cache);
  await domains.list(never);
  libvirt.stuck.add(vm.uid);
  cache.invalidate(vm.uid);
  const [listed] = await domains.list(never);
  assert.equal(listed?.isRead, true);
  assert.equal(listed.definition?.uid, vm.uid);
});

/** What libvirt may print of a domain, or of which at least one part is as it prints it. */
const ODD_XMLS: Readonly<Record<string, string>> = {
  'an entity whose DOCTYPE libvirt has left out':
    "<domain type='qemu'><name>odd</name><metadata><x:a xmlns:x='urn:x'>&who;</x:a></metadata></domain>",
  'a DOCTYPE': '<!DOCTYPE domain [<!ENTITY who "me">]><domain><name>&who;</name></domain>',
  'no XML at all': 'internal error',
  nothing: '',
  'no devices': "<domain type='kvm'><name>odd</name><memory unit='KiB'>65536</memory></domain>",
  'a unit that nobody knows': "<domain><memory unit='furlongs'>x</memory><vcpu>y</vcpu></domain>",
  'more than this reader takes': `<domain><metadata>${'<a/>'.repeat(210_000)}</metadata></domain>`,
};

for (const [what, xml] of Object.entries(ODD_XMLS)) {
  test(`a domain of somebody else with ${what} hides no other, and is not ours`, async () => {
    const libvirt = new Libvirt();
    const [odd, second, third] = libvirt.vms;
    libvirt.xmls.set(odd.uid, xml);
    const domains = domainsOf(libvirt, new DefinitionCache());
    const listed = await domains.list(never);
    assert.deepEqual(
      listed.map(({ isRead, definition }) => [isRead, definition?.uid]),
      [
        [true, undefined],
        [true, second.uid],
        [true, third.uid],
      ],
    );
    const { vcpus, memoryBytes } = listed[0] ?? {};
    assert.ok(Number.isFinite(vcpus) && Number.isFinite(memoryBytes), `${vcpus} ${memoryBytes}`);
    assert.equal((await domains.find(odd.uid, never))?.definition, undefined);
  });
}

test('a domain that may be ours and cannot be understood is unread, and said once in the log', async (context) => {
  const libvirt = new Libvirt();
  const [odd, , own] = libvirt.vms;
  libvirt.xmls.set(
    odd.uid,
    `<domain><metadata><v:vm xmlns:v='https://novacron.io/xmlns/vm/1'></metadata></domain>`,
  );
  const { log, text } = recordedLog();
  const domains = domainsOf(libvirt, new DefinitionCache(), log);
  const listed = await domains.list(never);
  assert.deepEqual(
    listed.map(({ isRead }) => isRead),
    [false, true, true],
  );
  assert.equal(listed[2]?.definition?.uid, own.uid);
  const nowMs = performance.now();
  context.mock.method(performance, 'now', () => nowMs + 6_000);
  await domains.list(never);
  const lines = text().trim().split('\n');
  assert.equal(lines.length, 1, text());
  assert.match(lines[0] ?? '', new RegExp(`"domain":"default_${odd.uid}"`));
  await assert.rejects(domains.find(odd.uid, never), {
    reason: 'HYPERVISOR_FAILURE',
    message: new RegExp(`default_${odd.uid}`),
  });
});

test('a domain that libvirt fails to describe is unread, whatever the failure, and the others are as they are', async () => {
  const libvirt = new Libvirt();
  const [odd, second, third] = libvirt.vms;
  libvirt.failures.set(odd.uid, new AgentError('HYPERVISOR_FAILURE', 'Unable to encode message'));
  libvirt.failures.set(second.uid, new AgentError('HYPERVISOR_UNREACHABLE', 'Lost'));
  const listed = await domainsOf(libvirt, new DefinitionCache()).list(never);
  assert.deepEqual(
    listed.map(({ isRead, definition }) => [isRead, definition?.uid]),
    [
      [false, undefined],
      [false, undefined],
      [true, third.uid],
    ],
  );
});

test('no XML of one domain, whatever it is, keeps the others from being listed', async () => {
  const vm = tinyVm();
  const printed = buildDomainXml(vm, {
    ...NODE_DEFAULTS,
    consoleLogPath: '/var/log/console/x.log',
    nvramPath: NVRAM_PATH,
    seedPath: '/var/lib/libvirt/cloud-init/x.iso',
    oddRamSize: true,
  });
  const spoilt = fc
    .tuple(fc.nat(printed.length), fc.nat(40), fc.oneof(fc.string({ unit: 'binary' }), TOKENS))
    .map(([at, length, text]) => printed.slice(0, at) + text + printed.slice(at + length));
  await fc.assert(
    fc.asyncProperty(fc.oneof(spoilt, fc.string({ unit: 'binary' })), async (xml) => {
      const libvirt = new Libvirt();
      const [odd, second, third] = libvirt.vms;
      libvirt.xmls.set(odd.uid, xml);
      const listed = await domainsOf(libvirt, new DefinitionCache()).list(never);
      assert.deepEqual(
        listed.slice(1).map(({ definition }) => definition?.uid),
        [second.uid, third.uid],
      );
      assert.ok([undefined, vm.uid].includes(listed[0]?.definition?.uid));
    }),
    { numRuns: 500 },
  );
});

const TOKENS = fc.constantFrom(
  '<!DOCTYPE domain [<!ENTITY a "b">]>',
  '&a;',
  '<![CDATA[',
  '<!--',
  '<devices/>',
  "<disk type='vhostuser'/>",
  "<memory unit='x'>-1</memory>",
  '</domain>',
  'uid=',
);

function domainsOf(libvirt: Libvirt, cache: DefinitionCache, logger?: Logger): LibvirtDomains {
  return new LibvirtDomains({
    driver: libvirt,
    calls: new DriverCalls(libvirt, cache, 10_000),
    cache,
    nodeDefaults: () => NODE_DEFAULTS,
    variables: new UefiVariables('/nowhere'),
    tpmStates: new TpmStates('/nowhere'),
    seeds: new Seeds('/nowhere'),
    findProcessOwner: async () => undefined,
    consoleLogs: new ConsoleLogs(NODE_DEFAULTS.consoleDirectory),
    isLeaving: () => false,
    logger,
  });
}
