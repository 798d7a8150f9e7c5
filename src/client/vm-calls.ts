import type { VirtualMachineRef, WatchCursor } from '../gen/novacron/agent/v1/common.ts';
import {
  AdoptVirtualMachineRequest,
  type AdoptVirtualMachineResponse,
  ApplyVirtualMachineRequest,
  type ApplyVirtualMachineResponse,
  CreateVirtualMachineRequest,
  type CreateVirtualMachineResponse,
  type DeepPartial,
  DeleteVirtualMachineRequest,
  type DeleteVirtualMachineResponse,
  DestroyVirtualMachineRequest,
  type DestroyVirtualMachineResponse,
  EjectMediumRequest,
  type EjectMediumResponse,
  GetConsoleLogRequest,
  GetVirtualMachineRequest,
  InsertMediumRequest,
  type InsertMediumResponse,
  ListVirtualMachinesRequest,
  type ListVirtualMachinesResponse,
  RebootVirtualMachineRequest,
  type RebootVirtualMachineResponse,
  ResetVirtualMachineRequest,
  type ResetVirtualMachineResponse,
  RestartVirtualMachineRequest,
  type RestartVirtualMachineResponse,
  ResumeVirtualMachineRequest,
  type ResumeVirtualMachineResponse,
  ShutdownVirtualMachineRequest,
  type ShutdownVirtualMachineResponse,
  StartVirtualMachineRequest,
  type StartVirtualMachineResponse,
  SuspendVirtualMachineRequest,
  type SuspendVirtualMachineResponse,
  type VirtualMachine,
  VirtualMachineServiceService,
  WatchVirtualMachinesRequest,
} from '../gen/novacron/agent/v1/virtual_machine.ts';
import type { CallOptions, Connection, StreamOptions } from './connection.ts';
import { allPages } from './pages.ts';
import { required } from './required.ts';
import { toDuration } from './time.ts';
import type { WatchMessage } from './watch.ts';

/** Names one VM; an empty or missing namespace means "default", a missing uid accepts any. */
export type VmRefInput = Pick<VirtualMachineRef, 'name'> & Partial<VirtualMachineRef>;

/** A VM to be made; what is left out takes the API's default. */
export type VmInput = DeepPartial<Omit<VirtualMachine, 'status'>>;

export interface ChangeOptions extends CallOptions {
  /** UUID by which the call may be repeated. With it the call answers at once, and the operation goes on; without it, when that is done. */
  readonly operationId?: string | undefined;
}

/** Secrets by the names that a manifest has for them. */
export type Secrets = Readonly<Record<string, Buffer>>;

/** The calls of VirtualMachineService. Every change answers with its operation, and with the VM unless that is deleted. */
export class VmCalls {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  create(
    virtualMachine: VmInput,
    options: ChangeOptions & {
      readonly dryRun?: boolean | undefined;
      /** A reservation that the VM uses up. */
      readonly reservationId?: string | undefined;
      /** Assigned by the caller, who vouches for no other node running the VM. */
      readonly ownershipEpoch?: bigint | undefined;
      /** Secrets that the manifest names. */
      readonly secrets?: Secrets | undefined;
    },
  ): Promise<CreateVirtualMachineResponse> {
    const { dryRun = false, reservationId = '', operationId = '', ownershipEpoch } = options;
    const { secrets = {} } = options;
    const request = { virtualMachine, dryRun, reservationId, operationId, ownershipEpoch, secrets };
    return this.#connection.unary(
      VirtualMachineServiceService.createVirtualMachine,
      CreateVirtualMachineRequest.create(request),
      options,
    );
  }

  /** Makes a VM be as given, and says what that changed. */
  apply(
    virtualMachine: VmInput,
    options: ChangeOptions & {
      readonly dryRun?: boolean | undefined;
      /** Takes only these fields, named as in the manifest. */
      readonly updateMask?: readonly string[] | undefined;
      /** The generation that the VM must have, 0n for none yet. */
      readonly generation?: bigint | undefined;
      /** Secrets that the manifest names. */
      readonly secrets?: Secrets | undefined;
      /** How long the guest of one that runs is waited for; a minute if left out. */
      readonly guestTimeoutMs?: number | undefined;
    },
  ): Promise<ApplyVirtualMachineResponse> {
    const { dryRun = false, updateMask, generation, operationId = '', guestTimeoutMs } = options;
    const request = ApplyVirtualMachineRequest.create({ virtualMachine, dryRun, operationId });
    request.guestTimeout = guestTimeoutMs === undefined ? undefined : toDuration(guestTimeoutMs);
    request.updateMask = updateMask && [...updateMask];
    request.generation = generation;
    request.secrets = { ...options.secrets };
    return this.#connection.unary(
      VirtualMachineServiceService.applyVirtualMachine,
      request,
      options,
    );
  }

  /** Takes over a VM that no agent has made, which the hypervisor calls `domain`. */
  adopt(
    domain: string,
    options: ChangeOptions & {
      readonly dryRun?: boolean | undefined;
      /** What it shall be called; as `domain` if left out. */
      readonly name?: string | undefined;
      readonly namespace?: string | undefined;
    },
  ): Promise<AdoptVirtualMachineResponse> {
    const { dryRun = false, name = '', namespace = '', operationId = '' } = options;
    return this.#connection.unary(
      VirtualMachineServiceService.adoptVirtualMachine,
      AdoptVirtualMachineRequest.create({ domain, name, namespace, dryRun, operationId }),
      options,
    );
  }

  /** `measureDisks`: also looks how large its disks are where it is off. */
  async get(
    ref: VmRefInput,
    { measureDisks = false, ...options }: CallOptions & { readonly measureDisks?: boolean },
  ): Promise<VirtualMachine> {
    const response = await this.#connection.unary(
      VirtualMachineServiceService.getVirtualMachine,
      GetVirtualMachineRequest.create({ ref, measureDisks }),
      options,
    );
    return required(response.virtualMachine, 'VM');
  }

  /** VMs sorted by namespace and name, and how new the list is; no namespace means all. One page if `pageSize` is given. */
  list(
    filter: {
      readonly namespace?: string | undefined;
      /** In the syntax of Kubernetes. */
      readonly labelSelector?: string | undefined;
      readonly pageSize?: number | undefined;
      readonly pageToken?: string | undefined;
    },
    options: CallOptions,
  ): Promise<ListVirtualMachinesResponse> {
    const { namespace = '', labelSelector = '', pageSize = 0, pageToken = '' } = filter;
    return this.#connection.unary(
      VirtualMachineServiceService.listVirtualMachines,
      ListVirtualMachinesRequest.create({ namespace, labelSelector, pageSize, pageToken }),
      options,
    );
  }

  /** All VMs, a page at a time. */
  async *listAll(
    filter: { readonly namespace?: string; readonly labelSelector?: string },
    options: CallOptions,
  ): AsyncGenerator<VirtualMachine, void, undefined> {
    for await (const page of allPages((part) => this.list({ ...filter, ...part }, options))) {
      yield* page.virtualMachines;
    }
  }

  /** One watch, as the agent serves it; `watchVirtualMachines` goes on after a lost connection. */
  async *watch(
    filter: {
      readonly namespace: string;
      readonly labelSelector: string;
      readonly cursor: WatchCursor | undefined;
    },
    options: StreamOptions,
  ): AsyncGenerator<WatchMessage<VirtualMachine>, void, undefined> {
    const request = WatchVirtualMachinesRequest.create();
    for await (const { type, virtualMachine, origin, movedToNode } of this.#connection.stream(
      VirtualMachineServiceService.watchVirtualMachines,
      { ...request, ...filter },
      options,
    )) {
      yield { type, object: virtualMachine, origin, movedToNode };
    }
  }

  /** A dry run only says whether it could be started. */
  start(
    ref: VmRefInput,
    options: ChangeOptions & { readonly dryRun?: boolean | undefined },
  ): Promise<StartVirtualMachineResponse> {
    const { operationId = '', dryRun = false } = options;
    return this.#connection.unary(
      VirtualMachineServiceService.startVirtualMachine,
      StartVirtualMachineRequest.create({ ref, operationId, dryRun }),
      options,
    );
  }

  /** Asks the guest to power off. Without an `operationId` it answers before the VM is off. */
  shutdown(
    ref: VmRefInput,
    options: ChangeOptions & {
      /** How long the guest is waited for; then the operation fails with GUEST_DID_NOT_STOP. */
      readonly timeoutMs?: number | undefined;
    },
  ): Promise<ShutdownVirtualMachineResponse> {
    const { timeoutMs, operationId = '' } = options;
    const timeout = timeoutMs === undefined ? {} : { timeout: toDuration(timeoutMs) };
    return this.#connection.unary(
      VirtualMachineServiceService.shutdownVirtualMachine,
      ShutdownVirtualMachineRequest.create({ ref, operationId, ...timeout }),
      options,
    );
  }

  /** Cuts the power. */
  destroy(ref: VmRefInput, options: ChangeOptions): Promise<DestroyVirtualMachineResponse> {
    const { operationId = '' } = options;
    return this.#connection.unary(
      VirtualMachineServiceService.destroyVirtualMachine,
      DestroyVirtualMachineRequest.create({ ref, operationId }),
      options,
    );
  }

  /** Stops its processors. */
  suspend(ref: VmRefInput, options: ChangeOptions): Promise<SuspendVirtualMachineResponse> {
    const { operationId = '' } = options;
    return this.#connection.unary(
      VirtualMachineServiceService.suspendVirtualMachine,
      SuspendVirtualMachineRequest.create({ ref, operationId }),
      options,
    );
  }

  /** Lets it go on, whatever has paused it. */
  resume(ref: VmRefInput, options: ChangeOptions): Promise<ResumeVirtualMachineResponse> {
    const { operationId = '' } = options;
    return this.#connection.unary(
      VirtualMachineServiceService.resumeVirtualMachine,
      ResumeVirtualMachineRequest.create({ ref, operationId }),
      options,
    );
  }

  /** Resets its hardware. */
  reset(ref: VmRefInput, options: ChangeOptions): Promise<ResetVirtualMachineResponse> {
    const { operationId = '' } = options;
    return this.#connection.unary(
      VirtualMachineServiceService.resetVirtualMachine,
      ResetVirtualMachineRequest.create({ ref, operationId }),
      options,
    );
  }

  /** Asks the guest to reboot; the operation ends when it has. */
  reboot(
    ref: VmRefInput,
    options: ChangeOptions & { readonly timeoutMs?: number | undefined },
  ): Promise<RebootVirtualMachineResponse> {
    const { timeoutMs, operationId = '' } = options;
    const timeout = timeoutMs === undefined ? {} : { timeout: toDuration(timeoutMs) };
    return this.#connection.unary(
      VirtualMachineServiceService.rebootVirtualMachine,
      RebootVirtualMachineRequest.create({ ref, operationId, ...timeout }),
      options,
    );
  }

  /** Has the guest power off, then starts it. */
  restart(
    ref: VmRefInput,
    options: ChangeOptions & {
      readonly timeoutMs?: number | undefined;
      /** Cuts its power if it has not powered off in time. */
      readonly force?: boolean | undefined;
    },
  ): Promise<RestartVirtualMachineResponse> {
    const { timeoutMs, force = false, operationId = '' } = options;
    const timeout = timeoutMs === undefined ? {} : { timeout: toDuration(timeoutMs) };
    return this.#connection.unary(
      VirtualMachineServiceService.restartVirtualMachine,
      RestartVirtualMachineRequest.create({ ref, force, operationId, ...timeout }),
      options,
    );
  }

  /** Takes out what is in a drive. */
  eject(
    ref: VmRefInput,
    volume: string,
    options: ChangeOptions & {
      /** Also if the guest holds the drive shut. */
      readonly force?: boolean | undefined;
    },
  ): Promise<EjectMediumResponse> {
    const { force = false, operationId = '' } = options;
    return this.#connection.unary(
      VirtualMachineServiceService.ejectMedium,
      EjectMediumRequest.create({ ref, volume, force, operationId }),
      options,
    );
  }

  /** Puts an image of the node into an empty drive. */
  insert(
    ref: VmRefInput,
    volume: string,
    path: string,
    options: ChangeOptions,
  ): Promise<InsertMediumResponse> {
    const { operationId = '' } = options;
    return this.#connection.unary(
      VirtualMachineServiceService.insertMedium,
      InsertMediumRequest.create({ ref, volume, path, operationId }),
      options,
    );
  }

  /** Forgets a stopped VM; the operation's result says whether it was there. */
  delete(
    ref: VmRefInput,
    options: ChangeOptions & {
      readonly force?: boolean | undefined;
      /** Only a copy that the node does not own. */
      readonly unownedCopy?: boolean | undefined;
      /** Also the disks that an agent has made for it. */
      readonly deleteDisks?: boolean | undefined;
    },
  ): Promise<DeleteVirtualMachineResponse> {
    const { force = false, unownedCopy = false, deleteDisks = false, operationId = '' } = options;
    return this.#connection.unary(
      VirtualMachineServiceService.deleteVirtualMachine,
      DeleteVirtualMachineRequest.create({ ref, force, unownedCopy, deleteDisks, operationId }),
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
