import { hasReason } from '../../core/errors.ts';
import { type NodeOperationKind, THE_NODE } from '../operations/operation.ts';
import type { Admission, OperationWork, StepResult } from '../operations/operation-work.ts';
import type { Cordon } from './cordon.ts';
import type { NodeSpec } from './node.ts';

/** What is kept of a change of the node. */
interface Parameters {
  /** The fields that are to be changed. */
  readonly spec: Partial<NodeSpec>;
  readonly generation: number | undefined;
}

/** How what is asked of this node is done, by kind of operation. `onChange` is told when it may have changed. */
export function nodeOperations(
  cordon: Pick<Cordon, 'assertGeneration' | 'has' | 'update'>,
  onChange: () => void,
): Record<NodeOperationKind, OperationWork> {
  return {
    cordon: specWork('cordon', 'cordoning', cordon, onChange),
    uncordon: specWork('uncordon', 'uncordoning', cordon, onChange),
  };
}

function specWork(
  deed: NodeOperationKind,
  firstStep: string,
  cordon: Pick<Cordon, 'assertGeneration' | 'has' | 'update'>,
  onChange: () => void,
): OperationWork {
  return {
    firstStep,
    async admit({ parameters }): Promise<Admission> {
      const { generation } = parameters as unknown as Parameters;
      cordon.assertGeneration(generation);
      return { vm: THE_NODE, deed };
    },
    async step({ parameters, startedAtMs }): Promise<StepResult> {
      const { spec, generation } = parameters as unknown as Parameters;
      try {
        await cordon.update(spec, generation);
      } catch (error) {
        // An agent that was killed may have changed it and not have come to say so.
        const isDone = startedAtMs !== undefined && cordon.has(spec);
        if (!isDone || !hasReason(error, 'GENERATION_MISMATCH')) throw error;
      }
      onChange();
      return { isDone: true };
    },
  };
}

/** What a change of the node's spec is: what says nothing of the cordon is about its reason. */
export function kindOf(change: Partial<NodeSpec>): NodeOperationKind {
  return change.cordon === false ? 'uncordon' : 'cordon';
}
