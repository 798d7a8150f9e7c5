import assert from 'node:assert/strict';
import type { HookName } from '../../../../src/drivers/hook-runner.ts';
import type { TwoNodes } from '../migration/two-nodes.ts';
import { manifestOf, NEW, type Story, stateOf } from './stories.ts';

const never = new AbortController().signal;

const hook = (program: string) => ({ exec: { command: [`/etc/novacron/hooks/${program}`] } });
const HOOKS = { preStart: hook('lease'), postStart: hook('add'), preStop: hook('drain') };

/** One for each kind of operation that has hooks run. */
export const HOOK_STORIES: readonly Story[] = [
  {
    kind: 'start',
    name: 'a start with hooks',
    lifecycle: HOOKS,
    prepare: ({ source, vm }) => source.hypervisor.domains.destroy(vm.uid, never),
    check: async (nodes) => {
      assert.equal(await stateOf(nodes), 'running');
      assertBegun(nodes, 'preStart', 'postStart');
    },
    steps: 14,
  },
  {
    kind: 'shutdown',
    name: 'a shutdown with a hook',
    lifecycle: HOOKS,
    check: async (nodes) => {
      assert.equal(await stateOf(nodes), 'stopped');
      assertBegun(nodes, 'preStop');
    },
    steps: 12,
  },
  {
    kind: 'restart',
    name: 'a restart with hooks',
    result: 'RESTARTED',
    lifecycle: HOOKS,
    check: async (nodes) => {
      assert.equal(await stateOf(nodes), 'running');
      assertBegun(nodes, 'preStop', 'preStart', 'postStart');
    },
    steps: 20,
  },
  {
    kind: 'create',
    name: 'a create with hooks',
    vm: { namespace: NEW.namespace, name: NEW.name, uid: NEW.uid },
    parameters: () => ({
      manifest: manifestOf(NEW, {}, 'Always', undefined, HOOKS),
      reservationId: undefined,
    }),
    check: async (nodes) => {
      assert.equal(await stateOf(nodes, NEW.uid), 'running');
      assertBegun(nodes, 'preStart', 'postStart');
    },
    steps: 16,
  },
  {
    kind: 'apply',
    name: 'an apply with hooks that creates a VM',
    vm: { namespace: NEW.namespace, name: NEW.name, uid: NEW.uid },
    parameters: () => ({
      manifest: manifestOf(NEW, {}, 'Once', undefined, HOOKS),
      updateMask: undefined,
      generation: undefined,
    }),
    check: async (nodes) => {
      assert.equal(await stateOf(nodes, NEW.uid), 'running');
      assertBegun(nodes, 'preStart', 'postStart');
    },
    result: 'CREATED',
    steps: 16,
  },
];

/** Each was begun, in their order, by an agent or by more, and none after the guest or the VM had got on without it. */
function assertBegun({ source, vm }: TwoNodes, ...hooks: readonly HookName[]): void {
  const begun = source.hooks.begun.map((words) => words.split(' ')[0]);
  const inOrder = begun.filter((hook, index) => hook !== begun[index - 1]);
  assert.deepEqual(inOrder, hooks, `${vm.name}: ${begun.join()}`);
}
