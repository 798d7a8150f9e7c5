import assert from 'node:assert/strict';
import type { RunStrategy } from '../../../../src/core/resources/virtual-machine.ts';
import type { VmRunState } from '../../../../src/drivers/hypervisor-domains.ts';
import { until } from '../../../fixtures/until.ts';
import { never, newRequest, OneNode, refOf, uidOf } from './one-node.ts';

export async function withVm(runStrategy: RunStrategy) {
  const node = await OneNode.open();
  node.agent.run();
  const request = newRequest('web', { runStrategy });
  const { phase } = await node.create(request);
  return { node, request, ref: refOf(request), uid: uidOf(request), phase };
}

export const startsOf = ({ hypervisor }: OneNode, uid: string): number =>
  hypervisor.calls.filter((call) => call === `start ${uid}`).length;

export const stateOf = async ({ hypervisor }: OneNode, uid: string) =>
  (await hypervisor.domains.find(uid, never))?.state;

/** It is so, and whoever has brought it about is done. */
export const untilState = (node: OneNode, uid: string, state: VmRunState) =>
  until(`it is ${state}`, async () => {
    return node.locks.purposeOf(uid) === undefined && (await stateOf(node, uid)) === state;
  });

export const untilRunning = (node: OneNode, uid: string) => untilState(node, uid, 'running');
export const untilOff = (node: OneNode, uid: string) => untilState(node, uid, 'stopped');

/** Lets everything that is wanted by now be done: another VM stops after all that has happened and is started twice. */
export async function settle(node: OneNode): Promise<void> {
  const witness = newRequest('witness', { runStrategy: 'Always' });
  await node.create(witness);
  for (const starts of [2, 3]) {
    node.hypervisor.stopGuest(uidOf(witness));
    await until('the witness runs', () => startsOf(node, uidOf(witness)) === starts);
    await untilRunning(node, uidOf(witness));
  }
  await node.vms.delete(refOf(witness), { force: true }, never);
}

export async function assertStaysOff(node: OneNode, uid: string): Promise<void> {
  node.hypervisor.forgetCalls();
  await settle(node);
  assert.equal(startsOf(node, uid), 0);
  assert.equal(await stateOf(node, uid), 'stopped');
}
