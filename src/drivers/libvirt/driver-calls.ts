import type { DefinitionCache } from './definition-cache.ts';
import type { DriverSupervisor } from './driver-supervisor.ts';
import type { OperationArguments, OperationName, OperationResult } from './operations.ts';

/** A large VM's memory is set up before it starts, and a QEMU that is stuck in the kernel dies slowly. */
const SLOW_OPERATIONS: ReadonlySet<OperationName> = new Set(['define', 'start', 'destroy']);
const SLOW_FACTOR = 5;

/** Calls about single VMs, with deadlines that fit and with words that say what was to be done to which VM. */
export class DriverCalls {
  readonly callTimeoutMs: number;
  readonly #driver: Pick<DriverSupervisor, 'call'>;
  readonly #cache: DefinitionCache;

  constructor(
    driver: Pick<DriverSupervisor, 'call'>,
    cache: DefinitionCache,
    callTimeoutMs: number,
  ) {
    this.#driver = driver;
    this.#cache = cache;
    this.callTimeoutMs = callTimeoutMs;
  }

  /** `verb` completes "Cannot … VM default/web". */
  call<Name extends OperationName>(
    operation: Name,
    uid: string,
    values: OperationArguments<Name>,
    verb: string,
    signal: AbortSignal,
  ): Promise<OperationResult<Name>> {
    const action = `${verb} ${this.nameOf(uid)}`;
    const factor = SLOW_OPERATIONS.has(operation) ? SLOW_FACTOR : 1;
    const options = { action, uid, timeoutMs: factor * this.callTimeoutMs };
    return this.#driver.call(operation, values, options, signal);
  }

  /** A call that takes as long as it takes. */
  callLong<Name extends OperationName>(
    operation: Name,
    uid: string,
    values: OperationArguments<Name>,
    verb: string,
    signal: AbortSignal,
  ): Promise<OperationResult<Name>> {
    const options = { action: `${verb} ${this.nameOf(uid)}`, uid, lane: 'long' as const };
    return this.#driver.call(operation, values, options, signal);
  }

  /** A call on a connection of its own, which what it opens keeps. */
  callFresh<Name extends OperationName>(
    operation: Name,
    uid: string,
    values: OperationArguments<Name>,
    verb: string,
    signal: AbortSignal,
  ): Promise<OperationResult<Name>> {
    const options = { action: `${verb} ${this.nameOf(uid)}`, uid, lane: 'fresh' as const };
    return this.#driver.call(operation, values, options, signal);
  }

  /** A call that waits for a guest, which must answer within the time. */
  callGuest<Name extends OperationName>(
    operation: Name,
    uid: string,
    values: OperationArguments<Name>,
    { verb, timeoutMs }: { readonly verb: string; readonly timeoutMs: number },
    signal: AbortSignal,
  ): Promise<OperationResult<Name>> {
    const options = {
      action: `${verb} ${this.nameOf(uid)}`,
      uid,
      lane: 'guest' as const,
      timeoutMs,
    };
    return this.#driver.call(operation, values, options, signal);
  }

  nameOf(uid: string): string {
    return `VM ${this.#cache.findName(uid) ?? uid}`;
  }
}
