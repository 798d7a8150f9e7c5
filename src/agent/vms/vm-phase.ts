import type { HypervisorVm } from '../../drivers/hypervisor-domains.ts';
import type { VmPhase } from './vm.ts';

/** What the agent knows about a VM beside what the hypervisor says. */
export interface VmContext {
  /** The migration that takes it away; undefined if none. */
  readonly migrationId: string | undefined;
  readonly shutdownRequested: boolean;
}

export interface PhaseReport {
  readonly phase: VmPhase;
  readonly reason: string;
  readonly message: string;
}

const CAMEL_CASE_PARTS = /(^|[- ])([a-z])/g;

/** Where a VM stands, from what the hypervisor says and what the agent is doing to it. */
export function phaseOf(vm: HypervisorVm, context: VmContext): PhaseReport {
  const reason = vm.stateReason.replace(CAMEL_CASE_PARTS, (_, __, letter: string) =>
    letter.toUpperCase(),
  );
  switch (vm.state) {
    case 'running':
      if (context.migrationId !== undefined) {
        return report('migrating', 'Copying', 'Its memory is being copied to another node');
      }
      return context.shutdownRequested
        ? report('stopping', 'ShutdownRequested', 'The guest was asked to power off')
        : report('running', reason, '');
    case 'paused':
      if (context.migrationId !== undefined) {
        return report('migrating', 'SwitchingOver', 'It is being handed over to another node');
      }
      return report('paused', reason, pauseMessage(vm.stateReason));
    case 'shutting-down':
      return report('stopping', reason, 'The guest is powering off');
    case 'crashed':
      return report('failed', 'GuestCrashed', 'The guest crashed; read its console log');
    case 'stopped':
      if (vm.stateReason === 'crashed' || vm.stateReason === 'failed') {
        return report(
          'failed',
          reason,
          'The hypervisor process ended unexpectedly; read its log in /var/log/libvirt/qemu on the node',
        );
      }
      return report('stopped', reason, '');
    case 'incoming':
      return report('migrating', 'Receiving', 'Its memory is being received from another node');
    default:
      return report('unknown', 'HypervisorUncertain', 'The hypervisor does not know its state');
  }
}

function pauseMessage(stateReason: string): string {
  return stateReason === 'io-error'
    ? 'It was paused by a disk error; make room or repair the storage, then resume it'
    : '';
}

function report(phase: VmPhase, reason: string, message: string): PhaseReport {
  return { phase, reason, message };
}
