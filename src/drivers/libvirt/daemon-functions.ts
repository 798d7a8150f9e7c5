import type { Out } from './c-call.ts';
import type {
  CallbackPointer,
  ConnectPointer,
  DomainListPointer,
  DomainPointer,
  InterfaceListPointer,
  SecretListPointer,
  SecretPointer,
  StatsListPointer,
  StreamPointer,
  TypedParametersPointer,
} from './native-pointers.ts';
import { declareInThread } from './thread-functions.ts';

/** What asks libvirt's daemon, and so may block. As in `native.ts`, every prototype stands below the header it was read from. */
export function declareDaemonFunctions(addressOf: (symbol: string) => bigint) {
  const inThread = <F>(prototype: string) => declareInThread<F>(addressOf, prototype);
  return {
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
    // libvirt-secret.h
    defineSecret: inThread<
      (connection: ConnectPointer, xml: string, flags: number) => SecretPointer | null
    >('void *virSecretDefineXML(void *conn, const char *xml, unsigned int flags)'),
    setSecretValue: inThread<
      (secret: SecretPointer, value: Buffer, bytes: number, flags: number) => number
    >(
      'int virSecretSetValue(void *secret, void *value, unsigned long value_size, unsigned int flags)',
    ),
    undefineSecret: inThread<(secret: SecretPointer) => number>(
      'int virSecretUndefine(void *secret)',
    ),
    listAllSecrets: inThread<
      (connection: ConnectPointer, secrets: Out<SecretListPointer>, flags: number) => number
    >('int virConnectListAllSecrets(void *conn, _Out_ void **secrets, unsigned int flags)'),
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
    create: inThread<(domain: DomainPointer, flags: number) => number>(
      'int virDomainCreateWithFlags(void *domain, unsigned int flags)',
    ),
    shutdown: inThread<(domain: DomainPointer) => number>('int virDomainShutdown(void *domain)'),
    destroy: inThread<(domain: DomainPointer) => number>('int virDomainDestroy(void *domain)'),
    suspend: inThread<(domain: DomainPointer) => number>('int virDomainSuspend(void *domain)'),
    resume: inThread<(domain: DomainPointer) => number>('int virDomainResume(void *domain)'),
    updateDevice: inThread<(domain: DomainPointer, xml: string, flags: number) => number>(
      'int virDomainUpdateDeviceFlags(void *domain, const char *xml, unsigned int flags)',
    ),
    attachDevice: inThread<(domain: DomainPointer, xml: string, flags: number) => number>(
      'int virDomainAttachDeviceFlags(void *domain, const char *xml, unsigned int flags)',
    ),
    detachDevice: inThread<(domain: DomainPointer, xml: string, flags: number) => number>(
      'int virDomainDetachDeviceFlags(void *domain, const char *xml, unsigned int flags)',
    ),
    /** `size` in bytes with the flag for it. */
    resizeDisk: inThread<
      (domain: DomainPointer, disk: string, size: bigint, flags: number) => number
    >(
      'int virDomainBlockResize(void *dom, const char *disk, unsigned long long size, unsigned int flags)',
    ),
    /** Three numbers of 64 bits: what the guest sees, what is allocated, what is there. */
    getDiskInfo: inThread<
      (domain: DomainPointer, disk: string, info: Buffer, flags: number) => number
    >('int virDomainGetBlockInfo(void *domain, const char *disk, void *info, unsigned int flags)'),
    setVcpus: inThread<(domain: DomainPointer, count: number, flags: number) => number>(
      'int virDomainSetVcpusFlags(void *domain, unsigned int nvcpus, unsigned int flags)',
    ),
    setMemory: inThread<(domain: DomainPointer, kib: number, flags: number) => number>(
      'int virDomainSetMemoryFlags(void *domain, unsigned long memory, unsigned int flags)',
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
    // libvirt-domain.h: what it does by itself
    getAutostart: inThread<(domain: DomainPointer, autostart: Out<number>) => number>(
      'int virDomainGetAutostart(void *domain, _Out_ int *autostart)',
    ),
    setAutostart: inThread<(domain: DomainPointer, autostart: number) => number>(
      'int virDomainSetAutostart(void *domain, int autostart)',
    ),
    getSavedXml: inThread<(domain: DomainPointer, flags: number) => string | null>(
      'OwnedText virDomainManagedSaveGetXMLDesc(void *domain, unsigned int flags)',
    ),
    hasManagedSave: inThread<(domain: DomainPointer, flags: number) => number>(
      'int virDomainHasManagedSaveImage(void *dom, unsigned int flags)',
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
    getGuestVcpus: inThread<
      (
        domain: DomainPointer,
        parameters: Out<TypedParametersPointer>,
        count: Out<number>,
        flags: number,
      ) => number
    >(
      'int virDomainGetGuestVcpus(void *domain, _Out_ void **params, _Out_ unsigned int *nparams, unsigned int flags)',
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
}
