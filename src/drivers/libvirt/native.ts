import koffi from 'koffi';
import {
  type Argument,
  encodeCall,
  type Out,
  parsePrototype,
  readOutputs,
  toNumber,
} from './c-call.ts';
import { freeMemory, readText } from './c-memory.ts';
import type { CallThread, NativeError } from './call-threads.ts';
import { relayStarter } from './stream-relay.ts';

/**
 * libvirt's C functions. Every prototype stands below the header it was read from; a wrong one crashes the process instead of
 * failing. What asks libvirt's daemon, and so may block, is done in a thread of its own; what only looks at memory is done at once.
 */

declare const pointee: unique symbol;
type Pointer<Name extends string> = bigint & { readonly [pointee]: Name };

export type ConnectPointer = Pointer<'virConnect'>;
export type DomainPointer = Pointer<'virDomain'>;
export type StatsListPointer = Pointer<'virDomainStatsRecordPtr[]'>;
export type DomainListPointer = Pointer<'virDomainPtr[]'>;
export type TypedParametersPointer = Pointer<'virTypedParameter[]'>;
export type InterfaceListPointer = Pointer<'virDomainInterfacePtr[]'>;
export type CallbackPointer = Pointer<'callback'>;
export type StreamPointer = Pointer<'virStream'>;

/** Symbols that may be missing from an older libvirt, and what is then missing from the node. */
export const OPTIONAL_SYMBOLS = {
  'dirty-rate': 'virDomainStartDirtyRateCalc',
  'max-downtime-query': 'virDomainMigrateGetMaxDowntime',
  'postcopy-pause': 'virDomainAbortJobFlags',
} as const;

/** Does in a thread what `F` does. */
type InThread<F> = F extends (...values: infer Values) => infer Result
  ? (...values: Values) => Promise<Result>
  : never;

export type LibvirtLibrary = ReturnType<typeof loadLibvirt>;
/** libvirt as one thread uses it. */
export type Libvirt = ReturnType<LibvirtLibrary['on']>;

/** Loads libvirt; throws if it, or a function that the driver cannot do without, is missing. */
export function loadLibvirt(path = 'libvirt.so.0', qemuPath = 'libvirt-qemu.so.0') {
  const library = koffi.load(path);
  const missing = new Map<string, string>();
  for (const [feature, symbol] of Object.entries(OPTIONAL_SYMBOLS)) {
    if (!hasSymbol(library, symbol)) missing.set(feature, `libvirt has no ${symbol}`);
  }
  const ofQemu = koffi.load(qemuPath);
  const addressOf = (symbol: string): bigint =>
    (symbol.startsWith('virDomainQemu') ? ofQemu : library).symbol(symbol);
  // The type is ours to say: koffi knows prototypes only at run time.
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters
  const atOnce = <T>(prototype: string): T => library.func(prototype) as unknown as T;
  const inThread = <F>(prototype: string) => declareInThread<F>(addressOf, prototype);

  // virterror.h; any C function will do as a handler that ignores its arguments, and unlike a JavaScript one it may be called from
  // every thread. Without it libvirt prints each error.
  const setErrorFunction = atOnce<(data: null, handler: unknown) => void>(
    'void virSetErrorFunc(void *userData, void *handler)',
  );
  setErrorFunction(null, koffi.load('libc.so.6').symbol('labs'));

  const local = {
    getVersion: atOnce<(version: Out<number>, type: null, typeVersion: null) => number>(
      'int virGetVersion(_Out_ unsigned long *libVer, const char *type, void *typeVer)',
    ),
    isAlive: atOnce<(connection: ConnectPointer) => number>('int virConnectIsAlive(void *conn)'),
    freeDomain: atOnce<(domain: DomainPointer) => number>('int virDomainFree(void *domain)'),
    getName: atOnce<(domain: DomainPointer) => string>(
      'const char *virDomainGetName(void *domain)',
    ),
    getUuid: atOnce<(domain: DomainPointer, buffer: Buffer) => number>(
      'int virDomainGetUUIDString(void *domain, void *buf)',
    ),
    /** 4294967295 for a domain that is not active. */
    getId: atOnce<(domain: DomainPointer) => number>('unsigned int virDomainGetID(void *domain)'),
    freeStats: atOnce<(list: StatsListPointer) => void>(
      'void virDomainStatsRecordListFree(void *stats)',
    ),
    freeInterface: atOnce<(pointer: bigint) => void>('void virDomainInterfaceFree(void *iface)'),
    // libvirt-common.h: typed parameters
    addString: atOnce<
      (
        parameters: Out<TypedParametersPointer>,
        count: [number],
        capacity: [number],
        name: string,
        value: string,
      ) => number
    >(
      'int virTypedParamsAddString(_Inout_ void **params, _Inout_ int *nparams, _Inout_ int *maxparams, const char *name, const char *value)',
    ),
    addUnsignedLong: atOnce<
      (
        parameters: Out<TypedParametersPointer>,
        count: [number],
        capacity: [number],
        name: string,
        value: bigint,
      ) => number
    >(
      'int virTypedParamsAddULLong(_Inout_ void **params, _Inout_ int *nparams, _Inout_ int *maxparams, const char *name, unsigned long long value)',
    ),
    // libvirt-stream.h
    newStream: atOnce<(connection: ConnectPointer, flags: number) => StreamPointer | null>(
      'void *virStreamNew(void *conn, unsigned int flags)',
    ),
    freeStream: atOnce<(stream: StreamPointer) => number>('int virStreamFree(void *stream)'),
    startRelay: relayStarter(addressOf),
    freeParameters: atOnce<(parameters: TypedParametersPointer | null, count: number) => void>(
      'void virTypedParamsFree(void *params, int nparams)',
    ),
  };
  const remote = {
    open: inThread<(uri: string) => ConnectPointer | null>(
      'void *virConnectOpen(const char *name)',
    ),
    close: inThread<(connection: ConnectPointer) => number>('int virConnectClose(void *conn)'),
    setKeepAlive: inThread<
      (connection: ConnectPointer, intervalS: number, count: number) => number
    >('int virConnectSetKeepAlive(void *conn, int interval, unsigned int count)'),
    registerCloseCallback: inThread<
      (connection: ConnectPointer, callback: CallbackPointer, data: null, free: null) => number
    >('int virConnectRegisterCloseCallback(void *conn, void *cb, void *opaque, void *freecb)'),
    unregisterCloseCallback: inThread<
      (connection: ConnectPointer, callback: CallbackPointer) => number
    >('int virConnectUnregisterCloseCallback(void *conn, void *cb)'),
    getHostname: inThread<(connection: ConnectPointer) => string | null>(
      'OwnedText virConnectGetHostname(void *conn)',
    ),
    getUri: inThread<(connection: ConnectPointer) => string | null>(
      'OwnedText virConnectGetURI(void *conn)',
    ),
    getCapabilities: inThread<(connection: ConnectPointer) => string | null>(
      'OwnedText virConnectGetCapabilities(void *conn)',
    ),
    getDomainCapabilities: inThread<
      (
        connection: ConnectPointer,
        emulator: string | null,
        architecture: string,
        machine: string,
        virtType: string | null,
        flags: number,
      ) => string | null
    >(
      'OwnedText virConnectGetDomainCapabilities(void *conn, const char *emulatorbin, const char *arch, const char *machine, const char *virttype, unsigned int flags)',
    ),
    compareHypervisorCpu: inThread<
      (
        connection: ConnectPointer,
        emulator: string | null,
        architecture: string,
        machine: string | null,
        virtType: string,
        xml: string,
        flags: number,
      ) => number
    >(
      'int virConnectCompareHypervisorCPU(void *conn, const char *emulator, const char *arch, const char *machine, const char *virttype, const char *xmlCPU, unsigned int flags)',
    ),
    getHypervisorVersion: inThread<(connection: ConnectPointer, version: Out<number>) => number>(
      'int virConnectGetVersion(void *conn, _Out_ unsigned long *hvVer)',
    ),
    getLibraryVersion: inThread<(connection: ConnectPointer, version: Out<number>) => number>(
      'int virConnectGetLibVersion(void *conn, _Out_ unsigned long *libVer)',
    ),
    // libvirt-domain.h: finding
    lookupByUuid: inThread<(connection: ConnectPointer, uuid: string) => DomainPointer | null>(
      'void *virDomainLookupByUUIDString(void *conn, const char *uuid)',
    ),
    lookupByName: inThread<(connection: ConnectPointer, name: string) => DomainPointer | null>(
      'void *virDomainLookupByName(void *conn, const char *name)',
    ),
    listAllDomains: inThread<
      (connection: ConnectPointer, domains: Out<DomainListPointer>, flags: number) => number
    >('int virConnectListAllDomains(void *conn, _Out_ void **domains, unsigned int flags)'),
    // libvirt-domain.h: state
    getState: inThread<
      (domain: DomainPointer, state: Out<number>, reason: Out<number>, flags: number) => number
    >(
      'int virDomainGetState(void *domain, _Out_ int *state, _Out_ int *reason, unsigned int flags)',
    ),
    isActive: inThread<(domain: DomainPointer) => number>('int virDomainIsActive(void *dom)'),
    isPersistent: inThread<(domain: DomainPointer) => number>(
      'int virDomainIsPersistent(void *dom)',
    ),
    getXml: inThread<(domain: DomainPointer, flags: number) => string | null>(
      'OwnedText virDomainGetXMLDesc(void *domain, unsigned int flags)',
    ),
    getAllStats: inThread<
      (
        connection: ConnectPointer,
        stats: number,
        list: Out<StatsListPointer>,
        flags: number,
      ) => number
    >(
      'int virConnectGetAllDomainStats(void *conn, unsigned int stats, _Out_ void **retStats, unsigned int flags)',
    ),
    /** `domains` ends with a NULL. */
    getStats: inThread<
      (domains: BigUint64Array, stats: number, list: Out<StatsListPointer>, flags: number) => number
    >(
      'int virDomainListGetStats(void *doms, unsigned int stats, _Out_ void **retStats, unsigned int flags)',
    ),
    // libvirt-domain.h: life
    define: inThread<
      (connection: ConnectPointer, xml: string, flags: number) => DomainPointer | null
    >('void *virDomainDefineXMLFlags(void *conn, const char *xml, unsigned int flags)'),
    undefine: inThread<(domain: DomainPointer, flags: number) => number>(
      'int virDomainUndefineFlags(void *domain, unsigned int flags)',
    ),
    create: inThread<(domain: DomainPointer) => number>('int virDomainCreate(void *domain)'),
    shutdown: inThread<(domain: DomainPointer) => number>('int virDomainShutdown(void *domain)'),
    destroy: inThread<(domain: DomainPointer) => number>('int virDomainDestroy(void *domain)'),
    suspend: inThread<(domain: DomainPointer) => number>('int virDomainSuspend(void *domain)'),
    resume: inThread<(domain: DomainPointer) => number>('int virDomainResume(void *domain)'),
    updateDevice: inThread<(domain: DomainPointer, xml: string, flags: number) => number>(
      'int virDomainUpdateDeviceFlags(void *domain, const char *xml, unsigned int flags)',
    ),
    wake: inThread<(domain: DomainPointer, flags: number) => number>(
      'int virDomainPMWakeup(void *domain, unsigned int flags)',
    ),
    reset: inThread<(domain: DomainPointer, flags: number) => number>(
      'int virDomainReset(void *domain, unsigned int flags)',
    ),
    reboot: inThread<(domain: DomainPointer, flags: number) => number>(
      'int virDomainReboot(void *domain, unsigned int flags)',
    ),
    setMetadata: inThread<
      (
        domain: DomainPointer,
        type: number,
        metadata: string,
        key: string,
        uri: string,
        flags: number,
      ) => number
    >(
      'int virDomainSetMetadata(void *domain, int type, const char *metadata, const char *key, const char *uri, unsigned int flags)',
    ),
    // libvirt-domain.h: console and screen
    openConsole: inThread<
      (domain: DomainPointer, device: string | null, stream: StreamPointer, flags: number) => number
    >('int virDomainOpenConsole(void *dom, const char *dev_name, void *st, unsigned int flags)'),
    /** A descriptor. */
    openGraphics: inThread<(domain: DomainPointer, index: number, flags: number) => number>(
      'int virDomainOpenGraphicsFD(void *dom, unsigned int idx, unsigned int flags)',
    ),
    /** The type of what comes by the stream. */
    screenshot: inThread<
      (domain: DomainPointer, stream: StreamPointer, screen: number, flags: number) => string | null
    >(
      'OwnedText virDomainScreenshot(void *domain, void *stream, unsigned int screen, unsigned int flags)',
    ),
    sendKey: inThread<
      (
        domain: DomainPointer,
        codeSet: number,
        holdMs: number,
        codes: Uint32Array,
        count: number,
        flags: number,
      ) => number
    >(
      'int virDomainSendKey(void *domain, unsigned int codeset, unsigned int holdtime, void *keycodes, int nkeycodes, unsigned int flags)',
    ),
    // libvirt-domain.h: the guest agent
    setAgentTimeout: inThread<(domain: DomainPointer, timeoutS: number, flags: number) => number>(
      'int virDomainAgentSetResponseTimeout(void *domain, int timeout, unsigned int flags)',
    ),
    getGuestInfo: inThread<
      (
        domain: DomainPointer,
        types: number,
        parameters: Out<TypedParametersPointer>,
        count: Out<number>,
        flags: number,
      ) => number
    >(
      'int virDomainGetGuestInfo(void *domain, unsigned int types, _Out_ void **params, _Out_ int *nparams, unsigned int flags)',
    ),
    /** How many interfaces there are. */
    getInterfaceAddresses: inThread<
      (
        domain: DomainPointer,
        interfaces: Out<InterfaceListPointer>,
        source: number,
        flags: number,
      ) => number
    >(
      'int virDomainInterfaceAddresses(void *dom, _Out_ void **ifaces, unsigned int source, unsigned int flags)',
    ),
    freezeFileSystems: inThread<
      (domain: DomainPointer, mountPoints: null, count: number, flags: number) => number
    >(
      'int virDomainFSFreeze(void *dom, void *mountpoints, unsigned int nmountpoints, unsigned int flags)',
    ),
    thawFileSystems: inThread<
      (domain: DomainPointer, mountPoints: null, count: number, flags: number) => number
    >(
      'int virDomainFSThaw(void *dom, void *mountpoints, unsigned int nmountpoints, unsigned int flags)',
    ),
    setUserPassword: inThread<
      (domain: DomainPointer, user: string, password: string, flags: number) => number
    >(
      'int virDomainSetUserPassword(void *dom, const char *user, const char *password, unsigned int flags)',
    ),
    /** Seconds are `long long` in the header, and never negative here. */
    setTime: inThread<
      (domain: DomainPointer, seconds: number, nanoseconds: number, flags: number) => number
    >(
      'int virDomainSetTime(void *dom, unsigned long long seconds, unsigned int nseconds, unsigned int flags)',
    ),
    // libvirt-qemu.h
    askAgent: inThread<
      (domain: DomainPointer, command: string, timeoutS: number, flags: number) => string | null
    >(
      'OwnedText virDomainQemuAgentCommand(void *domain, const char *cmd, int timeout, unsigned int flags)',
    ),
    // libvirt-domain.h: migration and jobs
    migrate: inThread<
      (
        domain: DomainPointer,
        uri: string,
        parameters: TypedParametersPointer | null,
        count: number,
        flags: number,
      ) => number
    >(
      'int virDomainMigrateToURI3(void *domain, const char *dconnuri, void *params, unsigned int nparams, unsigned int flags)',
    ),
    setMaxDowntime: inThread<(domain: DomainPointer, downtimeMs: bigint, flags: number) => number>(
      'int virDomainMigrateSetMaxDowntime(void *domain, unsigned long long downtime, unsigned int flags)',
    ),
    getJobStats: inThread<
      (
        domain: DomainPointer,
        type: Out<number>,
        parameters: Out<TypedParametersPointer>,
        count: Out<number>,
        flags: number,
      ) => number
    >(
      'int virDomainGetJobStats(void *domain, _Out_ int *type, _Out_ void **params, _Out_ int *nparams, unsigned int flags)',
    ),
    /** `info` is a virDomainBlockJobInfo. 1: there is a job; 0: there is none. */
    getBlockJobInfo: inThread<
      (domain: DomainPointer, disk: string, info: Buffer, flags: number) => number
    >('int virDomainGetBlockJobInfo(void *dom, const char *disk, void *info, unsigned int flags)'),
    /** `errors` is an array of virDomainDiskError; gives how many of it are set. */
    getDiskErrors: inThread<
      (domain: DomainPointer, errors: Buffer, maxErrors: number, flags: number) => number
    >(
      'int virDomainGetDiskErrors(void *dom, void *errors, unsigned int maxerrors, unsigned int flags)',
    ),
    // libvirt-domain-snapshot.h
    countSnapshots: inThread<(domain: DomainPointer, flags: number) => number>(
      'int virDomainSnapshotNum(void *domain, unsigned int flags)',
    ),
    abortJob: inThread<(domain: DomainPointer) => number>('int virDomainAbortJob(void *domain)'),
    registerDomainEvent: inThread<
      (
        connection: ConnectPointer,
        domain: null,
        eventId: number,
        callback: CallbackPointer,
        data: bigint,
        free: null,
      ) => number
    >(
      'int virConnectDomainEventRegisterAny(void *conn, void *dom, int eventID, void *cb, void *opaque, void *freecb)',
    ),
    deregisterDomainEvent: inThread<(connection: ConnectPointer, callbackId: number) => number>(
      'int virConnectDomainEventDeregisterAny(void *conn, int callbackID)',
    ),
  };

  return {
    addressOf,
    /** Before anything else: without an event loop no connection is kept alive. */
    initialize: atOnce<() => number>('int virInitialize()'),
    // libvirt-event.h
    registerEventLoop: atOnce<() => number>('int virEventRegisterDefaultImpl()'),

    on(thread: CallThread) {
      return {
        /** Features that this libvirt has no function for, with the reason. */
        missing: missing as ReadonlyMap<string, string>,
        lastError: (): NativeError | undefined => thread.lastError,
        ...local,
        ...bindAll(remote, thread),
      };
    },
  };
}

/** What makes a function of C one that is done in a thread. */
type Declared<F> = (thread: CallThread) => InThread<F>;
type Bound<T extends Record<string, Declared<never>>> = { [Name in keyof T]: ReturnType<T[Name]> };

function declareInThread<F>(addressOf: (symbol: string) => bigint, text: string): Declared<F> {
  const prototype = parsePrototype(text);
  const address = addressOf(prototype.name);
  const call = async (thread: CallThread, values: readonly Argument[]): Promise<unknown> => {
    const result = await thread.call(encodeCall(address, prototype, values));
    readOutputs(result.call, prototype, values);
    if (prototype.result !== 'owned-text') return toNumber(result.word, prototype.result);
    if (result.word === 0n) return null;
    try {
      return readText(result.word);
    } finally {
      freeMemory(result.word);
    }
  };
  return (thread) => ((...values: readonly Argument[]) => call(thread, values)) as InThread<F>;
}

function bindAll<T extends Record<string, Declared<never>>>(all: T, thread: CallThread): Bound<T> {
  const bound = Object.entries(all).map(([name, declared]) => [name, declared(thread)]);
  return Object.fromEntries(bound) as Bound<T>;
}

function hasSymbol(library: ReturnType<typeof koffi.load>, symbol: string): boolean {
  try {
    library.symbol(symbol);
    return true;
  } catch {
    return false;
  }
}
