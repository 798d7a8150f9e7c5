import assert from 'node:assert/strict';
import { test } from 'node:test';
import { machine as machineSchema } from '../../src/core/resources/machine.ts';
import type { VmDefinition } from '../../src/core/vm-definition.ts';
import type { HypervisorDomains } from '../../src/drivers/hypervisor-domains.ts';
import { assertAbortable, never, rejectsWith, type UseFixture } from './hypervisor-fixture.ts';

/** VMs that no agent has made become ones of an agent. */
export function testAdoption(use: UseFixture): void {
  test('a VM that is not there cannot be looked at to be adopted', async () => {
    const { domains } = use().source;
    const { uid } = use().newDefinition();
    assert.equal(await domains.findAdoptable(uid, never), undefined);
  });

  for (const state of ['running', 'stopped'] as const) {
    test(`a VM of somebody else's that is ${state} is an agent's once it is adopted, and stays ${state}`, async () => {
      const { source, makeByHand } = use();
      const { domains } = source;
      const made = await makeByHand();
      if (state === 'running') await domains.start(made.uid, never);
      const before = await domains.find(made.uid, never);
      assert.equal(before?.definition, undefined);
      const definition = await definitionFor(domains, made);
      await domains.adopt(definition, never);
      // An agent that was killed does it again.
      await domains.adopt(definition, never);
      const after = await domains.find(made.uid, never);
      assert.deepEqual(after?.definition, definition);
      assert.deepEqual([after.liveDefinition, after.drift], [undefined, []]);
      assert.deepEqual([after.state, after.hypervisorName], [state, before?.hypervisorName]);
      assert.deepEqual(after.disks, before?.disks);
      assert.deepEqual(
        after.interfaces.map(({ mac }) => mac),
        before?.interfaces.map(({ mac }) => mac),
      );
      assert.ok((after.kept ?? []).length > 0);
      await domains.setFacts(made.uid, { intent: 'off' }, never);
      assert.equal((await domains.find(made.uid, never))?.definition?.intent, 'off');
      await domains.destroy(made.uid, never);
      await domains.undefine(made.uid, never);
    });
  }

  test('a VM that was adopted is changed, started and moved as any other', async () => {
    const { source, destination, makeByHand, migration } = use();
    const { domains } = source;
    const made = await makeByHand();
    const definition = await definitionFor(domains, made);
    await domains.adopt(definition, never);
    const { spec } = definition;
    const machine = { ...spec.template.spec, resources: { cpu: '1', memory: '96Mi' } };
    const changed = {
      ...definition,
      generation: 2,
      spec: { ...spec, template: { ...spec.template, spec: machine } },
    };
    await domains.define(changed, never);
    await domains.start(made.uid, never);
    const found = await domains.find(made.uid, never);
    assert.deepEqual([found?.definition, found?.drift], [changed, []]);
    assert.equal(found?.memoryBytes, 96 * 1024 ** 2);
    await source.jobs.migrate(
      made.uid,
      { ...migration(changed, 'fast'), disks: found.disks },
      never,
    );
    const moved = await destination.domains.find(made.uid, never);
    assert.deepEqual([moved?.state, moved?.drift], ['running', []]);
    assert.equal(moved?.definition?.generation, 2);
    assert.deepEqual(moved.kept, found.kept);
    await destination.domains.destroy(made.uid, never);
    await destination.domains.undefine(made.uid, never);
  });

  test('a VM that is not as it was looked at is not adopted', async () => {
    const { source, makeByHand } = use();
    const { domains } = source;
    const made = await makeByHand();
    const definition = await definitionFor(domains, made);
    const { spec } = definition;
    const machine = { ...spec.template.spec, resources: { cpu: '1', memory: '2Gi' } };
    const other = {
      ...definition,
      spec: { ...spec, template: { ...spec.template, spec: machine } },
    };
    await rejectsWith('VM_BUSY', domains.adopt(other, never));
    assert.equal((await domains.find(made.uid, never))?.definition, undefined);
    await domains.undefine(made.uid, never);
  });

  test('looking at a VM to be adopted, and adopting it, can be aborted', async () => {
    const { source, makeByHand } = use();
    const made = await makeByHand();
    const definition = await definitionFor(source.domains, made);
    await assertAbortable((signal) => source.domains.findAdoptable(made.uid, signal));
    await assertAbortable((signal) => source.domains.adopt(definition, signal));
  });
}

/** What it would be adopted with. */
async function definitionFor(
  domains: HypervisorDomains,
  made: VmDefinition,
): Promise<VmDefinition> {
  const found = await domains.findAdoptable(made.uid, never);
  assert.ok(found !== undefined);
  assert.deepEqual([found.isOther, found.isSaved, found.isBusy], [false, false, false]);
  const machine = machineSchema.parse(found.machine);
  return { ...made, spec: { runStrategy: 'Manual', template: { spec: machine } } };
}
