import type { TestContext } from 'node:test';
import type { DemoVm, Sight } from './moving-vm.ts';
import type { TwoNodes } from './two-nodes.ts';

export interface Stage {
  readonly nodes: TwoNodes;
  readonly vm: DemoVm;
  /** What the guest has said since the story began. */
  readonly seen: Sight;
  /** The VM's ownership epoch when the story began. */
  readonly epoch: bigint;
  readonly signal: AbortSignal;
}

/** Tells stories of one VM in one lab, one after the other; each begins with the VM on node a. */
export function storyteller(context: TestContext, nodes: TwoNodes, vm: DemoVm) {
  return async (name: string, tell: (stage: Stage) => Promise<void>): Promise<void> => {
    await context.test(name, async ({ signal }) => {
      await nodes.reset(vm, signal);
      using seen = vm.watch();
      await tell({ nodes, vm, seen, epoch: await vm.epochAt(nodes.a, signal), signal });
    });
  };
}
