import { isDeepStrictEqual } from 'node:util';
import type { ServerWritableStream } from '@grpc/grpc-js';
import { AgentError } from '../../src/core/errors.ts';
import { type Operation, OperationKind } from '../../src/gen/novacron/agent/v1/operation.ts';
import {
  ApplyOutcome,
  type ApplyVirtualMachineRequest,
  type CreateVirtualMachineRequest,
  type DeleteVirtualMachineRequest,
  type DestroyVirtualMachineRequest,
  type EjectMediumRequest,
  type GetConsoleLogRequest,
  type GetConsoleLogResponse,
  type GetVirtualMachineRequest,
  type InsertMediumRequest,
  type ListVirtualMachinesRequest,
  type RestartVirtualMachineRequest,
  RunStrategy,
  type ShutdownVirtualMachineRequest,
  type StartVirtualMachineRequest,
  VirtualMachine,
  VirtualMachinePhase,
  type WatchVirtualMachinesRequest,
  type WatchVirtualMachinesResponse,
} from '../../src/gen/novacron/agent/v1/virtual_machine.ts';
import type { FakeAgentServer } from './fake-agent-server.ts';
import { beginOperation } from './fake-operation-methods.ts';
import { matchesSelector } from './fake-resources.ts';

const {
  VIRTUAL_MACHINE_PHASE_PAUSED,
  VIRTUAL_MACHINE_PHASE_RUNNING,
  VIRTUAL_MACHINE_PHASE_STOPPED,
} = VirtualMachinePhase;
const {
  OPERATION_KIND_APPLY,
  OPERATION_KIND_CREATE,
  OPERATION_KIND_DELETE,
  OPERATION_KIND_DESTROY,
  OPERATION_KIND_EJECT,
  OPERATION_KIND_INSERT,
  OPERATION_KIND_REBOOT,
  OPERATION_KIND_RESET,
  OPERATION_KIND_RESTART,
  OPERATION_KIND_RESUME,
  OPERATION_KIND_SHUTDOWN,
  OPERATION_KIND_START,
  OPERATION_KIND_SUSPEND,
} = OperationKind;
const OFF_AFTER: readonly OperationKind[] = [OPERATION_KIND_SHUTDOWN, OPERATION_KIND_DESTROY];
/** What an operation says of how a VM was applied. */
const RESULTS: Readonly<Record<number, string>> = {
  [ApplyOutcome.APPLY_OUTCOME_CREATED]: 'CREATED',
  [ApplyOutcome.APPLY_OUTCOME_CHANGED]: 'CHANGED',
  [ApplyOutcome.APPLY_OUTCOME_UNCHANGED]: 'UNCHANGED',
};

type Filter = Pick<ListVirtualMachinesRequest, 'namespace' | 'labelSelector'>;

/** VirtualMachineService of a fake agent. */
export function vmMethods(agent: FakeAgentServer) {
  const find = ({ ref }: GetVirtualMachineRequest): VirtualMachine => {
    const key = `${ref?.namespace || 'default'}/${ref?.name ?? ''}`;
    const vm = agent.vms.get(key);
    if (vm !== undefined) return vm;
    throw new AgentError('VM_NOT_FOUND', `There is no VM ${key} on node node-a`);
  };
  const put = (vm: VirtualMachine, phase: VirtualMachinePhase) =>
    agent.put(vm.metadata?.name ?? '', vm, phase);
  const begin = (
    kind: OperationKind,
    vm: Pick<VirtualMachine, 'metadata'>,
    given: { readonly operationId: string; readonly result?: string },
  ): Operation => {
    const { namespace = '', name = '', uid = '' } = vm.metadata ?? {};
    const ref = { namespace: namespace || 'default', name, uid };
    return beginOperation(agent, kind, ref, { ...given, id: given.operationId });
  };
  const move = (
    request: Omit<StartVirtualMachineRequest, 'dryRun'>,
    kind: OperationKind,
    result = '',
  ) => {
    const virtualMachine = put(find(request), phaseAfter(kind));
    return { virtualMachine, operation: begin(kind, virtualMachine, { ...request, result }) };
  };

  return {
    createVirtualMachine: agent.answer((request: CreateVirtualMachineRequest) => {
      const vm = request.virtualMachine ?? VirtualMachine.create();
      agent.createRequests.push(vm);
      const made = request.dryRun ? vm : put(vm, firstPhaseOf(vm));
      return {
        virtualMachine: made,
        warnings: agent.warnings,
        operation: request.dryRun ? undefined : begin(OPERATION_KIND_CREATE, made, request),
      };
    }),

    applyVirtualMachine: agent.answer((request: ApplyVirtualMachineRequest) => {
      agent.applyRequests.push(request);
      const vm = request.virtualMachine ?? VirtualMachine.create();
      const { namespace, name } = vm.metadata ?? {};
      const before = agent.vms.get(`${namespace || 'default'}/${name}`);
      const generation = before?.metadata?.generation ?? 0n;
      if (request.generation !== undefined && request.generation !== generation) {
        const message = `VM ${name} has generation ${generation}, not ${request.generation}`;
        throw new AgentError('GENERATION_MISMATCH', message);
      }
      const phase = before?.status?.phase ?? firstPhaseOf(vm);
      const metadata = vm.metadata && { ...vm.metadata, generation: generation + 1n };
      const isSame = isDeepStrictEqual(before?.spec, vm.spec);
      const made = request.dryRun || isSame ? vm : put({ ...vm, metadata }, phase);
      const { APPLY_OUTCOME_CHANGED, APPLY_OUTCOME_CREATED, APPLY_OUTCOME_UNCHANGED } =
        ApplyOutcome;
      const changed = isSame ? APPLY_OUTCOME_UNCHANGED : APPLY_OUTCOME_CHANGED;
      const outcome = before === undefined ? APPLY_OUTCOME_CREATED : changed;
      const result = RESULTS[outcome] ?? '';
      return {
        virtualMachine: made,
        outcome,
        operation: request.dryRun
          ? undefined
          : begin(OPERATION_KIND_APPLY, made, { ...request, result }),
        changes: [],
        warnings: agent.warnings,
      };
    }),

    getVirtualMachine: agent.answer((request: GetVirtualMachineRequest) => ({
      virtualMachine: find(request),
    })),

    listVirtualMachines: agent.answer((request: ListVirtualMachinesRequest) => {
      const page = agent.vms.page(matcher(request), request.pageSize, request.pageToken);
      return { ...page, virtualMachines: page.items };
    }),

    watchVirtualMachines: agent.stream(
      (call: ServerWritableStream<WatchVirtualMachinesRequest, WatchVirtualMachinesResponse>) => {
        agent.watchRequests.push(call.request);
        agent.vms.watch(call, matcher(call.request), ({ object, ...event }) => ({
          ...event,
          virtualMachine: object,
          movedToNode: agent.movedToNode,
        }));
      },
    ),

    startVirtualMachine: agent.answer((request: StartVirtualMachineRequest) =>
      move(request, OPERATION_KIND_START),
    ),

    shutdownVirtualMachine: agent.answer((request: ShutdownVirtualMachineRequest) => {
      agent.shutdownRequests.push(request);
      return move(request, OPERATION_KIND_SHUTDOWN);
    }),

    destroyVirtualMachine: agent.answer((request: DestroyVirtualMachineRequest) =>
      move(request, OPERATION_KIND_DESTROY),
    ),

    suspendVirtualMachine: agent.answer((request: StartVirtualMachineRequest) =>
      move(request, OPERATION_KIND_SUSPEND),
    ),

    resumeVirtualMachine: agent.answer((request: StartVirtualMachineRequest) =>
      move(request, OPERATION_KIND_RESUME),
    ),

    resetVirtualMachine: agent.answer((request: StartVirtualMachineRequest) =>
      move(request, OPERATION_KIND_RESET),
    ),

    rebootVirtualMachine: agent.answer((request: StartVirtualMachineRequest) =>
      move(request, OPERATION_KIND_REBOOT, 'REBOOTED'),
    ),

    restartVirtualMachine: agent.answer((request: RestartVirtualMachineRequest) => {
      const isOff = find(request).status?.phase === VIRTUAL_MACHINE_PHASE_STOPPED;
      return move(request, OPERATION_KIND_RESTART, isOff ? 'STARTED' : 'RESTARTED');
    }),

    ejectMedium: agent.answer((request: EjectMediumRequest) => {
      const virtualMachine = find(request);
      const operation = begin(OPERATION_KIND_EJECT, virtualMachine, {
        ...request,
        result: 'EJECTED',
      });
      return { virtualMachine, operation };
    }),

    insertMedium: agent.answer((request: InsertMediumRequest) => {
      const virtualMachine = find(request);
      const operation = begin(OPERATION_KIND_INSERT, virtualMachine, {
        ...request,
        result: 'INSERTED',
      });
      return { virtualMachine, operation };
    }),

    deleteVirtualMachine: agent.answer((request: DeleteVirtualMachineRequest) => {
      const { ref, force } = request;
      const namespace = ref?.namespace || 'default';
      const name = ref?.name ?? '';
      const vm =
        agent.vms.get(`${namespace}/${name}`) ?? VirtualMachine.create({ metadata: { name } });
      const phase = vm.status?.phase;
      if (phase === VIRTUAL_MACHINE_PHASE_RUNNING && !force) {
        throw new AgentError('VM_RUNNING', `Cannot delete VM ${name}: it runs`);
      }
      agent.remove(name, namespace);
      const result = phase === undefined ? agent.absence : 'DELETED';
      return { operation: begin(OPERATION_KIND_DELETE, vm, { ...request, result }) };
    }),

    getConsoleLog: agent.stream(
      (call: ServerWritableStream<GetConsoleLogRequest, GetConsoleLogResponse>) => {
        const tail = Number(call.request.tailBytes);
        call.write({ data: tail === 0 ? agent.console : agent.console.subarray(-tail) });
        call.end();
      },
    ),
  };
}

function phaseAfter(kind: OperationKind): VirtualMachinePhase {
  if (OFF_AFTER.includes(kind)) return VIRTUAL_MACHINE_PHASE_STOPPED;
  return kind === OPERATION_KIND_SUSPEND
    ? VIRTUAL_MACHINE_PHASE_PAUSED
    : VIRTUAL_MACHINE_PHASE_RUNNING;
}

function firstPhaseOf({ spec }: VirtualMachine): VirtualMachinePhase {
  const { RUN_STRATEGY_HALTED, RUN_STRATEGY_MANUAL } = RunStrategy;
  const strategy = spec?.runStrategy;
  const isOff =
    spec?.running === false || strategy === RUN_STRATEGY_HALTED || strategy === RUN_STRATEGY_MANUAL;
  return isOff ? VIRTUAL_MACHINE_PHASE_STOPPED : VIRTUAL_MACHINE_PHASE_RUNNING;
}

function matcher({ namespace, labelSelector }: Filter): (vm: VirtualMachine) => boolean {
  return ({ metadata }) =>
    (namespace === '' || metadata?.namespace === namespace) &&
    matchesSelector(labelSelector, metadata?.labels);
}
