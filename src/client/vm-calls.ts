import type { VirtualMachineRef } from '../gen/novacron/agent/v1/common.ts';
import {
  CreateVirtualMachineRequest,
  type DeepPartial,
  DeleteVirtualMachineRequest,
  DestroyVirtualMachineRequest,
  GetConsoleLogRequest,
  GetVirtualMachineRequest,
  ListVirtualMachinesRequest,
  type ListVirtualMachinesResponse,
  ShutdownVirtualMachineRequest,
  StartVirtualMachineRequest,
  type VirtualMachine,
  VirtualMachineServiceService,
  WatchVirtualMachinesRequest,
  type WatchVirtualMachinesResponse,
} from '../gen/novacron/agent/v1/virtual_machine.ts';
import type { CallOptions, Connection, StreamOptions } from './connection.ts';
import { required } from './required.ts';

/** Names one VM; an empty or missing namespace means "default", a missing uid accepts any. */
export type VmRefInput = Pick<VirtualMachineRef, 'name'> & Partial<VirtualMachineRef>;

/** A VM to be made; what is left out takes the API's default. */
export type VmInput = DeepPartial<Omit<VirtualMachine, 'status'>>;

/** The calls of VirtualMachineService. */
export class VmCalls {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  async create(
    virtualMachine: VmInput,
    options: CallOptions & { readonly dryRun?: boolean | undefined },
  ): Promise<VirtualMachine> {
    const response = await this.#connection.unary(
      VirtualMachineServiceService.createVirtualMachine,
      CreateVirtualMachineRequest.create({ virtualMachine, dryRun: options.dryRun ?? false }),
      options,
    );
    return required(response.virtualMachine, 'VM');
  }

  async get(ref: VmRefInput, options: CallOptions): Promise<VirtualMachine> {
    const response = await this.#connection.unary(
      VirtualMachineServiceService.getVirtualMachine,
      GetVirtualMachineRequest.create({ ref }),
      options,
    );
    return required(response.virtualMachine, 'VM');
  }

  /** VMs sorted by namespace and name, and how new the list is; no namespace means all. */
  list(
    filter: {
      readonly namespace?: string | undefined;
      readonly labelSelector?: Readonly<Record<string, string>> | undefined;
    },
    options: CallOptions,
  ): Promise<ListVirtualMachinesResponse> {
    return this.#connection.unary(
      VirtualMachineServiceService.listVirtualMachines,
      ListVirtualMachinesRequest.create({
        namespace: filter.namespace ?? '',
        labelSelector: filter.labelSelector ?? {},
      }),
      options,
    );
  }

  /** One watch, as the agent serves it; `watchVirtualMachines` goes on after a lost connection. */
  watch(
    filter: DeepPartial<WatchVirtualMachinesRequest>,
    options: StreamOptions,
  ): AsyncGenerator<WatchVirtualMachinesResponse, void, undefined> {
    return this.#connection.stream(
      VirtualMachineServiceService.watchVirtualMachines,
      WatchVirtualMachinesRequest.create(filter),
      options,
    );
  }

  async start(ref: VmRefInput, options: CallOptions): Promise<VirtualMachine> {
    const response = await this.#connection.unary(
      VirtualMachineServiceService.startVirtualMachine,
      StartVirtualMachineRequest.create({ ref }),
      options,
    );
    return required(response.virtualMachine, 'VM');
  }

  /** Asks the guest to power off; answers before it has. */
  async shutdown(ref: VmRefInput, options: CallOptions): Promise<VirtualMachine> {
    const response = await this.#connection.unary(
      VirtualMachineServiceService.shutdownVirtualMachine,
      ShutdownVirtualMachineRequest.create({ ref }),
      options,
    );
    return required(response.virtualMachine, 'VM');
  }

  /** Cuts the power. */
  async destroy(ref: VmRefInput, options: CallOptions): Promise<VirtualMachine> {
    const response = await this.#connection.unary(
      VirtualMachineServiceService.destroyVirtualMachine,
      DestroyVirtualMachineRequest.create({ ref }),
      options,
    );
    return required(response.virtualMachine, 'VM');
  }

  /** Forgets a stopped VM; one that is already gone counts as deleted. */
  async delete(
    ref: VmRefInput,
    options: CallOptions & { readonly force?: boolean | undefined },
  ): Promise<void> {
    await this.#connection.unary(
      VirtualMachineServiceService.deleteVirtualMachine,
      DeleteVirtualMachineRequest.create({ ref, force: options.force ?? false }),
      options,
    );
  }

  /** What the guest wrote to its first serial console, oldest first. Not necessarily UTF-8. */
  async *readConsole(
    ref: VmRefInput,
    options: StreamOptions & {
      readonly tailBytes?: bigint | undefined;
      readonly follow?: boolean | undefined;
    },
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const { tailBytes = 0n, follow = false } = options;
    for await (const { data } of this.#connection.stream(
      VirtualMachineServiceService.getConsoleLog,
      GetConsoleLogRequest.create({ ref, tailBytes, follow }),
      options,
    )) {
      yield data;
    }
  }
}
