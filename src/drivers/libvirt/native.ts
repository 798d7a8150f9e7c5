import koffi from 'koffi';
import type { Out } from './c-call.ts';
import type { CallThread, NativeError } from './call-threads.ts';
import { declareDaemonFunctions } from './daemon-functions.ts';
import type {
  ConnectPointer,
  DomainPointer,
  SecretPointer,
  StatsListPointer,
  StreamPointer,
  TypedParametersPointer,
} from './native-pointers.ts';
import { relayStarter } from './stream-relay.ts';
import { bindAll } from './thread-functions.ts';

/**
 * libvirt's C functions. Every prototype stands below the header it was read from; a wrong one crashes the process instead of
 * failing. What only looks at memory is done at once; `daemon-functions.ts` has what is done in a thread of its own.
 */

/** Symbols that may be missing from an older libvirt, and what is then missing from the node. */
export const OPTIONAL_SYMBOLS = {
  'dirty-rate': 'virDomainStartDirtyRateCalc',
  'max-downtime-query': 'virDomainMigrateGetMaxDowntime',
  'postcopy-pause': 'virDomainAbortJobFlags',
} as const;

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
    // libvirt-secret.h
    freeSecret: atOnce<(secret: SecretPointer) => number>('int virSecretFree(void *secret)'),
    getSecretUsage: atOnce<(secret: SecretPointer) => string | null>(
      'const char *virSecretGetUsageID(void *secret)',
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
  const remote = declareDaemonFunctions(addressOf);

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

function hasSymbol(library: ReturnType<typeof koffi.load>, symbol: string): boolean {
  try {
    library.symbol(symbol);
    return true;
  } catch {
    return false;
  }
}
