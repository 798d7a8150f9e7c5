import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeStorage } from '../../../fakes/fake-storage.ts';
import { until } from '../../../fixtures/until.ts';
import { never, newRequest, OneNode, refOf } from './one-node.ts';

const UNNAMED = 'the device has neither a WWN nor a serial number, LV or RBD id';

function facts(deviceId: string | undefined) {
  return deviceId === undefined
    ? ({ kind: 'unknown', problem: UNNAMED, isNameless: true } as const)
    : ({ kind: 'block', deviceId, sizeBytes: 2 ** 20 } as const);
}

test('a VM on a shared device without a name of its own cannot be moved without a word, and says so', async () => {
  const storage = new FakeStorage();
  storage.put(['a'], '/dev/loop0', { facts: facts(undefined) });
  storage.put(['a'], '/dev/mapper/lun', { facts: facts('naa.6001') });
  const silent = { kind: 'unknown', problem: 'the storage does not answer' } as const;
  storage.put(['a'], '/dev/mapper/silent', { facts: silent });
  await using node = await OneNode.open({ storage });
  node.agent.run();
  for (const [name, ...paths] of [
    ['web', '/dev/loop0'],
    // What does not answer now says nothing of what it is.
    ['db', '/dev/mapper/lun', '/dev/mapper/silent'],
  ] as const) {
    const volumes = paths.map((path, index) => {
      node.images.add(path, { kind: 'block-device' });
      const disk = { name: index === 0 ? 'data' : 'cache', format: 'raw', shared: true };
      return { ...disk, source: { block: { path } } };
    });
    const { metadata, spec } = newRequest(name);
    const machine = { ...spec.template.spec, volumes };
    const { runStrategy } = spec;
    await node.create({ metadata, spec: { runStrategy, template: { spec: machine } } } as never);
  }
  const conditionOf = async (name: string) => {
    const { conditions } = await node.vms.get(refOf(newRequest(name)), never);
    return conditions.find(({ type }) => type === 'LiveMigratable');
  };
  await until('it is told', async () => (await conditionOf('web'))?.status === 'false');
  assert.partialDeepStrictEqual(await conditionOf('web'), {
    reason: 'DiskNotIdentified',
    message: `Another node cannot tell whether it has the same device: data (/dev/loop0: ${UNNAMED}); if you know that it has, migrate with --trust-shared data`,
  });
  assert.partialDeepStrictEqual(await conditionOf('db'), { status: 'true', reason: 'Migratable' });
});
