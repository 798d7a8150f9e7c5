import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { Row } from '../../../../src/agent/journal/journal-protocol.ts';
import {
  hasEnded,
  type Operation,
  type OperationKind,
  type OperationParameters,
} from '../../../../src/agent/operations/operation.ts';
import type { VmRef } from '../../../../src/agent/vms/vm.ts';
import type { RunStrategy } from '../../../../src/core/resources/virtual-machine.ts';
import type { VmRunState } from '../../../../src/drivers/hypervisor-domains.ts';
import { until } from '../../../fixtures/until.ts';
import { never, newRequest, OneNode, refOf, uidOf } from '../vms/one-node.ts';

export async function withVm(
  runStrategy: RunStrategy,
  options: Parameters<typeof OneNode.open>[0] = {},
) {
  const node = await OneNode.open(options);
  node.agent.run();
  const request = newRequest('web', { runStrategy });
  const { phase } = await node.create(request);
  return { node, request, ref: refOf(request), uid: uidOf(request), phase };
}

/** Asks for something as callers do, and returns the operation once it has ended. */
export async function ask(
  node: OneNode,
  kind: OperationKind,
  vm: VmRef,
  parameters: OperationParameters = {},
): Promise<Operation> {
  return ended(node, await begin(node, kind, vm, parameters));
}

/** Asks for something as callers do, and returns at once. */
export async function begin(
  node: OneNode,
  kind: OperationKind,
  vm: VmRef,
  parameters: OperationParameters = {},
): Promise<Operation> {
  const asked = { id: randomUUID(), kind, vm, parameters, requestedBy: 'tester' };
  return (await node.agent.operations.submit(asked, never)).operation;
}

export async function ended(node: OneNode, { id }: Operation): Promise<Operation> {
  const { operations } = node.agent;
  await until('it ends', async () => hasEnded(await operations.get(id)));
  return operations.get(id);
}

/** What the journal has of the runs of a VM. */
export function runOf({ journal }: OneNode, uid: string): Row | undefined {
  return journal.rows('SELECT * FROM run WHERE vm_uid = $uid', { uid })[0];
}

/** Has the journal know that a VM is on, or off. */
export const untilWritten = (node: OneNode, uid: string, state: 'on' | 'off') =>
  until(`it is written that it is ${state}`, () => {
    return runOf(node, uid)?.['is_on'] === (state === 'on' ? 1 : 0);
  });

export const reasonOf = async (node: OneNode, ref: VmRef): Promise<string> =>
  (await node.vms.get(ref, never)).reason;

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
