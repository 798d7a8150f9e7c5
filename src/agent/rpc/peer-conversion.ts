import { isReason } from '../../core/errors.ts';
import {
  type CheckIncomingRequest,
  type GetIncomingResponse,
  type IncomingBlocker as IncomingBlockerMessage,
  IncomingOutcome,
  type IncomingVirtualMachine,
  IncomingState as StateNumber,
} from '../../gen/novacron/agent/v1/peer.ts';
import {
  VirtualMachine,
  VirtualMachineStatus,
} from '../../gen/novacron/agent/v1/virtual_machine.ts';
import type {
  IncomingBlocker,
  IncomingReport,
  IncomingState,
  IncomingVm,
} from '../migration/migration.ts';
import { toUint64 } from './count-conversion.ts';
import type { FieldChecks } from './field-checks.ts';
import { fromDefinedMetadata, toMetadata } from './metadata-conversion.ts';
import { fromSpec, toSpec } from './vm-spec-conversion.ts';

const MAX_TEXT_BYTES = 128;

const ACCELERATORS = { '': undefined, kvm: 'kvm', tcg: 'tcg' } as const;

const STATES = {
  [StateNumber.INCOMING_STATE_ABSENT]: 'absent',
  [StateNumber.INCOMING_STATE_PREPARED]: 'prepared',
  [StateNumber.INCOMING_STATE_RECEIVING]: 'receiving',
  [StateNumber.INCOMING_STATE_ARRIVED]: 'arrived',
  [StateNumber.INCOMING_STATE_UNKNOWN]: 'unknown',
} as const;

const STATE = {
  absent: StateNumber.INCOMING_STATE_ABSENT,
  prepared: StateNumber.INCOMING_STATE_PREPARED,
  receiving: StateNumber.INCOMING_STATE_RECEIVING,
  arrived: StateNumber.INCOMING_STATE_ARRIVED,
  unknown: StateNumber.INCOMING_STATE_UNKNOWN,
} as const satisfies Record<IncomingState, StateNumber>;

export const OUTCOMES = {
  [IncomingOutcome.INCOMING_OUTCOME_COMMIT]: 'commit',
  [IncomingOutcome.INCOMING_OUTCOME_ABORT]: 'abort',
} as const;

export const OUTCOME = {
  commit: IncomingOutcome.INCOMING_OUTCOME_COMMIT,
  abort: IncomingOutcome.INCOMING_OUTCOME_ABORT,
} as const;

/** The parts of CheckIncoming and PrepareIncoming that describe the VM. */
export type IncomingFields = Pick<
  CheckIncomingRequest,
  'incoming' | 'sourceHostUuid' | 'sourceQemuVersion'
>;

export function fromIncomingFields(request: IncomingFields, checks: FieldChecks): IncomingVm {
  const incoming = checks.required('incoming', request.incoming);
  const field = 'incoming.virtual_machine';
  const vm =
    (incoming && checks.required(field, incoming.virtualMachine)) ?? VirtualMachine.create();
  const { machineType = '', accelerator = '' } = vm.status ?? {};
  if (!isAccelerator(accelerator)) {
    checks.add(`${field}.status.accelerator`, 'must be "kvm", "tcg" or empty');
  }
  return {
    definition: {
      ...fromDefinedMetadata(vm.metadata, `${field}.metadata`, checks),
      ownershipEpoch: checks.count('incoming.ownership_epoch', incoming?.ownershipEpoch ?? 0n),
      spec: fromSpec(vm.spec, `${field}.spec`, checks),
    },
    machineType: checks.text(`${field}.status.machine_type`, machineType, MAX_TEXT_BYTES),
    accelerator: isAccelerator(accelerator) ? ACCELERATORS[accelerator] : undefined,
    sourceHostUuid: checks.text('source_host_uuid', request.sourceHostUuid, MAX_TEXT_BYTES),
    sourceQemuVersion: checks.text(
      'source_qemu_version',
      request.sourceQemuVersion,
      MAX_TEXT_BYTES,
    ),
  };
}

function isAccelerator(value: string): value is keyof typeof ACCELERATORS {
  return Object.hasOwn(ACCELERATORS, value);
}

export function toIncomingFields(incoming: IncomingVm): IncomingFields {
  return {
    incoming: toIncomingVirtualMachine(incoming),
    sourceHostUuid: incoming.sourceHostUuid,
    sourceQemuVersion: incoming.sourceQemuVersion,
  };
}

function toIncomingVirtualMachine(incoming: IncomingVm): IncomingVirtualMachine {
  const { definition, machineType, accelerator = '' } = incoming;
  return {
    virtualMachine: {
      metadata: toMetadata(definition),
      spec: toSpec(definition.spec),
      status: VirtualMachineStatus.create({ machineType, accelerator }),
    },
    ownershipEpoch: toUint64(definition.ownershipEpoch),
  };
}

export function toIncomingReport(report: IncomingReport): GetIncomingResponse {
  return {
    state: STATE[report.state],
    ownershipEpoch: toUint64(report.ownershipEpoch),
    downtimeMs: toUint64(report.figures?.downtimeMs ?? 0),
    memoryProcessedBytes: report.figures?.memoryProcessedBytes ?? 0n,
    iterations: report.figures?.iterations ?? 0,
  };
}

/** A state that only a newer agent knows is unknown to us: nothing may be concluded from it. */
export function fromIncomingReport(response: GetIncomingResponse): IncomingReport {
  const state: IncomingState | undefined = Object.hasOwn(STATES, response.state)
    ? STATES[response.state as keyof typeof STATES]
    : undefined;
  return {
    state: state ?? 'unknown',
    ownershipEpoch: Number(response.ownershipEpoch),
    // There is no switchover of less than a millisecond.
    figures:
      response.downtimeMs === 0n
        ? undefined
        : {
            downtimeMs: Number(response.downtimeMs),
            memoryProcessedBytes: response.memoryProcessedBytes,
            iterations: response.iterations,
          },
  };
}

/** A reason that only a newer agent knows still blocks; its message tells the rest. */
export function fromIncomingBlocker(blocker: IncomingBlockerMessage): IncomingBlocker {
  const { reason, message, subject } = blocker;
  return { reason: isReason(reason) ? reason : 'MIGRATION_BLOCKED', message, subject };
}
