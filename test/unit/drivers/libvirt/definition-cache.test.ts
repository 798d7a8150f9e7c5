import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DefinitionCache } from '../../../../src/drivers/libvirt/definition-cache.ts';
import {
  describeDomain,
  SOMEBODY_ELSES,
} from '../../../../src/drivers/libvirt/domain-description.ts';
import type { DomainXml } from '../../../../src/drivers/libvirt/domain-operations.ts';
import type { DomainRecord } from '../../../../src/drivers/libvirt/domain-statistics.ts';
import { buildDomainXml } from '../../../../src/drivers/libvirt/domain-xml/build-domain-xml.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';

const vm = tinyVm();
const record: DomainRecord = {
  uid: vm.uid,
  name: 'test_vm',
  runId: 1,
  state: 1,
  reason: 1,
  persistent: true,
  statistics: undefined,
};

function xmlOf(generation: number): DomainXml {
  const live = buildDomainXml(
    { ...vm, generation },
    {
      accelerator: 'tcg',
      defaultMachineType: 'q35',
      defaultCpuModel: 'qemu64',
      consoleLogPath: '/tmp/console.log',
      nvramPath: '/tmp/VARS.fd',
      seedPath: '/tmp/cloud-init.iso',
      oddRamSize: false,
    },
  );
  return { live, persistent: undefined };
}

async function filled(): Promise<DefinitionCache> {
  const cache = new DefinitionCache();
  await read(cache, record, async () => xmlOf(1));
  return cache;
}

async function read(
  cache: DefinitionCache,
  domain: DomainRecord,
  readXml: () => Promise<DomainXml>,
  describe = describeDomain,
) {
  const readDomain = async () => ({ record: domain, xml: await readXml() });
  return cache.read(domain.uid, readDomain, ({ xml }) => describe(xml));
}

test('what was read is not read again', async () => {
  const cache = await filled();
  assert.deepEqual(cache.selectOutdated([record]), []);
  assert.equal(cache.find(vm.uid)?.definition?.generation, 1);
});

test('a running VM that was changed is known as it runs and as it is wanted', () => {
  const xml = { live: xmlOf(1).live, persistent: xmlOf(2).live };
  const { definition, liveDefinition } = describeDomain(xml);
  assert.equal(definition?.generation, 2);
  assert.equal(liveDefinition?.generation, 1);
});

test('a running VM that was not changed has no other definition, though its facts differ', () => {
  const { live } = xmlOf(1);
  const persistent = live.replace("ownershipEpoch='1'", "ownershipEpoch='2'");
  assert.notEqual(persistent, live);
  const { definition, liveDefinition } = describeDomain({ live, persistent });
  assert.equal(definition?.ownershipEpoch, 2);
  assert.equal(liveDefinition, undefined);
});

test('a VM started anew, renamed or made persistent is read again without any event', async () => {
  const cache = await filled();
  for (const change of [{ runId: 2 }, { runId: undefined }, { name: 'x' }, { persistent: false }]) {
    const changed = { ...record, ...change };
    assert.deepEqual(cache.selectOutdated([changed]), [changed]);
  }
});

test('an event makes it outdated, yet it is still known', async () => {
  const cache = await filled();
  cache.invalidate(vm.uid);
  assert.deepEqual(cache.selectOutdated([record]), [record]);
  assert.equal(cache.find(vm.uid)?.definition?.generation, 1);
});

test('a lost connection makes all outdated', async () => {
  const cache = await filled();
  cache.invalidateAll();
  assert.deepEqual(cache.selectOutdated([record]), [record]);
});

test('what changed while it was read is read again', async () => {
  const cache = new DefinitionCache();
  const readXml = async () => {
    cache.invalidate(vm.uid);
    return xmlOf(1);
  };
  await read(cache, record, readXml);
  assert.deepEqual(cache.selectOutdated([record]), [record]);
});

test('XML that is as it was is not described again', async () => {
  const cache = await filled();
  const before = cache.find(vm.uid);
  let described = 0;
  const describe = (xml: DomainXml) => {
    described += 1;
    return describeDomain(xml);
  };
  await read(cache, record, async () => xmlOf(1), describe);
  assert.equal(described, 0);
  assert.equal(cache.find(vm.uid), before);
  const { live } = xmlOf(1);
  for (const xml of [xmlOf(2), { live, persistent: live }, { live, persistent: xmlOf(2).live }]) {
    await read(cache, record, async () => xml, describe);
  }
  assert.equal(described, 3);
});

test('what was remembered of the same XML is not described again, nor counted', async () => {
  const before = await filled();
  const remembered = before.descriptions();
  const take = (digest: string) => remembered.get(digest);
  const cache = new DefinitionCache({ take });
  let described = 0;
  const describe = (xml: DomainXml) => {
    described += 1;
    return describeDomain(xml);
  };
  await read(cache, record, async () => xmlOf(1), describe);
  assert.deepEqual(cache.find(vm.uid), before.find(vm.uid));
  assert.deepEqual([described, cache.changes], [0, 0]);
  await read(cache, record, async () => xmlOf(2), describe);
  assert.deepEqual([described, cache.changes], [1, 1]);
  assert.equal(cache.find(vm.uid)?.definition?.generation, 2);
});

test('what somebody else has made is not remembered', async () => {
  const cache = await filled();
  await read(
    cache,
    { ...record, uid: 'theirs' },
    async () => xmlOf(1),
    () => SOMEBODY_ELSES,
  );
  assert.equal(cache.descriptions().size, 1);
  assert.equal(cache.changes, 1);
});

test('who began to read earlier and ends later does not take away what is newer', async () => {
  const cache = new DefinitionCache();
  const slow = Promise.withResolvers<DomainXml>();
  const earlier = read(cache, record, () => slow.promise);
  await read(cache, record, async () => xmlOf(2));
  slow.resolve(xmlOf(1));
  assert.equal((await earlier)?.description.definition?.generation, 1);
  assert.equal(cache.find(vm.uid)?.definition?.generation, 2);
});

test('what was doubted while it was read is read again', async () => {
  const cache = await filled();
  await read(cache, record, async () => {
    cache.expire(vm.uid);
    return xmlOf(1);
  });
  assert.deepEqual(cache.selectOutdated([record]), [record]);
});

test('whatever is told or doubted is counted, and so is what is no longer known', async () => {
  const cache = await filled();
  const [{ told }, { changes }] = [cache, cache];
  cache.invalidate(vm.uid);
  cache.expire(vm.uid);
  cache.invalidateAll();
  assert.equal(cache.told, told + 3);
  assert.equal(cache.changes, changes);
  cache.keepOnly([]);
  assert.equal(cache.changes, changes + 1);
  assert.equal(cache.descriptions().size, 0);
});

test('should an event be lost, age makes a few at a time outdated', async (context) => {
  const cache = new DefinitionCache();
  const records = Array.from({ length: 60 }, (_, index) => ({ ...record, uid: String(index) }));
  for (const each of records) await read(cache, each, async () => xmlOf(1));
  assert.deepEqual(cache.selectOutdated(records), []);
  const nowMs = performance.now();
  context.mock.method(performance, 'now', () => nowMs + 61_000);
  assert.equal(cache.selectOutdated(records).length, 32);
});

test('a VM that cannot be read is left alone for a while', async (context) => {
  const cache = await filled();
  cache.invalidate(vm.uid);
  cache.postpone(vm.uid);
  assert.deepEqual(cache.selectOutdated([record]), []);
  const nowMs = performance.now();
  context.mock.method(performance, 'now', () => nowMs + 6_000);
  assert.deepEqual(cache.selectOutdated([record]), [record]);
});

test('a VM that could not be read is read again once it was changed, or there is another connection', async () => {
  for (const invalidate of ['invalidate', 'invalidateAll'] as const) {
    const cache = await filled();
    cache.postpone(vm.uid);
    cache[invalidate](vm.uid);
    assert.deepEqual(cache.selectOutdated([record]), [record]);
  }
});

test('a VM that was defined and not read yet has the name that users know', async () => {
  const cache = new DefinitionCache();
  assert.equal(cache.findName(vm.uid), undefined);
  cache.noteName(vm);
  assert.equal(cache.findName(vm.uid), `${vm.namespace}/${vm.name}`);
  await read(cache, record, async () => xmlOf(1));
  assert.equal(cache.findName(vm.uid), `${vm.namespace}/${vm.name}`);
});

test('a listing before a VM is defined does not take its name away, and one long after does', (context) => {
  const cache = new DefinitionCache();
  let nowMs = 0;
  context.mock.method(performance, 'now', () => nowMs);
  cache.noteName(vm);
  cache.keepOnly([]);
  assert.equal(cache.findName(vm.uid), `${vm.namespace}/${vm.name}`);
  nowMs = 61_000;
  cache.keepOnly([]);
  assert.equal(cache.findName(vm.uid), undefined);
});

test('a VM that is gone is forgotten', async () => {
  const cache = await filled();
  cache.keepOnly([]);
  assert.equal(cache.find(vm.uid), undefined);
});

test('one that is doubted is read by the next listing, unless it could not be just now', async () => {
  const cache = await filled();
  cache.expire(vm.uid);
  assert.deepEqual(cache.selectOutdated([record]), [record]);
  cache.postpone(vm.uid);
  cache.expire(vm.uid);
  assert.deepEqual(cache.selectOutdated([record]), []);
  assert.equal(cache.find(vm.uid)?.definition?.generation, 1);
});

test('a running VM whose live definition alone is of a higher version is known as that too', () => {
  const { live } = xmlOf(1);
  const newer = live.replace(/version=(["'])1\1/, 'version="2"');
  assert.notEqual(newer, live);
  const { definition, liveDefinition } = describeDomain({ live: newer, persistent: live });
  assert.equal(definition?.newer, undefined);
  assert.deepEqual(liveDefinition?.newer?.unknownFields, []);
});
