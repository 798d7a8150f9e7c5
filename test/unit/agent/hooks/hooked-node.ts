import type { Lifecycle } from '../../../../src/core/resources/lifecycle.ts';
import type { RunStrategy } from '../../../../src/core/resources/virtual-machine.ts';
import { until } from '../../../fixtures/until.ts';
import { newRequest, OneNode, refOf, uidOf } from '../vms/one-node.ts';

export const LEASE = '/etc/novacron/hooks/lease';
export const ADD = '/etc/novacron/hooks/add';
export const DRAIN = '/etc/novacron/hooks/drain';

const hook = (program: string, timeoutSeconds?: number) => ({
  exec: { command: [program], ...(timeoutSeconds !== undefined && { timeoutSeconds }) },
});

export const HOOKS: Lifecycle = {
  preStart: hook(LEASE),
  postStart: hook(ADD),
  preStop: hook(DRAIN),
};
export const FAILURE = { failure: 'ended with exit code 3', output: 'no lease left' };

/** A node with a VM that has hooks and is off, unless its run strategy has it on. */
export async function withHooks(
  options: Parameters<typeof OneNode.open>[0] = {},
  runStrategy: RunStrategy = 'Manual',
) {
  const node = await OneNode.open(options);
  node.agent.run();
  const request = newRequest('web', { runStrategy, machine: { lifecycle: HOOKS } });
  await node.create(request);
  return { node, request, ref: refOf(request), uid: uidOf(request) };
}

export const untilBegun = ({ hooks }: OneNode, ...words: readonly string[]) =>
  until(`${words.join()} have begun`, () => hooks.begun.join() === words.join());

export const untilIdle = ({ hooks }: OneNode) => until('no hook runs', () => hooks.running === 0);
