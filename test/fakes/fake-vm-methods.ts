import { isDeepStrictEqual } from 'node:util';
import type { ServerWritableStream } from '@grpc/grpc-js';
import { AgentError } from '../../src/core/errors.ts';
import {
  ApplyOutcome,
  type ApplyVirtualMachineRequest,
  type CreateVirtualMachineRequest,
  type DeleteVirtualMachineRequest,
  type GetConsoleLogRequest,
  type GetConsoleLogResponse,
  type GetVirtualMachineRequest,
  type ListVirtualMachinesRequest,
  RunStrategy,
  VirtualMachine,
  VirtualMachinePhase,
  type WatchVirtualMachinesRequest,
  type WatchVirtualMachinesResponse,
} from '../../src/gen/novacron/agent/v1/virtual_machine.ts';
import type { FakeAgentServer } from './fake-agent-server.ts';
import { matchesSelector } from './fake-resources.ts';

const { VIRTUAL_MACHINE_PHASE_RUNNING, VIRTUAL_MACHINE_PHASE_STOPPED } = VirtualMachinePhase;

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
  const move = (phase: () => VirtualMachinePhase) =>
    agent.answer((request: GetVirtualMachineRequest) => ({
      virtualMachine: put(find(request), phase()),
    }));

  return {
    createVirtualMachine: agent.answer((request: CreateVirtualMachineRequest) => {
      const vm = request.virtualMachine ?? VirtualMachine.create();
      agent.createRequests.push(vm);
      const made = request.dryRun ? vm : put(vm, firstPhaseOf(vm));
      return { virtualMachine: made, warnings: agent.warnings };
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
      const outcome = isSame ? APPLY_OUTCOME_UNCHANGED : APPLY_OUTCOME_CHANGED;
      return {
        virtualMachine: made,
        outcome: before === undefined ? APPLY_OUTCOME_CREATED : outcome,
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
        }));
      },
    ),

    startVirtualMachine: move(() =>
      agent.startsNothing ? VIRTUAL_MACHINE_PHASE_STOPPED : VIRTUAL_MACHINE_PHASE_RUNNING,
    ),

    shutdownVirtualMachine: agent.answer((request: GetVirtualMachineRequest) => {
      const vm = find(request);
      agent.later(() => put(vm, VIRTUAL_MACHINE_PHASE_STOPPED));
      return { virtualMachine: put(vm, VirtualMachinePhase.VIRTUAL_MACHINE_PHASE_STOPPING) };
    }),

    destroyVirtualMachine: move(() => VIRTUAL_MACHINE_PHASE_STOPPED),

    deleteVirtualMachine: agent.answer(({ ref, force }: DeleteVirtualMachineRequest) => {
      const namespace = ref?.namespace || 'default';
      const name = ref?.name ?? '';
      const phase = agent.vms.get(`${namespace}/${name}`)?.status?.phase;
      if (phase === VIRTUAL_MACHINE_PHASE_RUNNING && !force) {
        throw new AgentError('VM_RUNNING', `Cannot delete VM ${name}: it runs`);
      }
      agent.remove(name, namespace);
      return {};
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
