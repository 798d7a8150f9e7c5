import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AgentError } from '../../../../src/core/errors.ts';
import { DefinitionCache } from '../../../../src/drivers/libvirt/definition-cache.ts';
import type { DomainRecord } from '../../../../src/drivers/libvirt/domain-statistics.ts';
import { buildDomainXml } from '../../../../src/drivers/libvirt/domain-xml/build-domain-xml.ts';
import { DriverCalls } from '../../../../src/drivers/libvirt/driver-calls.ts';
import type { DriverSupervisor } from '../../../../src/drivers/libvirt/driver-supervisor.ts';
import { LibvirtDomains } from '../../../../src/drivers/libvirt/libvirt-domains.ts';
import type { OperationName, OperationResult } from '../../../../src/drivers/libvirt/operations.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';

const never = new AbortController().signal;
const NODE_DEFAULTS = {
  accelerator: 'tcg',
  defaultMachineType: 'q35',
  defaultCpuModel: 'qemu64',
  consoleDirectory: '/var/log/console',
} as const;

/** libvirt with running domains, of which some do not answer; those of `foreign` were made by somebody else. */
class Libvirt implements Pick<DriverSupervisor, 'call'> {
  readonly vms = [tinyVm(), tinyVm(), tinyVm()] as const;
  readonly stuck = new Set<string>();
  readonly foreign = new Set<string>();

  async call<Name extends OperationName>(
    operation: Name,
    values: readonly unknown[],
  ): Promise<OperationResult<Name>> {
    return this.#answer(operation, String(values[0])) as OperationResult<Name>;
  }

  #answer(operation: OperationName, uid: string): unknown {
    if (operation === 'list') return this.vms.map((vm) => recordOf(vm.uid));
    assert.equal(operation, 'readXml');
    if (this.stuck.has(uid)) throw new AgentError('HYPERVISOR_TIMEOUT', 'No answer in time');
    const vm = this.vms.find((candidate) => candidate.uid === uid);
    assert.ok(vm);
    const consoleLogPath = `/var/log/console/${uid}.log`;
    const live = buildDomainXml(vm, { ...NODE_DEFAULTS, consoleLogPath, oddRamSize: false });
    const isForeign = this.foreign.has(uid);
    const xml = isForeign ? live.replace(/<metadata>.*<\/metadata>/s, '') : live;
    return { live: xml, persistent: undefined };
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

function domainsOf(libvirt: Libvirt, cache: DefinitionCache): LibvirtDomains {
  return new LibvirtDomains({
    driver: libvirt,
    calls: new DriverCalls(libvirt, cache, 10_000),
    cache,
    nodeDefaults: NODE_DEFAULTS,
    isLeaving: () => false,
  });
}
