import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  NodeAccelerator,
  type WantedAccelerator,
} from '../../../../src/agent/node/node-accelerator.ts';
import { createLogger } from '../../../../src/core/logger.ts';
import type { BootFinding } from '../../../../src/drivers/boot-probe.ts';
import { FakeBootProbe } from '../../../fakes/fake-boot-probe.ts';
import { until } from '../../../fixtures/until.ts';
import { ask, endOf } from '../operations/asking-node.ts';
import { never, newRequest, OneNode } from '../vms/one-node.ts';
import { Surroundings } from './surroundings.ts';

const YES = { boots: true, why: '' };
const NO = { boots: false, why: 'a guest of ours said nothing within 10 s' };
const log = createLogger('silent');

function accelerated(
  wanted: WantedAccelerator,
  ...findings: readonly (BootFinding | Promise<BootFinding>)[]
) {
  const probe = new FakeBootProbe(...findings);
  return {
    accelerator: new NodeAccelerator({ wanted, probe, tryAgainMs: 1, retryMs: 1, log }),
    probe,
  };
}

test('KVM is taken where a guest boots with it, and what is configured otherwise', async () => {
  for (const [wanted, finding, expected] of [
    ['auto', YES, 'kvm'],
    ['auto', NO, 'tcg'],
    ['kvm', NO, 'kvm'],
    ['tcg', YES, 'tcg'],
  ] as const) {
    const { accelerator, probe } = accelerated(wanted, finding);
    assert.equal(accelerator.current, wanted === 'auto' ? undefined : wanted);
    const stop = new AbortController();
    const running = accelerator.run(stop.signal).catch(() => undefined);
    if (wanted !== 'tcg')
      await until('it is found out', () => accelerator.state.finding !== undefined);
    stop.abort(new Error('stop'));
    await running;
    assert.equal(accelerator.current, expected);
    assert.equal(probe.tries, wanted === 'tcg' ? 0 : 1);
  }
});

test('where no guest boots it is tried again, and KVM that works by then is taken', async () => {
  const { accelerator, probe } = accelerated('auto', NO, YES);
  await accelerator.run(never);
  assert.deepEqual([accelerator.current, probe.tries], ['kvm', 2]);
});

test('what could not be tried, as on a full disk, is tried again', async () => {
  const failed = Promise.reject<BootFinding>(new Error('ENOSPC'));
  failed.catch(() => undefined);
  const { accelerator, probe } = accelerated('auto', failed, YES);
  await accelerator.run(never);
  assert.deepEqual([accelerator.current, probe.tries], ['kvm', 2]);
});

test('new VMs wait until it is known, with the reason; nothing else does', async () => {
  const finding = Promise.withResolvers<BootFinding>();
  const { accelerator } = accelerated('auto', finding.promise);
  await using node = await OneNode.open({ accelerator });
  node.agent.run();
  await node.create(newRequest(), { dryRun: true });
  const asked = await ask(node, {
    kind: 'create',
    parameters: { manifest: newRequest() },
  });
  const { operations } = node.agent;
  await until('it says so', async () => {
    const { progress } = await operations.get(asked.id);
    return /^Trying again: Cannot create VM web yet: .* boot with KVM/.test(
      progress?.message ?? '',
    );
  });
  assert.deepEqual(await node.hypervisor.domains.list(never), []);
  finding.resolve(YES);
  assert.equal((await endOf(node, asked)).state, 'succeeded');
});

test('the node says what VMs run on, and why not on KVM', async () => {
  await using surroundings = await Surroundings.open();
  const told = async () => {
    const { accelerator, conditions } = await surroundings.get();
    const found = conditions.find(({ type }) => type === 'AcceleratorAvailable');
    return [accelerator, found?.status, found?.reason, found?.message] as const;
  };
  const find = (wanted: WantedAccelerator, finding: BootFinding | undefined) => {
    const found = finding === undefined ? undefined : finding.boots ? 'kvm' : 'tcg';
    const accelerator = wanted === 'auto' ? found : wanted;
    surroundings.accelerator = { wanted, finding, accelerator };
  };
  assert.deepEqual((await told()).slice(0, 3), ['tcg', 'true', 'TcgConfigured']);
  find('auto', undefined);
  assert.deepEqual((await told()).slice(0, 3), [undefined, 'unknown', 'Probing']);
  find('auto', YES);
  assert.deepEqual((await told()).slice(0, 3), ['kvm', 'true', 'KvmBoots']);
  find('auto', NO);
  assert.deepEqual((await told()).slice(0, 3), ['tcg', 'false', 'KvmBootsNothing']);
  assert.match(
    (await told())[3] ?? '',
    /said nothing within 10 s; new VMs are emulated .* to tcg if/,
  );
  find('kvm', NO);
  assert.match((await told())[3] ?? '', /VMs cannot start; .* set hypervisor\.accelerator to tcg$/);
  const ready = (await surroundings.until(({ hypervisorConnected }) => hypervisorConnected))
    .conditions;
  assert.equal(ready.find(({ type }) => type === 'Ready')?.status, 'true');
});
