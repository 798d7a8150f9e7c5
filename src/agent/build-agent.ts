import { parseHostPort } from '../core/host-port.ts';
import { KeyLocks } from '../core/key-locks.ts';
import { EVERYTHING } from '../core/label-selector.ts';
import { TaskGroup } from '../core/task-group.ts';
import type { AgentParts } from './agent-parts.ts';
import { buildDisks } from './build-disks.ts';
import { ConsoleManager } from './consoles/console-manager.ts';
import { EventManager } from './events/event-manager.ts';
import { EventRecorder } from './events/event-recorder.ts';
import { buildGuests } from './guests/build-guests.ts';
import { GuestHealth } from './guests/guest-health.ts';
import { HookRuns } from './hooks/hook-runs.ts';
import { loadRemembered } from './load-remembered.ts';
import { summaryOf, toMovingVm } from './migration/as-vms-see-it.ts';
import { IncomingManager } from './migration/incoming-manager.ts';
import { MigrationManager } from './migration/migration-manager.ts';
import { migrationOperation } from './migration/migration-operation.ts';
import { PACE } from './migration/pace.ts';
import { PEER_PROTOCOL_MAX, PEER_PROTOCOL_MIN } from './migration/protocol.ts';
import { allocatableOf, capacityOf } from './node/amounts.ts';
import { CapacityLedger } from './node/capacity-ledger.ts';
import { NodeManager } from './node/node-manager.ts';
import { nodeOperations } from './node/node-operations.ts';
import { hasEnded, THE_NODE } from './operations/operation.ts';
import { OperationBook } from './operations/operation-book.ts';
import { OperationController } from './operations/operation-controller.ts';
import { OperationManager } from './operations/operation-manager.ts';
import { OperationSecrets } from './operations/operation-secrets.ts';
import { Reconciler } from './reconcile/reconciler.ts';
import { ReportOriginSource } from './reports/report-origin-source.ts';
import { PowerRequests } from './runs/power-requests.ts';
import { Restarts } from './runs/restarts.ts';
import { RunBook } from './runs/run-book.ts';
import { RunRecordController } from './runs/run-record-controller.ts';
import { buildShutdown } from './shutdown/build-shutdown.ts';
import { isNodeShutdown } from './shutdown/shutdown-pre-stops.ts';
import { vmControllers } from './vm-controllers.ts';
import { buildVms } from './vms/build-vms.ts';
import { Creations } from './vms/creations.ts';
import { DefinitionValidator } from './vms/definition-validator.ts';
import { DeviceIdentities } from './vms/device-identities.ts';
import { DiskSizes } from './vms/disk-sizes.ts';
import { DiskUsers } from './vms/disk-users.ts';
import { LiveAttempts } from './vms/live-attempts.ts';
import { nameKey } from './vms/name-key.ts';
import { OwnershipManager } from './vms/ownership-manager.ts';
import { Remains } from './vms/remains.ts';
import { Startability } from './vms/startability.ts';
import { VmInventory } from './vms/vm-inventory.ts';
import { VmLocator } from './vms/vm-locator.ts';
import { Whereabouts } from './vms/whereabouts.ts';

/** The features of an agent, put together. Nothing runs yet. */
export type Agent = Awaited<ReturnType<typeof buildAgent>>;

/** Builds the features of an agent on its parts, from the top to the bottom; reads what the stores have. */
export async function buildAgent(parts: AgentParts) {
  const { nodeName, agentVersion, hypervisor, transfers, host, accelerator, stores, log } = parts;
  const { privateFiles } = parts;
  const origins = new ReportOriginSource({
    nodeName,
    nodeBootId: host.bootId,
    agentEpoch: parts.agentEpoch,
  });
  const locks = new KeyLocks();
  const tasks = new TaskGroup(log);
  const remembered = await loadRemembered(parts, origins);
  const { ownership, identification, book, reservations, cordon, nodeShutdown } = remembered;
  const { domains, statistics } = hypervisor;
  const validator = new DefinitionValidator({
    host: hypervisor.host,
    images: parts.images,
    bridges: parts.bridges,
    hooks: parts.hooks,
    accelerator,
    minMemory: parts.minMemory,
    capacity: capacityOf(host, parts.dedicatedCpus),
    nameOf: (vmUid) => {
      const known = inventory.findByUid(vmUid)?.definition;
      return known && nameKey(known);
    },
  });
  const onChange = () => inventory.requestRefresh();
  const operationBook = await OperationBook.load(stores.operations, origins, (record) => {
    creations.note(record);
    inventory.reviewCreations();
    recorder.noteOperation(record);
    if (hasEnded(record)) hookRuns.forget(record.id);
    // Nothing has happened yet to what one that has only begun is about.
    if (record.state !== 'pending') onChange();
  });
  const hookRuns: HookRuns = new HookRuns({
    runner: parts.hooks,
    tasks,
    isOpen: (owner) =>
      isNodeShutdown(owner) ? nodeShutdown.isGoingDown : operationBook.open(owner) !== undefined,
    onEnded: (vmUid) => {
      reconciler.wake(operationController.name, vmUid);
      if (nodeShutdown.isGoingDown) reconciler.wake(shutdown.controller.name, vmUid);
    },
    log,
  });
  const creations = new Creations(operationBook.listOpen());
  const requests = new PowerRequests(operationBook);
  const runs = await RunBook.load({
    store: stores.runs,
    bootId: host.bootId,
    requests,
    nodeShutdownBy: () => nodeShutdown.record?.requestedBy,
  });
  const recorder = await EventRecorder.load({
    stores,
    operations: operationBook,
    migrations: book,
    ownership,
    runs,
    origins,
    gatherMs: parts.gatherMs,
    log,
  });
  const events = new EventManager({ store: stores.events, book: recorder.book, origins });
  const restarts = new Restarts({ firstDelayMs: parts.firstRestartDelayMs, requests, onChange });
  const startability: Startability = new Startability({
    images: parts.images,
    bridges: parts.bridges,
    listVms: () => listedVms(),
    onChange,
    lookIntervalMs: parts.lookIntervalMs,
    log,
  });
  const deviceIdentities: DeviceIdentities = new DeviceIdentities({
    diskProbe: parts.diskProbe,
    looks: (signal) => inventory.looks(signal),
    onChange,
    log,
  });
  const locator = new VmLocator({ nodeName, peers: parts.peers, log });
  const { imageManager, diskCopies, disks, diskKeys, seeds } = buildDisks(parts, operationBook);
  const remains = new Remains({
    domains,
    privateFiles,
    disks,
    ownership,
    creations: operationBook.givenUpCreations,
    hasRun: (vmUid) => runs.hasRun(vmUid),
  });
  const guestHealth = new GuestHealth({ events: hypervisor.events, onChange });
  const liveAttempts = new LiveAttempts();
  const inventory = new VmInventory({
    domains,
    liveAttempts,
    statistics,
    events: hypervisor.events,
    origins,
    rememberedConditions: (vmUid) => recorder.conditionsOf(vmUid),
    contextOf: (vmUid) => ({
      migration: summaryOf(book.outgoingOf(vmUid)),
      isShuttingDown: requests.isShuttingDown(vmUid),
      isBusy: requests.isBusy(vmUid),
      ignoresShutdown: requests.ignoresShutdown(vmUid),
      run: runs.find(vmUid),
      restart: restarts.report(vmUid),
      isNodeGoingDown: nodeShutdown.isGoingDown,
      startProblem: startability.find(vmUid, requests.lastStart(vmUid)),
      guestProblem: guestHealth.find(vmUid),
      unconfirmed: ownership.unconfirmed(vmUid),
    }),
    runs,
    isStale: (definition) => ownership.isStale(definition),
    isStray: (definition) => ownership.isStray(definition),
    hasDiskLeases: parts.hasDiskLeases,
    deviceProblemOf: (path) => deviceIdentities.problemOf(path),
    findOwned: (vmUid) => ownership.findOwned(vmUid),
    listOwned: () => ownership.listOwned(),
    identification,
    isRemains: (vm) => remains.is(vm),
    creations,
    isLeaving: (vmUid) =>
      book.outgoingOf(vmUid) !== undefined && whereabouts.movedTo(vmUid) === undefined,
    learnHost: (signal) => ownership.learnHost(hypervisor.host, signal),
    resyncIntervalMs: parts.resyncIntervalMs,
    unreadPatienceMs: parts.unreadPatienceMs,
    log,
  });
  const whereabouts = new Whereabouts({
    ownership,
    inventory,
    locator,
    listMoving: () =>
      [...book.listActive('source'), ...book.listActive('destination')].map(toMovingVm),
  });
  const listVms = () => inventory.list({ namespace: '', labels: EVERYTHING });
  const listedVms = () => (inventory.listedOnce ? listVms() : undefined);
  const countUnidentified = () =>
    inventory.findObstacle()?.reason === 'VmsNotListed'
      ? undefined
      : inventory.unread.listUnidentified().length;
  const capacity = new CapacityLedger({
    capacity: capacityOf(host, parts.dedicatedCpus),
    allocatable: allocatableOf(host, parts.reservedMemoryBytes, parts.dedicatedCpus),
    reservations,
    listVms: () => listedVms() ?? [],
    listUnread: () => inventory.unread.list(),
    listForeign: () => inventory.listForeign(),
    isStarting: (vmUid) => requests.isStarting(vmUid),
  });
  const shared = {
    nodeName,
    agentVersion,
    hypervisor,
    host: hypervisor.host,
    domains,
    devices: hypervisor.devices,
    liveAttempts,
    inventory,
    ownership,
    remains,
    whereabouts,
    locator,
    capacity,
    reservations,
    cordon,
    nodeShutdown,
    validator,
    startability,
    origins,
    locks,
    transfers,
    privateFiles,
    nodeSecrets: parts.nodeSecrets,
    bridges: parts.bridges,
    seeds,
    diskKeys,
    disks,
    imageManager,
    diskCopies,
    diskSizes: new DiskSizes(parts.images),
    diskUsers: new DiskUsers({ domains, images: parts.images }),
    diskProbe: parts.diskProbe,
    book,
    freezes: remembered.freezes,
    tasks,
    onChange,
    pace: parts.pace,
    log,
  };
  const ownershipManager = new OwnershipManager(shared);
  const vms = buildVms({ ...shared, accelerator, runs, hookRuns, console: parts.console });
  const consoles = new ConsoleManager({
    ...shared,
    consoles: hypervisor.consoles,
    events: hypervisor.events,
    vms: vms.manager,
    console: parts.console,
    settleMs: parts.consoleSettleMs,
  });
  const works = {
    ...vms.works,
    ...nodeOperations(cordon, () => node.review()),
    migrate: migrationOperation(book),
  };
  const guests = buildGuests({
    ...shared,
    events: hypervisor.events,
    guestHealth,
    guestAgent: hypervisor.guestAgent,
  });
  const secrets = new OperationSecrets({ privateFiles, openIds: operationBook.openIds(), log });
  const forOperations = { book: operationBook, works, secrets, log };
  const operationController = new OperationController(forOperations);
  const operations = new OperationManager({
    ...forOperations,
    controller: operationController,
    wake: (vmUid) => reconciler.wake(operationController.name, vmUid),
    cancelMigration: (id) => migrations.cancel(id),
    migrationOf: (vmUid) => book.outgoingOf(vmUid)?.id,
    origins,
  });
  const shutdown = buildShutdown({
    ...shared,
    mark: nodeShutdown,
    runs: hookRuns,
    requests,
    listVms: listedVms,
    countArriving: () => book.listActive('destination').length,
    onProgress: () => node.review(),
    cancelMigration: (id) => migrations.cancel(id),
    turnAway: (vmUid, signal) => incoming.turnAway(vmUid, 'This node is being shut down', signal),
  });
  const reconciler: Reconciler = new Reconciler({
    controllers: [
      // Before whoever acts upon what was seen.
      new RunRecordController(runs),
      operationController,
      shutdown.controller,
      ...vmControllers({
        ...shared,
        operations,
        requests,
        diskFiles: parts.diskFiles,
        firstResumeDelayMs: parts.firstResumeDelayMs,
        restarts,
        secrets,
        startsAtOnce: parts.startsAtOnce,
        isNodeGoingDown: () => nodeShutdown.isGoingDown,
        firstDelayMs: parts.firstRestartDelayMs,
        askAgainMs: (parts.pace ?? PACE).lookMaxMs,
      }),
    ],
    looks: (signal) => inventory.looks(signal),
    tasks,
    log,
  });
  const migrations: MigrationManager = new MigrationManager({
    ...shared,
    peers: parts.peers,
    operations,
    vms: vms.manager,
    defaults: parts.migrationDefaults,
    settleIncoming: (record, saidBy, signal) => incoming.settle(record, saidBy, signal),
  });
  const incoming: IncomingManager = new IncomingManager({
    ...shared,
    peers: parts.peers,
    // Nobody asks a node that is alone for a transfer.
    transferHost: parseHostPort(parts.advertiseAddress ?? '').host,
    listVms,
    accelerator,
  });
  const node: NodeManager = new NodeManager({
    identity: {
      name: nodeName,
      agentVersion,
      peerProtocolMin: PEER_PROTOCOL_MIN,
      peerProtocolMax: PEER_PROTOCOL_MAX,
      advertiseAddress: parts.advertiseAddress ?? '',
    },
    capacity,
    reservations,
    cordon,
    nodeShutdown,
    shutdown: () => shutdown.guests.report(),
    accelerator,
    host,
    hypervisor,
    origins,
    listVms: listedVms,
    inventory,
    storageHealth: parts.storageHealth,
    certificate: parts.certificate ?? (() => undefined),
    controllers: () => reconciler.states(),
    log,
  });
  return {
    vms: vms.manager,
    images: imageManager,
    consoles,
    guests: guests.manager,
    migrations,
    incoming,
    node,
    inventory,
    identification,
    book,
    ownership,
    ownershipManager,
    locks,
    capacity,
    validator,
    origins,
    tasks,
    reservations,
    cordon,
    listedVms,
    countUnidentified,
    operations,
    events,
    shutdown: shutdown.manager,
    reconciler,
    /** Takes up what an earlier agent left. Call once, before anybody can ask for anything else. */
    resume(): void {
      migrations.resumeAll();
      incoming.resumeAll();
      // Hooks run only while something is recorded as open that has them run.
      const isOpen = nodeShutdown.isGoingDown || operationBook.openVms().length > 0;
      const vmUids = ownership.listOwned().map(({ uid }) => uid);
      if (isOpen) tasks.run('left-hooks', (signal) => parts.hooks.endLeft(vmUids, signal));
    },
    /** Keeps what is known of the node and its VMs fresh, as tasks. */
    run(): void {
      tasks.run('inventory', (signal) => inventory.run(signal));
      tasks.run('node', (signal) => node.run(signal));
      tasks.run('accelerator', (signal) => accelerator.run(signal));
      tasks.run('images', (signal) => imageManager.run(inventory.untilListed(signal), signal));
      tasks.run('startability', (signal) => startability.run(signal));
      tasks.run('device-identities', (signal) => deviceIdentities.run(signal));
      guests.run();
      tasks.run('consoles', (signal) => consoles.run(signal));
      tasks.run('reservations', (signal) => reservations.run(signal));
      tasks.run('events', (signal) => recorder.book.run(signal));
      tasks.run('happenings', (signal) => recorder.follow(inventory.looks(signal)));
      tasks.run('reconciler', (signal) => reconciler.run(signal));
      tasks.run('identification', (signal) => identification.follow(inventory.looks(signal)));
      // What an earlier agent was asked of the node needs no hypervisor, which may be away.
      reconciler.wake(operationController.name, THE_NODE.uid);
    },
  };
}
