import { randomUUID } from 'node:crypto';
import {
  hasEnded,
  type Operation,
  type OperationKind,
  type OperationParameters,
  type OperationRequest,
} from '../../../../src/agent/operations/operation.ts';
import { until } from '../../../fixtures/until.ts';
import { never, type OneNode } from '../vms/one-node.ts';

/** What a list of all operations is asked for by. */
export const ALL = {
  vmUid: undefined,
  vmName: undefined,
  namespace: undefined,
  activeOnly: false,
};
export const FIRST = { size: 0, token: '' };

/** Something that is asked for, of VM test/web unless it says otherwise. */
export interface Asked {
  readonly kind: OperationKind;
  readonly id?: string;
  readonly vm?: OperationRequest['vm'];
  readonly parameters?: OperationParameters;
}

const WEB = { namespace: 'test', name: 'web', uid: undefined };

/** Asks a node's agent for it, and answers as it does. */
export async function ask(
  { agent }: Pick<OneNode, 'agent'>,
  { kind, id = randomUUID(), vm = WEB, parameters = {} }: Asked,
): Promise<Operation> {
  const asked = { id, kind, vm, parameters, requestedBy: 'tester' };
  return (await agent.operations.submit(asked, never)).operation;
}

/** How an operation has ended, once it has. */
export async function endOf(
  { agent }: Pick<OneNode, 'agent'>,
  { id }: Pick<Operation, 'id'>,
): Promise<Operation> {
  await until('it ends', async () => hasEnded(await agent.operations.get(id)));
  return agent.operations.get(id);
}

/** Asks for it and waits for its end. */
export async function done(node: OneNode, asked: Asked): Promise<Operation> {
  return endOf(node, await ask(node, asked));
}
