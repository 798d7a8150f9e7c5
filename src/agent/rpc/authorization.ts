import { AgentError, hasReason } from '../../core/errors.ts';
import type { Caller, Role } from './identity.ts';

interface MethodRule {
  readonly roles: readonly Role[];
  /** Calls that change something are written to the audit log. */
  readonly changes: boolean;
  /** So are those that tell what is the guest's own. */
  readonly readsSecrets?: true;
}

const LOOKS: MethodRule = { roles: ['controller', 'operator', 'viewer'], changes: false };
const CHANGES: MethodRule = { roles: ['controller', 'operator'], changes: true };
// A console may show passwords and keys, so looking is not enough.
const READS_SECRETS: MethodRule = {
  roles: ['controller', 'operator'],
  changes: false,
  readsSecrets: true,
};
/** Whoever may type sees, too. */
const CHANGES_AND_READS_SECRETS: MethodRule = { ...READS_SECRETS, changes: true };
/** Asked once a second for as long as it takes; the log says once what has begun, and who wanted it. */
const ASKS_AGAIN: MethodRule = { ...CHANGES, changes: false };
const PEER_LOOKS: MethodRule = { roles: ['peer'], changes: false };
const PEER_CHANGES: MethodRule = { roles: ['peer'], changes: true };
// Figures that come once a second are no change that the audit log should have.
const PEER_TELLS = PEER_LOOKS;
const ANYONE: MethodRule = { roles: ['controller', 'operator', 'viewer', 'peer'], changes: false };

const MAY_NAME_ADDRESSES: readonly Role[] = ['controller', 'operator'];

/** Who may call what. A method that is not listed is refused. */
export const METHOD_RULES: Readonly<Record<string, MethodRule>> = {
  '/novacron.agent.v1.VirtualMachineService/CreateVirtualMachine': CHANGES,
  '/novacron.agent.v1.VirtualMachineService/ApplyVirtualMachine': CHANGES,
  '/novacron.agent.v1.VirtualMachineService/AdoptVirtualMachine': CHANGES,
  '/novacron.agent.v1.VirtualMachineService/GetVirtualMachine': LOOKS,
  '/novacron.agent.v1.VirtualMachineService/ListVirtualMachines': LOOKS,
  '/novacron.agent.v1.VirtualMachineService/WatchVirtualMachines': LOOKS,
  '/novacron.agent.v1.VirtualMachineService/StartVirtualMachine': CHANGES,
  '/novacron.agent.v1.VirtualMachineService/ShutdownVirtualMachine': CHANGES,
  '/novacron.agent.v1.VirtualMachineService/DestroyVirtualMachine': CHANGES,
  '/novacron.agent.v1.VirtualMachineService/SuspendVirtualMachine': CHANGES,
  '/novacron.agent.v1.VirtualMachineService/ResumeVirtualMachine': CHANGES,
  '/novacron.agent.v1.VirtualMachineService/ResetVirtualMachine': CHANGES,
  '/novacron.agent.v1.VirtualMachineService/RebootVirtualMachine': CHANGES,
  '/novacron.agent.v1.VirtualMachineService/RestartVirtualMachine': CHANGES,
  '/novacron.agent.v1.VirtualMachineService/EjectMedium': CHANGES,
  '/novacron.agent.v1.VirtualMachineService/InsertMedium': CHANGES,
  '/novacron.agent.v1.VirtualMachineService/DeleteVirtualMachine': CHANGES,
  '/novacron.agent.v1.VirtualMachineService/GetConsoleLog': READS_SECRETS,

  '/novacron.agent.v1.ConsoleService/OpenConsole': CHANGES_AND_READS_SECRETS,
  '/novacron.agent.v1.ConsoleService/OpenDisplay': CHANGES_AND_READS_SECRETS,
  '/novacron.agent.v1.ConsoleService/GetScreenshot': READS_SECRETS,
  '/novacron.agent.v1.ConsoleService/SendKeys': CHANGES,
  '/novacron.agent.v1.GuestService/GetGuest': LOOKS,
  '/novacron.agent.v1.GuestService/RunGuestCommand': CHANGES,
  '/novacron.agent.v1.GuestService/SetGuestPassword': CHANGES,
  '/novacron.agent.v1.GuestService/FreezeGuest': CHANGES,
  '/novacron.agent.v1.GuestService/ThawGuest': CHANGES,
  '/novacron.agent.v1.GuestService/SyncGuestTime': CHANGES,

  '/novacron.agent.v1.MigrationService/PlanMigration': LOOKS,
  '/novacron.agent.v1.MigrationService/StartMigration': CHANGES,
  '/novacron.agent.v1.MigrationService/GetMigration': LOOKS,
  '/novacron.agent.v1.MigrationService/ListMigrations': LOOKS,
  '/novacron.agent.v1.MigrationService/WatchMigrations': LOOKS,
  '/novacron.agent.v1.MigrationService/CancelMigration': CHANGES,
  '/novacron.agent.v1.MigrationService/SettleMigration': CHANGES,

  '/novacron.agent.v1.OperationService/GetOperation': LOOKS,
  '/novacron.agent.v1.OperationService/ListOperations': LOOKS,
  '/novacron.agent.v1.OperationService/WatchOperations': LOOKS,
  '/novacron.agent.v1.OperationService/CancelOperation': CHANGES,

  '/novacron.agent.v1.EventService/ListEvents': LOOKS,
  '/novacron.agent.v1.EventService/WatchEvents': LOOKS,

  '/novacron.agent.v1.ImageService/ListImages': LOOKS,
  '/novacron.agent.v1.ImageService/PullImage': ASKS_AGAIN,
  '/novacron.agent.v1.ImageService/RemoveImage': CHANGES,
  '/novacron.agent.v1.ImageService/VerifyImage': CHANGES,

  '/novacron.agent.v1.NodeService/GetNode': LOOKS,
  '/novacron.agent.v1.NodeService/WatchNode': LOOKS,
  '/novacron.agent.v1.NodeService/UpdateNode': CHANGES,
  '/novacron.agent.v1.NodeService/AcceptUnidentifiedVirtualMachines': CHANGES,
  '/novacron.agent.v1.NodeService/ShutDownVirtualMachines': CHANGES,
  '/novacron.agent.v1.NodeService/AbortShutdown': CHANGES,
  '/novacron.agent.v1.NodeService/Reserve': CHANGES,
  '/novacron.agent.v1.NodeService/Release': CHANGES,
  '/novacron.agent.v1.NodeService/ListReservations': LOOKS,

  '/novacron.peer.v1.PeerService/Handshake': PEER_LOOKS,
  '/novacron.peer.v1.PeerService/CheckIncoming': PEER_LOOKS,
  '/novacron.peer.v1.PeerService/CompareImages': PEER_LOOKS,
  '/novacron.peer.v1.PeerService/PrepareIncoming': PEER_CHANGES,
  '/novacron.peer.v1.PeerService/GetIncoming': PEER_LOOKS,
  '/novacron.peer.v1.PeerService/ReportProgress': PEER_TELLS,
  '/novacron.peer.v1.PeerService/ReleaseIncoming': PEER_CHANGES,
  '/novacron.peer.v1.PeerService/LocateVirtualMachine': PEER_LOOKS,
  '/novacron.peer.v1.PeerService/HandOverVirtualMachine': PEER_CHANGES,

  '/grpc.health.v1.Health/Check': ANYONE,
  '/grpc.health.v1.Health/List': ANYONE,
  '/grpc.health.v1.Health/Watch': ANYONE,
  '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo': LOOKS,
  '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo': LOOKS,
};

/** Fails with PERMISSION_DENIED unless the table lets the caller's role call the method. */
export function authorize(method: string, caller: Caller): void {
  const rule = Object.hasOwn(METHOD_RULES, method) ? METHOD_RULES[method] : undefined;
  if (rule?.roles.includes(caller.role) === true) return;
  const need = rule === undefined ? '' : `; that needs the role ${rule.roles.join(' or ')}`;
  throw denied(caller, `call ${method}${need}`, { method });
}

/**
 * Fails with PERMISSION_DENIED unless the caller may have the agent connect to an address of its choice: whoever only looks may
 * learn of the nodes that are configured, and not have others found, or knocked at, from inside the cluster.
 */
export function authorizeAddress(caller: Caller): void {
  if (MAY_NAME_ADDRESSES.includes(caller.role)) return;
  throw denied(
    caller,
    `give the address of a node; that needs the role ${MAY_NAME_ADDRESSES.join(' or ')}. Leave it out for a node of the configuration's "peers"`,
  );
}

/** Whether the caller was not let do it, whoever it is. */
export function isRefusal(error: unknown): boolean {
  return hasReason(error, 'PERMISSION_DENIED', 'UNAUTHENTICATED');
}

function denied(
  { identity, role }: Caller,
  what: string,
  metadata: Readonly<Record<string, string>> = {},
): AgentError {
  return new AgentError(
    'PERMISSION_DENIED',
    `${identity} has the role ${role}, which may not ${what}`,
    { metadata: { ...metadata, role } },
  );
}

export function changesSomething(method: string): boolean {
  return METHOD_RULES[method]?.changes === true;
}

export function readsSecrets(method: string): boolean {
  return METHOD_RULES[method]?.readsSecrets === true;
}
