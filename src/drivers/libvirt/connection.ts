import type { Out } from './c-call.ts';
import { isMissingDomain, LibvirtError } from './errors.ts';
import { UUID_STRING_BUFFER_BYTES } from './libvirt-constants.ts';
import type { Libvirt } from './native.ts';
import type { ConnectPointer, DomainPointer } from './native-pointers.ts';
import { ValidatedShapes } from './validated-shapes.ts';

export interface KeepAlive {
  readonly intervalS: number;
  readonly count: number;
}

/** A libvirt connection with the domains looked up through it. Used in the thread that opened it only, one call after the other. */
export class Connection {
  readonly libvirt: Libvirt;
  readonly validated = new ValidatedShapes();
  #pointer: ConnectPointer | undefined;
  #openDomains = 0;
  readonly #uuidBuffer = Buffer.alloc(UUID_STRING_BUFFER_BYTES);

  private constructor(libvirt: Libvirt, pointer: ConnectPointer) {
    this.libvirt = libvirt;
    this.#pointer = pointer;
  }

  static async open(libvirt: Libvirt, uri: string, keepAlive: KeepAlive): Promise<Connection> {
    const pointer = await libvirt.open(uri);
    if (pointer === null) throw lastError(libvirt);
    const connection = new Connection(libvirt, pointer);
    // 1 means that the other side cannot do it (as with test:///default), which is no failure.
    if ((await libvirt.setKeepAlive(pointer, keepAlive.intervalS, keepAlive.count)) < 0) {
      const error = lastError(libvirt);
      await connection.close();
      throw error;
    }
    return connection;
  }

  get pointer(): ConnectPointer {
    if (this.#pointer === undefined) throw new Error('The libvirt connection is closed');
    return this.#pointer;
  }

  /** Whether its socket is open; asks nobody. */
  get isAlive(): boolean {
    return this.#pointer !== undefined && this.libvirt.isAlive(this.#pointer) === 1;
  }

  /** Domain handles that have not been freed. */
  get openDomains(): number {
    return this.#openDomains;
  }

  /** Throws libvirt's error if the result of a call says that it failed. */
  async check(call: Promise<number>): Promise<number> {
    const result = await call;
    if (result < 0) throw lastError(this.libvirt);
    return result;
  }

  async checkPointer<T>(call: Promise<T | null>): Promise<T> {
    const result = await call;
    if (result === null) throw lastError(this.libvirt);
    return result;
  }

  async getDomain(uid: string): Promise<Domain> {
    return this.adopt(await this.checkPointer(this.libvirt.lookupByUuid(this.pointer, uid)));
  }

  findDomain(uid: string): Promise<Domain | undefined> {
    return this.#find(this.libvirt.lookupByUuid(this.pointer, uid));
  }

  findDomainByName(name: string): Promise<Domain | undefined> {
    return this.#find(this.libvirt.lookupByName(this.pointer, name));
  }

  async #find(call: Promise<DomainPointer | null>): Promise<Domain | undefined> {
    const pointer = await call;
    if (pointer !== null) return this.adopt(pointer);
    const error = lastError(this.libvirt);
    if (isMissingDomain(error)) return undefined;
    throw error;
  }

  /** Takes over a domain pointer that libvirt gave us; it is freed with the handle. */
  adopt(pointer: DomainPointer): Domain {
    this.#openDomains += 1;
    return new Domain(this, pointer, () => {
      this.#openDomains -= 1;
    });
  }

  uuidOf(domain: DomainPointer): string {
    if (this.libvirt.getUuid(domain, this.#uuidBuffer) < 0) {
      throw new LibvirtError(0, 'libvirt does not give the UUID of a domain');
    }
    return this.#uuidBuffer.toString('latin1', 0, UUID_STRING_BUFFER_BYTES - 1);
  }

  /** Tells the daemon, so it may block. */
  async close(): Promise<void> {
    const pointer = this.#pointer;
    this.#pointer = undefined;
    if (pointer !== undefined) await this.libvirt.close(pointer);
  }
}

/** A handle of a domain. Refuses to be used once freed. */
export class Domain implements Disposable {
  readonly #connection: Connection;
  readonly #onFree: () => void;
  #pointer: DomainPointer | undefined;

  constructor(connection: Connection, pointer: DomainPointer, onFree: () => void) {
    this.#connection = connection;
    this.#pointer = pointer;
    this.#onFree = onFree;
  }

  get pointer(): DomainPointer {
    if (this.#pointer === undefined) throw new Error('The libvirt domain handle is closed');
    return this.#pointer;
  }

  get uid(): string {
    return this.#connection.uuidOf(this.pointer);
  }

  get name(): string {
    return this.#connection.libvirt.getName(this.pointer);
  }

  async isActive(): Promise<boolean> {
    const { libvirt } = this.#connection;
    return (await this.#connection.check(libvirt.isActive(this.pointer))) === 1;
  }

  /** virDomainState and its reason. */
  async readState(): Promise<{ readonly state: number; readonly reason: number }> {
    const state: Out<number> = [null];
    const reason: Out<number> = [null];
    const { libvirt } = this.#connection;
    await this.#connection.check(libvirt.getState(this.pointer, state, reason, 0));
    return { state: state[0] ?? 0, reason: reason[0] ?? 0 };
  }

  async isPersistent(): Promise<boolean> {
    const { libvirt } = this.#connection;
    return (await this.#connection.check(libvirt.isPersistent(this.pointer))) === 1;
  }

  getXml(flags: number): Promise<string> {
    const { libvirt } = this.#connection;
    return this.#connection.checkPointer(libvirt.getXml(this.pointer, flags));
  }

  [Symbol.dispose](): void {
    if (this.#pointer === undefined) return;
    this.#connection.libvirt.freeDomain(this.#pointer);
    this.#pointer = undefined;
    this.#onFree();
  }
}

/** The error of the call that has just been made in the thread of `libvirt`. */
function lastError(libvirt: Libvirt): LibvirtError {
  const error = libvirt.lastError();
  if (error === undefined) return new LibvirtError(0, 'libvirt gave no reason');
  return new LibvirtError(error.code, error.message || 'libvirt gave no reason', error.number);
}
