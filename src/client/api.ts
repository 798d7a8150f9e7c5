/** The API's messages, for users of the client. Enums are number constants, 64-bit numbers are bigints. */
export { Duration } from '../gen/google/protobuf/duration.ts';
export { Timestamp } from '../gen/google/protobuf/timestamp.ts';
export {
  type Condition,
  ConditionStatus,
  ObjectMeta,
  type ReportOrigin,
} from '../gen/novacron/agent/v1/common.ts';
export {
  ConsoleMode,
  type ConsoleOpened,
  OpenConsoleResponse,
} from '../gen/novacron/agent/v1/console.ts';
export { Event, EventType } from '../gen/novacron/agent/v1/event.ts';
export {
  type Guest,
  GuestAddressSource,
  type RunGuestCommandResponse,
} from '../gen/novacron/agent/v1/guest.ts';
export { Image, PullImageResponse } from '../gen/novacron/agent/v1/image.ts';
export {
  Migration,
  MigrationImageVerdict,
  MigrationMode,
  MigrationPhase,
  type MigrationProgress,
  type MigrationResult,
  MigrationRole,
  MigrationSpec,
  type PlanMigrationResponse,
} from '../gen/novacron/agent/v1/migration.ts';
export {
  type ControllerStatus,
  Node,
  NodeShutdown,
  type NodeSpec,
  type NodeStatus,
  type Reservation,
  VirtualMachineShutdown,
  VirtualMachineShutdownState,
} from '../gen/novacron/agent/v1/node.ts';
export {
  Operation,
  OperationKind,
  type OperationProgress,
  OperationState,
} from '../gen/novacron/agent/v1/operation.ts';
export {
  ApplyOutcome,
  type ApplyVirtualMachineResponse,
  ChangeEffect,
  VirtualMachine,
  VirtualMachinePhase,
} from '../gen/novacron/agent/v1/virtual_machine.ts';
