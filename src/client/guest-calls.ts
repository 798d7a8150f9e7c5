import {
  FreezeGuestRequest,
  type FreezeGuestResponse,
  GetGuestRequest,
  type Guest,
  GuestServiceService,
  RunGuestCommandRequest,
  type RunGuestCommandResponse,
  SetGuestPasswordRequest,
  SyncGuestTimeRequest,
  ThawGuestRequest,
  type ThawGuestResponse,
} from '../gen/novacron/agent/v1/guest.ts';
import type { CallOptions, Connection } from './connection.ts';
import { required } from './required.ts';
import { toDuration } from './time.ts';
import type { VmRefInput } from './vm-calls.ts';

/** A program to be run in a guest. */
export interface GuestCommandInput {
  readonly program: string;
  readonly args: readonly string[];
  readonly stdin?: Uint8Array | undefined;
  /** How long it is waited for; the call's deadline must be later. */
  readonly timeoutMs?: number | undefined;
  /** Of each of its outputs. */
  readonly captureBytes?: number | undefined;
}

/** The calls of GuestService. */
export class GuestCalls {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  async get(ref: VmRefInput, options: CallOptions): Promise<Guest> {
    const request = GetGuestRequest.create({ ref });
    const response = await this.#connection.unary(GuestServiceService.getGuest, request, options);
    return required(response.guest, 'guest');
  }

  /** Each call runs it once more. */
  run(
    ref: VmRefInput,
    { program, args, stdin = new Uint8Array(), timeoutMs, captureBytes }: GuestCommandInput,
    options: CallOptions,
  ): Promise<RunGuestCommandResponse> {
    const request = RunGuestCommandRequest.create({
      ref,
      program,
      args: [...args],
      stdin: Buffer.from(stdin),
      captureBytes,
      ...(timeoutMs !== undefined && { timeout: toDuration(timeoutMs) }),
    });
    return this.#connection.unary(GuestServiceService.runGuestCommand, request, options);
  }

  async setPassword(
    ref: VmRefInput,
    { user, password, crypted = false }: { user: string; password: string; crypted?: boolean },
    options: CallOptions,
  ): Promise<void> {
    const request = SetGuestPasswordRequest.create({ ref, user, password, crypted });
    await this.#connection.unary(GuestServiceService.setGuestPassword, request, options);
  }

  freeze(
    ref: VmRefInput,
    options: CallOptions & { readonly timeoutMs?: number | undefined },
  ): Promise<FreezeGuestResponse> {
    const { timeoutMs } = options;
    const request = FreezeGuestRequest.create({
      ref,
      ...(timeoutMs !== undefined && { timeout: toDuration(timeoutMs) }),
    });
    return this.#connection.unary(GuestServiceService.freezeGuest, request, options);
  }

  thaw(
    ref: VmRefInput,
    options: CallOptions & { readonly force?: boolean | undefined },
  ): Promise<ThawGuestResponse> {
    const request = ThawGuestRequest.create({ ref, force: options.force ?? false });
    return this.#connection.unary(GuestServiceService.thawGuest, request, options);
  }

  async syncTime(ref: VmRefInput, options: CallOptions): Promise<void> {
    const request = SyncGuestTimeRequest.create({ ref });
    await this.#connection.unary(GuestServiceService.syncGuestTime, request, options);
  }
}
