import koffi from 'koffi';

/**
 * libvirt's C functions. Every prototype stands below the header it was read from; a wrong one crashes the
 * process instead of failing. Calls block their thread, and libvirt keeps its last error per thread, so they are
 * made synchronously in Workers and the error is read in the same Worker right after the call.
 */

declare const pointee: unique symbol;
type Pointer<Name extends string> = bigint & { readonly [pointee]: Name };

export type ConnectPointer = Pointer<'virConnect'>;
export type DomainPointer = Pointer<'virDomain'>;
export type StatsListPointer = Pointer<'virDomainStatsRecordPtr[]'>;
export type DomainListPointer = Pointer<'virDomainPtr[]'>;
export type TypedParametersPointer = Pointer<'virTypedParameter[]'>;
export type CallbackPointer = Pointer<'callback'>;
type ErrorPointer = Pointer<'virError'>;

/** What C writes its result to. */
export type Out<T> = [T | null];

const libc = koffi.load('libc.so.6');
const free = libc.func('void free(void *memory)');
// Returned strings belong to the caller: koffi copies and then frees them.
koffi.disposable('OwnedString', 'str', free);

// virterror.h: struct _virError
const virError = koffi.struct({
  code: 'int',
  domain: 'int',
  message: 'str',
  level: 'int',
  conn: 'void *',
  dom: 'void *',
  str1: 'str',
  str2: 'str',
  str3: 'str',
  int1: 'int',
  int2: 'int',
  net: 'void *',
});

/** The fields of virError that we use; `int1` is errno for system errors. */
export interface NativeError {
  readonly code: number;
  readonly domain: number;
  readonly message: string | null;
  readonly int1: number;
}

/** Symbols that may be missing from an older libvirt, and what is then missing from the node. */
export const OPTIONAL_SYMBOLS = {
  'dirty-rate': 'virDomainStartDirtyRateCalc',
  'max-downtime-query': 'virDomainMigrateGetMaxDowntime',
  'postcopy-pause': 'virDomainAbortJobFlags',
} as const;

export type Libvirt = ReturnType<typeof loadLibvirt>;

/** Loads libvirt; throws if it, or a function that the driver cannot do without, is missing. */
export function loadLibvirt(path = 'libvirt.so.0') {
  const library = koffi.load(path);
  const missing = new Map<string, string>();
  for (const [feature, symbol] of Object.entries(OPTIONAL_SYMBOLS)) {
    if (!hasSymbol(library, symbol)) missing.set(feature, `libvirt has no ${symbol}`);
  }
  // The type is ours to say: koffi knows prototypes only at run time.
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters
  const declare = <T>(prototype: string): T => library.func(prototype) as unknown as T;

  const getLastError = declare<() => ErrorPointer | null>('void *virGetLastError()');
  // virterror.h; any C function will do as a handler that ignores its arguments, and unlike a JavaScript one it
  // may be called from every thread. Without it libvirt prints each error.
  const setErrorFunction = declare<(data: null, handler: unknown) => void>(
    'void virSetErrorFunc(void *userData, void *handler)',
  );
  setErrorFunction(null, libc.symbol('labs'));

  return {
    /** Features that this libvirt has no function for, with the reason. */
    missing: missing as ReadonlyMap<string, string>,

    // virterror.h
    resetLastError: declare<() => void>('void virResetLastError()'),
    /** The error of the last failed call of this thread. */
    lastError(): NativeError | undefined {
      const pointer = getLastError();
      return pointer === null ? undefined : (koffi.decode(pointer, virError) as NativeError);
    },

    // libvirt-host.h
    initialize: declare<() => number>('int virInitialize()'),
    getVersion: declare<(version: Out<number>, type: null, typeVersion: null) => number>(
      'int virGetVersion(_Out_ unsigned long *libVer, const char *type, void *typeVer)',
    ),
    open: declare<(uri: string) => ConnectPointer | null>('void *virConnectOpen(const char *name)'),
    close: declare<(connection: ConnectPointer) => number>('int virConnectClose(void *conn)'),
    isAlive: declare<(connection: ConnectPointer) => number>('int virConnectIsAlive(void *conn)'),
    setKeepAlive: declare<(connection: ConnectPointer, intervalS: number, count: number) => number>(
      'int virConnectSetKeepAlive(void *conn, int interval, unsigned int count)',
    ),
    registerCloseCallback: declare<
      (connection: ConnectPointer, callback: CallbackPointer, data: null, free: null) => number
    >('int virConnectRegisterCloseCallback(void *conn, void *cb, void *opaque, void *freecb)'),
    unregisterCloseCallback: declare<
      (connection: ConnectPointer, callback: CallbackPointer) => number
    >('int virConnectUnregisterCloseCallback(void *conn, void *cb)'),
    getHostname: declare<(connection: ConnectPointer) => string | null>(
      'OwnedString virConnectGetHostname(void *conn)',
    ),
    getUri: declare<(connection: ConnectPointer) => string | null>(
      'OwnedString virConnectGetURI(void *conn)',
    ),
    getCapabilities: declare<(connection: ConnectPointer) => string | null>(
      'OwnedString virConnectGetCapabilities(void *conn)',
    ),
    compareHypervisorCpu: declare<
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
    getHypervisorVersion: declare<(connection: ConnectPointer, version: Out<number>) => number>(
      'int virConnectGetVersion(void *conn, _Out_ unsigned long *hvVer)',
    ),
    getLibraryVersion: declare<(connection: ConnectPointer, version: Out<number>) => number>(
      'int virConnectGetLibVersion(void *conn, _Out_ unsigned long *libVer)',
    ),

    // libvirt-domain.h: finding
    lookupByUuid: declare<(connection: ConnectPointer, uuid: string) => DomainPointer | null>(
      'void *virDomainLookupByUUIDString(void *conn, const char *uuid)',
    ),
    lookupByName: declare<(connection: ConnectPointer, name: string) => DomainPointer | null>(
      'void *virDomainLookupByName(void *conn, const char *name)',
    ),
    listAllDomains: declare<
      (connection: ConnectPointer, domains: Out<DomainListPointer>, flags: number) => number
    >('int virConnectListAllDomains(void *conn, _Out_ void **domains, unsigned int flags)'),
    freeDomain: declare<(domain: DomainPointer) => number>('int virDomainFree(void *domain)'),
    getName: declare<(domain: DomainPointer) => string>(
      'const char *virDomainGetName(void *domain)',
    ),
    getUuid: declare<(domain: DomainPointer, buffer: Buffer) => number>(
      'int virDomainGetUUIDString(void *domain, void *buf)',
    ),
    /** 4294967295 for a domain that is not active. */
    getId: declare<(domain: DomainPointer) => number>('unsigned int virDomainGetID(void *domain)'),

    // libvirt-domain.h: state
    getState: declare<
      (domain: DomainPointer, state: Out<number>, reason: Out<number>, flags: number) => number
    >(
      'int virDomainGetState(void *domain, _Out_ int *state, _Out_ int *reason, unsigned int flags)',
    ),
    isActive: declare<(domain: DomainPointer) => number>('int virDomainIsActive(void *dom)'),
    isPersistent: declare<(domain: DomainPointer) => number>(
      'int virDomainIsPersistent(void *dom)',
    ),
    getXml: declare<(domain: DomainPointer, flags: number) => string | null>(
      'OwnedString virDomainGetXMLDesc(void *domain, unsigned int flags)',
    ),
    getAllStats: declare<
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
    getStats: declare<
      (domains: BigUint64Array, stats: number, list: Out<StatsListPointer>, flags: number) => number
    >(
      'int virDomainListGetStats(void *doms, unsigned int stats, _Out_ void **retStats, unsigned int flags)',
    ),
    freeStats: declare<(list: StatsListPointer) => void>(
      'void virDomainStatsRecordListFree(void *stats)',
    ),

    // libvirt-domain.h: life
    define: declare<
      (connection: ConnectPointer, xml: string, flags: number) => DomainPointer | null
    >('void *virDomainDefineXMLFlags(void *conn, const char *xml, unsigned int flags)'),
    undefine: declare<(domain: DomainPointer, flags: number) => number>(
      'int virDomainUndefineFlags(void *domain, unsigned int flags)',
    ),
    create: declare<(domain: DomainPointer) => number>('int virDomainCreate(void *domain)'),
    shutdown: declare<(domain: DomainPointer) => number>('int virDomainShutdown(void *domain)'),
    destroy: declare<(domain: DomainPointer) => number>('int virDomainDestroy(void *domain)'),
    suspend: declare<(domain: DomainPointer) => number>('int virDomainSuspend(void *domain)'),
    resume: declare<(domain: DomainPointer) => number>('int virDomainResume(void *domain)'),
    updateDevice: declare<(domain: DomainPointer, xml: string, flags: number) => number>(
      'int virDomainUpdateDeviceFlags(void *domain, const char *xml, unsigned int flags)',
    ),
    wake: declare<(domain: DomainPointer, flags: number) => number>(
      'int virDomainPMWakeup(void *domain, unsigned int flags)',
    ),
    reset: declare<(domain: DomainPointer, flags: number) => number>(
      'int virDomainReset(void *domain, unsigned int flags)',
    ),
    reboot: declare<(domain: DomainPointer, flags: number) => number>(
      'int virDomainReboot(void *domain, unsigned int flags)',
    ),
    setMetadata: declare<
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

    // libvirt-domain.h: migration and jobs
    migrate: declare<
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
    setMaxDowntime: declare<(domain: DomainPointer, downtimeMs: bigint, flags: number) => number>(
      'int virDomainMigrateSetMaxDowntime(void *domain, unsigned long long downtime, unsigned int flags)',
    ),
    getJobStats: declare<
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
    getBlockJobInfo: declare<
      (domain: DomainPointer, disk: string, info: Buffer, flags: number) => number
    >('int virDomainGetBlockJobInfo(void *dom, const char *disk, void *info, unsigned int flags)'),
    // libvirt-domain-snapshot.h
    countSnapshots: declare<(domain: DomainPointer, flags: number) => number>(
      'int virDomainSnapshotNum(void *domain, unsigned int flags)',
    ),
    abortJob: declare<(domain: DomainPointer) => number>('int virDomainAbortJob(void *domain)'),

    // libvirt-common.h: typed parameters
    addString: declare<
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
    addUnsignedLong: declare<
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
    freeParameters: declare<(parameters: TypedParametersPointer | null, count: number) => void>(
      'void virTypedParamsFree(void *params, int nparams)',
    ),

    // libvirt-event.h and the event part of libvirt-domain.h
    registerEventLoop: declare<() => number>('int virEventRegisterDefaultImpl()'),
    runEventLoop: declare<() => number>('int virEventRunDefaultImpl()'),
    addTimeout: declare<
      (delayMs: number, callback: CallbackPointer, data: null, free: null) => number
    >('int virEventAddTimeout(int frequency, void *cb, void *opaque, void *ff)'),
    updateTimeout: declare<(timer: number, delayMs: number) => void>(
      'void virEventUpdateTimeout(int timer, int frequency)',
    ),
    registerDomainEvent: declare<
      (
        connection: ConnectPointer,
        domain: null,
        eventId: number,
        callback: CallbackPointer,
        data: null,
        free: null,
      ) => number
    >(
      'int virConnectDomainEventRegisterAny(void *conn, void *dom, int eventID, void *cb, void *opaque, void *freecb)',
    ),
    deregisterDomainEvent: declare<(connection: ConnectPointer, callbackId: number) => number>(
      'int virConnectDomainEventDeregisterAny(void *conn, int callbackID)',
    ),
  };
}

// string.h
const memcpy = libc.func('void *memcpy(void *destination, const void *source, size_t bytes)');

/** Copies C memory, so that nothing points into it once it is freed. */
export function copyMemory(source: bigint, bytes: number): Buffer {
  const copy = Buffer.allocUnsafe(bytes);
  if (bytes > 0) memcpy(copy, source, bytes);
  return copy;
}

/** Frees what libvirt asks its callers to free() themselves. */
export function freeMemory(memory: bigint): void {
  free(memory);
}

/** Makes a C callback of a function. It is called in this thread only, and lives as long as the thread. */
export function createCallback(prototype: string, callback: (...values: never[]) => unknown) {
  return koffi.register(callback, koffi.pointer(koffi.proto(prototype))) as CallbackPointer;
}

function hasSymbol(library: ReturnType<typeof koffi.load>, symbol: string): boolean {
  try {
    library.symbol(symbol);
    return true;
  } catch {
    return false;
  }
}
