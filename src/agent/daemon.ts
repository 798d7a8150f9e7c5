import type { ChildProcess } from 'node:child_process';
import path from 'node:path';
import type { Worker } from 'node:worker_threads';
import type { AgentConfig } from '../core/agent-config.ts';
import { buildId } from '../core/build-id.ts';
import { delay } from '../core/delay.ts';
import { AgentError } from '../core/errors.ts';
import { parseHostPort } from '../core/host-port.ts';
import { KVM_FINDING_FILE } from '../core/kvm-finding.ts';
import { createLogger, type Logger } from '../core/logger.ts';
import { keepMemorySmall } from '../core/memory-keeper.ts';
import { untilAborted } from '../core/until-aborted.ts';
import { QemuBootProbe } from '../drivers/boot-probe/qemu-boot-probe.ts';
import { ConsoleLogFile } from '../drivers/console-log/console-log-file.ts';
import { CurlFetcher } from '../drivers/fetch/curl-fetcher.ts';
import { ProcessHookRunner } from '../drivers/hooks/process-hook-runner.ts';
import type { Accelerator } from '../drivers/hypervisor-host.ts';
import { ProcessDiskProbe } from '../drivers/images/disk-probe/process-disk-probe.ts';
import { imageFolderOf } from '../drivers/images/image-folder.ts';
import { ImageProcesses } from '../drivers/images/image-processes.ts';
import { ProcessDiskFiles } from '../drivers/images/process-disk-files.ts';
import { ProcessImageInspector } from '../drivers/images/process-image-inspector.ts';
import { ProcessImageStore } from '../drivers/images/process-image-store.ts';
import { DescriptionFile } from '../drivers/libvirt/description-file.ts';
import { hasDiskLeases } from '../drivers/libvirt/disk-lease.ts';
import type { NodeDefaults } from '../drivers/libvirt/libvirt-domains.ts';
import { LibvirtHypervisor } from '../drivers/libvirt/libvirt-hypervisor.ts';
import { FolderProbe } from '../drivers/linux/folder-probe.ts';
import { LinuxBridges } from '../drivers/linux/linux-bridges.ts';
import { LinuxHost } from '../drivers/linux/linux-host.ts';
import { SecretFolder } from '../drivers/linux/secret-folder.ts';
import { tellReady } from '../drivers/linux/service-manager.ts';
import { PrivateFileFolder } from '../drivers/private-files/private-file-folder.ts';
import { StreamerTransfers } from '../drivers/streamer/streamer-transfers.ts';
import { forgetEnd, recordEnd } from './agent-end.ts';
import { buildAgent } from './build-agent.ts';
import { readCommandLine } from './command-line.ts';
import { EventStore } from './events/event-store.ts';
import { SightStore } from './events/sight-store.ts';
import { FreezeStore } from './guests/freeze-store.ts';
import { beginAgentStart, recordAgentStart } from './journal/agent-epoch.ts';
import { isNewerJournal } from './journal/errors.ts';
import { Journal } from './journal/journal.ts';
import { JOURNAL_SCHEMA } from './journal-schema.ts';
import { MigrationStore } from './migration/migration-store.ts';
import { NodeAccelerator } from './node/node-accelerator.ts';
import { NodeSpecStore } from './node/node-spec-store.ts';
import { partedCpus } from './node/parted-cpus.ts';
import { warnOfUnknownPeers } from './node/peer-names.ts';
import { ReservationStore } from './node/reservation-store.ts';
import { StorageHealth } from './node/storage-health.ts';
import { OperationStore } from './operations/operation-store.ts';
import { Certificates } from './rpc/certificates.ts';
import { GrpcPeers } from './rpc/grpc-peers.ts';
import { NoPeers } from './rpc/no-peers.ts';
import { type NetworkOptions, RpcServer } from './rpc/rpc-server.ts';
import { RunStore } from './runs/run-store.ts';
import { ShutdownStore } from './shutdown/shutdown-store.ts';
import { startWarnings } from './start-warnings.ts';
import { AgentMetrics } from './telemetry/agent-metrics.ts';
import { HttpServer } from './telemetry/http-server.ts';
import { Heartbeat } from './telemetry/process-metrics.ts';
import { obstacles } from './telemetry/readiness.ts';
import { IdentificationStore } from './vms/identification-store.ts';
import { OwnershipStore } from './vms/ownership-store.ts';

/** Guests are not waited for, so an orderly end takes no longer than the calls that are under way. */
const SHUTDOWN_TIMEOUT_MS = 15_000;

/** Without libvirt there is nothing to wait for. */
const LISTING_PATIENCE_MS = 5_000;

const CANNOT_GO_ON = 'Agent cannot go on';

/** The exit code that the service manager takes for the last word: to start again would come to the same. */
const DOES_NOT_MEND = 2;

/** What comes up while this is loaded. */
interface Launched {
  readonly driver?: ChildProcess;
  readonly journal?: Worker;
}

/** Builds the agent and runs it until `stop` is aborted. */
async function run(
  config: AgentConfig,
  agentVersion: string,
  launched: Launched,
  log: Logger,
  stop: AbortSignal,
): Promise<void> {
  keepMemorySmall();
  for (const warning of await startWarnings(config)) {
    log.warn({ warning }, 'Look at the configuration');
  }
  // Disposed from the last to the first, so each part may rely on those before it until its own end.
  await using stack = new AsyncDisposableStack();
  const journal = stack.use(
    await Journal.open(config.stateDirectory, {
      schema: JOURNAL_SCHEMA,
      standInDirectory: config.runDirectory,
      launched: launched.journal,
      logger: log,
    }),
  );
  const { database } = journal;
  const disk = new FolderProbe(config.stateDirectory);
  const storage = new StorageHealth({ probe: disk, journal, log });
  const linux = new LinuxHost();
  const host = await linux.readFacts(stop);
  const cpus = partedCpus(config.cpu.dedicated, host.cpuNumbers);
  const { accelerator: wanted } = config.hypervisor;
  const probe = new QemuBootProbe({
    file: path.join(config.stateDirectory, KVM_FINDING_FILE),
    bootId: host.bootId,
    kernelRelease: host.kernelRelease,
  });
  const accelerator = new NodeAccelerator({ wanted, probe, log });
  const hypervisor = stack.use(
    new LibvirtHypervisor({
      uri: config.hypervisor.uri,
      libvirtSocket: config.hypervisor.libvirtSocket,
      callWorkers: config.hypervisor.callWorkers,
      callTimeoutMs: config.hypervisor.callTimeoutMs,
      nodeDefaults: () => ({ ...nodeDefaults(config, accelerator.current), cpus }),
      logger: log,
      launchedDriver: launched.driver,
      descriptions:
        buildId === undefined
          ? undefined
          : new DescriptionFile(`${config.runDirectory}/domains`, buildId),
      // Nothing is called before the tasks start, which is after `metrics` is there.
      onCallEnded: (call, outcome) => metrics.hypervisor.callEnded(call, outcome),
    }),
  );
  const { portMin, portMax, lanes, compression, reconnectTimeoutMs } = config.migration;
  const transfers = new StreamerTransfers({
    binary: config.migration.streamer,
    runDirectory: config.runDirectory,
    tls: config.tls,
    listenHost: parseHostPort(config.listen ?? '').host,
    portMin,
    portMax,
    lanes,
    compression,
    reconnectTimeoutMs,
    logger: log,
  });
  // What VMs may have is what other nodes may be told of, and where anything is made beside it.
  const { diskFolder, maxImageBytes, cacheBytes, ...others } = config.images;
  const { forbiddenNetworks, insecureRegistries, s3, ...allowed } = others;
  const folders = [...allowed.folders, diskFolder];
  const places = { ...allowed, folders, ownFiles: ownFilesOf(config) };
  const network = await openNetwork(config, log, stack);
  const peers =
    network === undefined
      ? new NoPeers()
      : stack.use(new GrpcPeers({ addresses: config.peers, certificates: network.certificates }));
  const imageProcesses = stack.use(
    new ImageProcesses({ places: { ...places, imageFolder: `${imageFolderOf(diskFolder)}/` } }),
  );
  const start = await beginAgentStart(database, host.bootId, stop);
  const agent = await buildAgent({
    nodeName: config.nodeName,
    agentVersion,
    agentEpoch: start.epoch,
    advertiseAddress: config.advertise,
    host,
    reservedMemoryBytes: config.capacity.reservedMemoryBytes,
    dedicatedCpus: cpus?.dedicated.length ?? 0,
    minMemory: config.limits.minMemory,
    startsAtOnce: config.vms.startsAtOnce,
    accelerator,
    hasDiskLeases: await hasDiskLeases(),
    migrationDefaults: config.migration,
    hypervisor,
    transfers,
    images: new ProcessImageInspector(imageProcesses),
    diskFiles: new ProcessDiskFiles(imageProcesses),
    diskFolder,
    imageStore: new ProcessImageStore(imageProcesses, diskFolder),
    imageFetcher: new CurlFetcher({
      forbiddenNetworks,
      insecureRegistries,
      s3,
    }),
    imageLimits: { maxImageBytes, cacheBytes },
    bridges: new LinuxBridges(),
    diskProbe: new ProcessDiskProbe({ places }),
    hooks: new ProcessHookRunner({
      nodeName: config.nodeName,
      isOn: config.lifecycle.hooks,
      folder: config.lifecycle.hookFolder,
      user: config.lifecycle.hookUser,
    }),
    privateFiles: new PrivateFileFolder(config.stateDirectory),
    nodeSecrets: new SecretFolder(config.secrets.folder),
    console: new ConsoleLogFile(),
    peers,
    stores: {
      migrations: new MigrationStore(database),
      ownership: new OwnershipStore(database),
      identification: new IdentificationStore(database),
      operations: new OperationStore(database),
      nodeSpec: new NodeSpecStore(database),
      reservations: new ReservationStore(database),
      runs: new RunStore(database),
      shutdown: new ShutdownStore(database),
      freezes: new FreezeStore(database),
      events: new EventStore(database),
      sights: new SightStore(database),
    },
    storageHealth: () => storage.report(),
    certificate: () => network?.certificates.report(),
    log,
  });
  const { node, tasks } = agent;
  const heartbeat = stack.use(new Heartbeat());
  const metrics = new AgentMetrics({
    agentVersion,
    vms: agent.listedVms,
    unidentifiedVms: agent.countUnidentified,
    memory: () => agent.capacity.memory(),
    nodeConditions: () => node.review().conditions,
    storageAvailableBytes: () => storage.availableBytes(),
    certificate: () => network?.certificates.report(),
    heartbeat,
    activeMigrations: (role) => agent.book.countActive(role),
    hypervisorConnected: () => node.connected,
    controllers: () => agent.reconciler.states(),
  });
  agent.book.onEnded((migration) => metrics.migrations.ended(migration));
  stack.use(tasks);
  agent.resume();
  agent.run();
  if (!start.isRecorded) {
    const unrecorded = { epoch: start.epoch, bootId: host.bootId, log };
    tasks.run('agent-epoch', (signal) => recordAgentStart(database, unrecorded, signal));
  }

  let apiListening = false;
  const readiness = () =>
    obstacles({
      storageHealth: () => storage.report(),
      hypervisorConnected: () => node.connected,
      vmsObstacle: () => agent.inventory.findObstacle(),
      apiListening: () => apiListening,
    });
  const { nodeName, listen, httpListen, socket } = config;
  stack.use(
    await HttpServer.start({ listen: httpListen, metrics, heartbeat, obstacles: readiness, log }),
  );
  const { vms, guests, consoles, migrations, incoming, operations, shutdown, events } = agent;
  const features = {
    vms,
    guests,
    consoles,
    migrations,
    incoming,
    ownership: agent.ownershipManager,
    images: agent.images,
    operations,
    node,
    shutdown,
    events,
  };
  const server = stack.use(
    await RpcServer.start({
      socket,
      network,
      ...features,
      log,
      observer: metrics.rpc,
    }),
  );
  apiListening = true;
  tasks.run('storage', (signal) => storage.run(signal));
  // It runs commands, which would hold up what everybody waits for.
  tasks.run('operating-system', async (signal) => {
    const listed = agent.inventory.untilListed(signal);
    await Promise.race([listed, delay(LISTING_PATIENCE_MS, signal)]);
    await linux.readOperatingSystem();
  });
  tasks.run('peer-names', (signal) => warnOfUnknownPeers(config.peers, log, signal));
  tasks.run('readiness', async (signal) => {
    for await (const _ of node.watch(undefined, signal)) server.setReady(readiness().length === 0);
  });
  await forgetEnd(config.runDirectory);
  const started = { nodeName, version: agentVersion, accelerator: accelerator.current, listen };
  log.info(started, 'Agent started');
  await tellReady(process.env['NOTIFY_SOCKET'], log);
  // What became of the last calls of a journal that is lost, only the next start can find out.
  await untilAborted(new Promise<never>(() => {}), AbortSignal.any([stop, journal.lost]));
}

/** Undefined where the node is alone. */
async function openNetwork(
  { nodeName, listen, tls }: AgentConfig,
  log: Logger,
  stack: AsyncDisposableStack,
): Promise<NetworkOptions | undefined> {
  if (listen === undefined) return undefined;
  return { listen, certificates: stack.use(await Certificates.open(tls, log, { nodeName })) };
}

/** Files that hold secrets or what the agent knows, by the start of their paths: no VM may have them as a disk. */
function ownFilesOf({
  stateDirectory,
  runDirectory,
  secrets,
  tls,
}: AgentConfig): readonly string[] {
  const state = ['journal.', KVM_FINDING_FILE, 'private/'].map(
    (name) => `${stateDirectory}/${name}`,
  );
  return [...state, `${runDirectory}/`, `${secrets.folder}/`, tls.key];
}

/** Nothing is made anew before the accelerator is known, and what is there keeps its own. */
function nodeDefaults({ hypervisor }: AgentConfig, accelerator: Accelerator = 'tcg'): NodeDefaults {
  const { machineType, cpuModel, consoleDirectory } = hypervisor;
  const ofAccelerator = accelerator === 'kvm' ? 'host-model' : 'qemu64';
  const defaultCpuModel = cpuModel === 'auto' ? ofAccelerator : cpuModel;
  return { accelerator, defaultMachineType: machineType, defaultCpuModel, consoleDirectory };
}

async function main(launched: Launched): Promise<number> {
  const command = await readCommandLine();
  if ('exitCode' in command) return command.exitCode;
  const log = createLogger(command.config.logLevel);
  const stop = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    process.once(name, () => {
      log.info('Agent stopping; VMs and migrations go on');
      stop.abort(new AgentError('SHUTTING_DOWN', 'The agent is shutting down'));
      setTimeout(() => {
        log.error('Could not end in good order in time');
        process.exit(1);
      }, SHUTDOWN_TIMEOUT_MS).unref();
    });
  }
  const { config, version } = command;
  try {
    await run(config, version, launched, log, stop.signal);
    return 0;
  } catch (error) {
    if (stop.signal.aborted && error === stop.signal.reason) {
      await forgetEnd(config.runDirectory);
      return 0;
    }
    const problem = error instanceof Error ? error.message : String(error);
    // What we have words for, nobody needs the stack of.
    const known = error instanceof AgentError && error.reason !== 'INTERNAL';
    log.fatal({ problem, ...(known ? { reason: error.reason } : { err: error }) }, CANNOT_GO_ON);
    await recordEnd(config.runDirectory, problem);
    return isNewerJournal(error) ? DOES_NOT_MEND : 1;
  }
}

/** Runs the agent until it is told to end. What is launched already ends with this process. */
export function start(launched: Launched): void {
  // Exits although a connection may linger: everything that matters has been ended in order by now.
  void main(launched).then((code) => process.exit(code));
}
