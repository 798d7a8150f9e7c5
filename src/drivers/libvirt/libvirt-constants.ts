/** Numbers from libvirt's public headers; they are part of its ABI and never change. */

/** libvirt-domain.h: virDomainXMLFlags */
export const XML_SECURE = 1;
export const XML_INACTIVE = 2;
export const XML_MIGRATABLE = 8;

/** libvirt-domain.h: virDomainCreateFlags; since 8.1.0 */
export const START_RESET_NVRAM = 32;

/** libvirt-domain.h: virDomainDefineFlags */
export const DEFINE_VALIDATE = 1;

/** libvirt-domain.h: virDomainUndefineFlagsValues */
export const UNDEFINE_MANAGED_SAVE = 1;
export const UNDEFINE_SNAPSHOTS_METADATA = 2;
export const UNDEFINE_NVRAM = 4;
/** libvirt-host.h: virConnectCompareCPUFlags */
export const COMPARE_CPU_FAIL_INCOMPATIBLE = 1;
export const UNDEFINE_CHECKPOINTS_METADATA = 16;

/** libvirt-domain.h: virDomainModificationImpact */
export const AFFECT_LIVE = 1;
export const AFFECT_CONFIG = 2;
/** virDomainBlockResizeFlags */
export const BLOCK_RESIZE_BYTES = 1;

/** libvirt-domain.h: virDomainDeviceModifyFlags, beside those of virDomainModificationImpact */
export const DEVICE_MODIFY_FORCE = 4;

/** libvirt-domain.h: virDomainRebootFlagValues */
export const REBOOT_ACPI_POWER_BUTTON = 1;

/** libvirt-domain.h: virDomainMetadataType */
export const METADATA_ELEMENT = 2;

/** libvirt-domain.h: virConnectListAllDomainsFlags, also filters of virConnectGetAllDomainStats */
export const LIST_TRANSIENT = 8;

/** libvirt-domain.h: virDomainStatsTypes */
export const STATS_STATE = 1;
export const STATS_CPU_TOTAL = 2;
export const STATS_BALLOON = 4;
export const STATS_VCPU = 8;
export const STATS_INTERFACE = 16;
export const STATS_BLOCK = 32;

/** libvirt-domain.h: virConnectGetAllDomainStatsFlags; leaves out what a busy domain would make us wait for */
export const STATS_NOWAIT = 1 << 29;

/** libvirt-domain.h: virDomainMigrateFlags */
export const MIGRATE_LIVE = 1;
export const MIGRATE_PEER2PEER = 2;
export const MIGRATE_PERSIST_DEST = 8;
export const MIGRATE_UNDEFINE_SOURCE = 16;
export const MIGRATE_UNSAFE = 512;
export const MIGRATE_ABORT_ON_ERROR = 4096;

/** libvirt-domain.h: VIR_MIGRATE_PARAM_* */
export const MIGRATE_PARAM_URI = 'migrate_uri';
export const MIGRATE_PARAM_DEST_XML = 'destination_xml';
export const MIGRATE_PARAM_PERSIST_XML = 'persistent_xml';
export const MIGRATE_PARAM_BANDWIDTH = 'bandwidth';

/** libvirt-domain.h: size of struct _virDomainBlockJobInfo */
export const BLOCK_JOB_INFO_BYTES = 32;

/** libvirt-domain.h: virDomainGetJobStatsFlags */
export const JOB_STATS_COMPLETED = 1;
export const JOB_STATS_KEEP_COMPLETED = 2;

/** libvirt-domain.h: virDomainEventID */
export const EVENT_ID_LIFECYCLE = 0;
export const EVENT_ID_REBOOT = 1;
export const EVENT_ID_WATCHDOG = 3;
export const EVENT_ID_TRAY_CHANGE = 10;
export const EVENT_ID_DEVICE_REMOVED = 15;
export const EVENT_ID_AGENT_LIFECYCLE = 18;
export const EVENT_ID_DEVICE_ADDED = 19;
export const EVENT_ID_DEVICE_REMOVAL_FAILED = 22;
export const EVENT_ID_MIGRATION_ITERATION = 20;
export const EVENT_ID_JOB_COMPLETED = 21;
export const EVENT_ID_METADATA_CHANGE = 23;
/** None of libvirt's: call-threads.c gives it to the end of a connection. */
export const EVENT_ID_CLOSED = 1000;

/** libvirt-stream.h: virStreamFlags */
export const STREAM_NONBLOCK = 1;

/** libvirt-domain.h: virDomainConsoleFlags */
export const CONSOLE_FORCE = 1;
export const CONSOLE_SAFE = 2;

/** libvirt-domain.h: virKeycodeSet */
export const KEYCODES_LINUX = 0;
/** libvirt-domain.h: virDomainGuestInfoTypes */
export const GUEST_INFO_USERS = 1;
export const GUEST_INFO_OS = 2;
export const GUEST_INFO_TIMEZONE = 4;
export const GUEST_INFO_HOSTNAME = 8;
export const GUEST_INFO_FILESYSTEM = 16;

/** libvirt-domain.h: virDomainInterfaceAddressesSource */
export const ADDRESSES_OF_LEASES = 0;
export const ADDRESSES_OF_AGENT = 1;
export const ADDRESSES_OF_ARP = 2;

/** libvirt-domain.h: virDomainSetUserPasswordFlags */
export const PASSWORD_ENCRYPTED = 1;

/** libvirt-domain.h: virDomainState */
export const DOMAIN_RUNNING = 1;
export const DOMAIN_PAUSED = 3;
export const DOMAIN_PM_SUSPENDED = 7;

/** libvirt-domain.h: virDomainPausedReason */
export const PAUSED_MIGRATION = 2;
export const PAUSED_STARTING_UP = 11;

/** libvirt-host.h: VIR_UUID_STRING_BUFLEN */
export const UUID_STRING_BUFFER_BYTES = 37;
