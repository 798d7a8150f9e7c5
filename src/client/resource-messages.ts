import { MessageMapping } from '../core/resources/message-mapping.ts';
import { machineForm, virtualMachineForm } from '../core/resources/resource-forms.ts';
import type { virtualMachine } from '../core/resources/virtual-machine.ts';
import type * as z from '../core/zod.ts';
import { ConditionStatus } from '../gen/novacron/agent/v1/common.ts';
import { InterfaceModel, LinkState } from '../gen/novacron/agent/v1/interface.ts';
import {
  AccessMode,
  ClockOffset,
  CloudInitDataSource,
  DisplayType,
  FirmwareType,
  GuestOs,
  ImageClone,
  ImageFormat,
  ImagePullPolicy,
  IoErrorResume,
  Ipv4Method,
  type MachineSpec,
  NetworkType,
  NvramPolicy,
  PendingChangeWait,
  RunStrategy,
  SecureBootKeys,
  UpdateStrategyType,
  VideoModel,
  VirtualMachine,
  VirtualMachinePhase,
  VolumeBus,
  VolumeCache,
  VolumeDiscard,
  VolumeErrorPolicy,
  VolumeFormat,
  VolumeIo,
  VolumeKind,
  WatchdogAction,
  WatchdogModel,
} from '../gen/novacron/agent/v1/virtual_machine.ts';

/** Leads resources between the manifest's form and the API's messages; a test compares the schema with the proto. */
const mapping = new MessageMapping({
  ACCESS_MODE: AccessMode,
  CLOCK_OFFSET: ClockOffset,
  CLOUD_INIT_DATA_SOURCE: CloudInitDataSource,
  CONDITION_STATUS: ConditionStatus,
  DISPLAY_TYPE: DisplayType,
  FIRMWARE_TYPE: FirmwareType,
  GUEST_OS: GuestOs,
  INTERFACE_MODEL: InterfaceModel,
  IO_ERROR_RESUME: IoErrorResume,
  IPV4_METHOD: Ipv4Method,
  LINK_STATE: LinkState,
  PENDING_CHANGE_WAIT: PendingChangeWait,
  NETWORK_TYPE: NetworkType,
  NVRAM_POLICY: NvramPolicy,
  RUN_STRATEGY: RunStrategy,
  SECURE_BOOT_KEYS: SecureBootKeys,
  UPDATE_STRATEGY_TYPE: UpdateStrategyType,
  VIDEO_MODEL: VideoModel,
  VIRTUAL_MACHINE_PHASE: VirtualMachinePhase,
  VOLUME_BUS: VolumeBus,
  IMAGE_CLONE: ImageClone,
  IMAGE_FORMAT: ImageFormat,
  IMAGE_PULL_POLICY: ImagePullPolicy,
  VOLUME_CACHE: VolumeCache,
  VOLUME_DISCARD: VolumeDiscard,
  VOLUME_ERROR_POLICY: VolumeErrorPolicy,
  VOLUME_FORMAT: VolumeFormat,
  VOLUME_IO: VolumeIo,
  VOLUME_KIND: VolumeKind,
  WATCHDOG_ACTION: WatchdogAction,
  WATCHDOG_MODEL: WatchdogModel,
});

type VmDocument = z.output<typeof virtualMachine>;
/** Without a spec: a VM whose spec nobody could read. */
type VmReport = Omit<VmDocument, 'spec'> & { readonly spec: VmDocument['spec'] | undefined };

/** The message of a VM in the form of its manifest, defaults filled in. */
export function toVirtualMachineMessage(document: VmReport): VirtualMachine {
  // What a manifest leaves out and a message cannot, such as a text, takes the message's own default.
  return VirtualMachine.fromPartial(
    mapping.toMessage(virtualMachineForm, document) as VirtualMachine,
  );
}

/** A VM's manifest from its message, not yet checked; what is empty is left out. */
export function fromVirtualMachineMessage(message: VirtualMachine): Partial<VmDocument> {
  return mapping.fromMessage(virtualMachineForm, message) as Partial<VmDocument>;
}

/** `spec.template.spec` from its message, not yet checked. */
export function fromMachineMessage(message: MachineSpec): unknown {
  return mapping.fromMessage(machineForm, message);
}
