import type { NodePlan } from '../plan/lab-plan.ts';
import { Agent } from './agent.ts';
import { LabMachine } from './lab-machine.ts';
import { Libvirt } from './libvirt.ts';
import { startMachine } from './start-machine.ts';

/** A machine of the lab with a libvirt and an agent of its own. */
export class LabNode extends LabMachine {
  readonly libvirt = new Libvirt(this);
  readonly agent = new Agent(this);

  /** Makes the node's machine; neither libvirt nor agent runs in it yet. */
  static async create(
    lab: string,
    plan: NodePlan,
    hosts: string,
    signal: AbortSignal,
  ): Promise<LabNode> {
    await startMachine(lab, plan, hosts, signal);
    return new LabNode(lab, plan);
  }
}
