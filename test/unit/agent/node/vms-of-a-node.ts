import type { Vm, VmPhase } from '../../../../src/agent/vms/vm.ts';
import type { Machine } from '../../../../src/core/resources/machine.ts';
import type { VmDefinition } from '../../../../src/core/vm-definition.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';

export const MIB = 2 ** 20;
export const GIB = 2 ** 30;

/** A machine of so much memory and one CPU. */
export function machineOf(memory: string, changes: Partial<Machine> = {}): Machine {
  return { resources: { cpu: '1', memory }, ...changes };
}

/** A definition of a machine; each one is of another VM unless it is said which. */
export function definitionOf(machine: Machine, changes: Partial<VmDefinition> = {}): VmDefinition {
  return tinyVm(changes, machine);
}

/** A VM as the inventory has it. */
export function vmOf(definition: VmDefinition, phase: VmPhase, liveDefinition?: VmDefinition): Vm {
  return {
    isRead: true,
    definition,
    liveDefinition,
    phase,
    reason: '',
    message: '',
    conditions: [],
    pendingChanges: [],
    drift: [],
    accelerator: undefined,
    machineType: '',
    volumes: [],
    interfaces: [],
    statistics: undefined,
    migration: undefined,
    run: undefined,
    restart: undefined,
    origin: { nodeName: 'node-a', nodeBootId: 'boot', agentEpoch: 1, revision: 1 },
  };
}
