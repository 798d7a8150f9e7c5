import { access, constants, readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { AgentError } from '../core/errors.ts';
import { KeyLocks } from '../core/key-locks.ts';
import { createLogger, type Logger } from '../core/logger.ts';
import { TaskGroup } from '../core/task-group.ts';
import { ConsoleLogFile } from '../drivers/console-log/console-log-file.ts';
import type { Accelerator } from '../drivers/hypervisor-host.ts';
import { QemuImgInspector } from '../drivers/images/qemu-img-inspector.ts';
import { LibvirtHypervisor } from '../drivers/libvirt/libvirt-hypervisor.ts';
import { LinuxHost } from '../drivers/linux/linux-host.ts';
import { StreamerTransfers } from '../drivers/streamer/streamer-transfers.ts';
import { type AgentConfig, loadConfig } from './config.ts';
import { nextAgentStart } from './journal/agent-epoch.ts';
import { Journal } from './journal/journal.ts';
import { JOURNAL_SCHEMA } from './journal-schema.ts';
import { IncomingManager } from './migration/incoming-manager.ts';
import { MigrationBook } from './migration/migration-book.ts';
import { MigrationManager } from './migration/migration-manager.ts';
import { MigrationStore } from './migration/migration-store.ts';
import { PEER_PROTOCOL_MAX, PEER_PROTOCOL_MIN } from './migration/protocol.ts';
import { NodeManager } from './node/node-manager.ts';
import { OperationLog } from './operations/operation-log.ts';
import { OperationRecorder } from './operations/operation-recorder.ts';
import { ReportOriginSource } from './reports/report-origin-source.ts';
import { Certificates } from './rpc/certificates.ts';
import { GrpcPeers } from './rpc/grpc-peers.ts';
import { RpcServer } from './rpc/rpc-server.ts';
import { AgentMetrics } from './telemetry/agent-metrics.ts';
import { HttpServer } from './telemetry/http-server.ts';
import { Heartbeat } from './telemetry/process-metrics.ts';
import { obstacles } from './telemetry/readiness.ts';
import { CapacityLedger } from './vms/capacity.ts';
import { DefinitionValidator } from './vms/definition-validator.ts';
import { Ownership } from './vms/ownership.ts';
import { OwnershipStore } from './vms/ownership-store.ts';
import { StaleCopies } from './vms/stale-copies.ts';
import { VmCreator } from './vms/vm-creator.ts';
import { VmInventory } from './vms/vm-inventory.ts';
import { ShutdownRequests, VmManager } from './vms/vm-manager.ts';

const USAGE = `novacron-agent runs the VMs of this node.

Usage: novacron-agent [--config FILE]

  --config FILE   configuration (default: /etc/novacron/agent.yaml)
  --check         check the configuration and end
  --version       print the version and end
  --help          print this and end

Signals: SIGTERM and SIGINT end it in good order; VMs and migrations go on without it.
Exit codes: 0 ended as asked, 1 failed, 2 wrong arguments or configuration.
`;

const EVERYTHING = { namespace: '', labels: {} };
/** Guests are not waited for, so an orderly end takes no longer than the calls that are under way. */
const SHUTDOWN_TIMEOUT_MS = 15_000;

/** Builds the agent and runs it until `stop` is aborted. */
async function run(
  config: AgentConfig,
  agentVersion: string,
  log: Logger,
  stop: AbortSignal,
): Promise<void> {
  // Disposed from the last to the first, so each part may rely on those before it until its own end.
  await using stack = new AsyncDisposableStack();
  const journal = stack.use(
    await Journal.open(config.stateDirectory, { schema: JOURNAL_SCHEMA, logger: log }),
  );
  const { database } = journal;
  const operations = new OperationLog(database);
  await operations.interruptAll();
  await operations.prune();
  const host = await new LinuxHost().readFacts(stop);
  const origins = new ReportOriginSource({
    nodeName: config.nodeName,
    nodeBootId: host.bootId,
    agentEpoch: (await nextAgentStart(database, host.bootId, Date.now())).epoch,
  });
  const accelerator = await chooseAccelerator(config);
  const hypervisor = stack.use(
    new LibvirtHypervisor({
      uri: config.hypervisor.uri,
      callWorkers: config.hypervisor.callWorkers,
      callTimeoutMs: config.hypervisor.callTimeoutMs,
      nodeDefaults: {
        accelerator,
        defaultMachineType: config.hypervisor.machineType,
        defaultCpuModel: defaultCpuModel(config, accelerator),
        consoleDirectory: config.hypervisor.consoleDirectory,
      },
      logger: log,
      // Nothing is called before the tasks start, which is after `metrics` is there.
      onCallEnded: (call, outcome) => metrics.hypervisor.callEnded(call, outcome),
    }),
  );
  const { portMin, portMax, lanes, compression, reconnectTimeoutMs } = config.migration;
  const transfers = new StreamerTransfers({
    binary: config.migration.streamer,
    runDirectory: config.runDirectory,
    tls: config.tls,
    listenHost: hostOf(config.listen),
    portMin,
    portMax,
    lanes,
    compression,
    reconnectTimeoutMs,
    logger: log,
  });
  const certificates = stack.use(await Certificates.open(config.tls, log));
  const peers = stack.use(new GrpcPeers({ addresses: config.peers, certificates }));

  const locks = new KeyLocks();
  const ownership = await Ownership.load(new OwnershipStore(database));
  const shutdowns = new ShutdownRequests();
  const capacity = new CapacityLedger({
    cpus: host.cpus,
    memoryBytes: Math.max(0, host.memoryBytes - config.capacity.reservedMemoryBytes),
  });
  const heartbeat = stack.use(new Heartbeat());
  const book = await MigrationBook.load(new MigrationStore(database), origins);
  const inventory = new VmInventory({
    hypervisor,
    origins,
    contextOf: (vmUid) => ({
      migrationId: book.outgoingOf(vmUid),
      shutdownRequested: shutdowns.has(vmUid),
    }),
    isStale: (vm) => vm.definition !== undefined && ownership.isStale(vm.definition),
    onListed: (listed) => tasks.run('stale copies', () => staleCopies.stop(listed)),
    log,
  });
  const staleCopies = new StaleCopies({ hypervisor, ownership, locks, log });
  const listVms = () => inventory.list(EVERYTHING);
  const listedVms = () => (inventory.listedOnce ? listVms() : undefined);
  const validator = new DefinitionValidator({
    capacity: capacity.capacity,
    images: new QemuImgInspector(),
  });
  const validate = validator.validate.bind(validator);
  const recorder = new OperationRecorder(operations, log);
  const vms = new VmManager({
    hypervisor,
    inventory,
    creator: new VmCreator({
      hypervisor,
      inventory,
      ownership,
      capacity,
      origins,
      locks,
      validate,
      recorder,
      log,
    }),
    ownership,
    console: new ConsoleLogFile(),
    origins,
    locks,
    shutdowns,
    recorder,
    log,
  });
  const node = new NodeManager({
    identity: {
      name: config.nodeName,
      agentVersion,
      peerProtocolMin: PEER_PROTOCOL_MIN,
      peerProtocolMax: PEER_PROTOCOL_MAX,
      advertiseAddress: config.advertise,
    },
    capacity: capacity.capacity,
    accelerator,
    host,
    hypervisor,
    origins,
    listVms: listedVms,
    allocatedMemoryBytes: (listed) => capacity.allocatedBytes(listed),
    journalHealth: () => journal.health(),
    log,
  });
  const metrics = new AgentMetrics({
    agentVersion,
    vms: listedVms,
    heartbeat,
    activeMigrations: (role) => book.countActive(role),
    hypervisorConnected: () => node.connected,
  });
  book.onEnded((migration) => metrics.migrations.ended(migration));

  const tasks = stack.use(new TaskGroup(log));
  const shared = {
    nodeName: config.nodeName,
    agentVersion,
    hypervisor,
    transfers,
    book,
    ownership,
    locks,
    tasks,
    log,
    onChange: () => inventory.requestRefresh(),
  };
  const migrations = new MigrationManager({
    ...shared,
    peers,
    vms,
    defaults: config.migration,
  });
  const incoming = new IncomingManager({
    ...shared,
    transferHost: hostOf(config.advertise),
    libvirtSocket: config.hypervisor.libvirtSocket,
    capacity,
    listVms,
    accelerator,
    validate,
  });
  // What an earlier agent left is taken up before anybody can ask for anything else.
  migrations.resumeAll();
  incoming.resumeAll();
  tasks.run('inventory', (signal) => inventory.run(signal));
  tasks.run('node', (signal) => node.run(signal));

  let apiListening = false;
  const readiness = () =>
    obstacles({
      journalHealth: () => journal.health(),
      hypervisorConnected: () => node.connected,
      vmsListed: () => inventory.listedOnce,
      apiListening: () => apiListening,
    });
  stack.use(
    await HttpServer.start({
      listen: config.httpListen,
      metrics,
      heartbeat,
      obstacles: readiness,
      log,
    }),
  );
  const server = stack.use(
    await RpcServer.start({
      socket: config.socket,
      listen: config.listen,
      certificates,
      vms,
      migrations,
      incoming,
      node,
      log,
      observer: metrics.rpc,
    }),
  );
  apiListening = true;
  tasks.run('readiness', async (signal) => {
    for await (const _ of node.watch(signal)) server.setReady(readiness().length === 0);
  });
  log.info(
    { nodeName: config.nodeName, version: agentVersion, accelerator, listen: config.listen },
    'Agent started',
  );
  await aborted(AbortSignal.any([stop, journal.lost]));
  // What became of its last calls only the next start can find out.
  journal.lost.throwIfAborted();
  log.info('Agent stopping; VMs and migrations go on');
}

/** KVM where the machine has it: being offered by the hypervisor does not mean that it may be opened. */
async function chooseAccelerator(config: AgentConfig): Promise<Accelerator> {
  if (config.hypervisor.accelerator !== 'auto') return config.hypervisor.accelerator;
  try {
    await access('/dev/kvm', constants.R_OK | constants.W_OK);
    return 'kvm';
  } catch {
    return 'tcg';
  }
}

function defaultCpuModel(config: AgentConfig, accelerator: Accelerator): string {
  if (config.hypervisor.cpuModel !== 'auto') return config.hypervisor.cpuModel;
  return accelerator === 'kvm' ? 'host-model' : 'qemu64';
}

/** The host of HOST:PORT, without the brackets of an IPv6 address. */
function hostOf(address: string): string {
  return address.slice(0, address.lastIndexOf(':')).replace(/^\[|\]$/g, '');
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  signal.addEventListener('abort', () => resolve(), { once: true });
  await promise;
}

async function readVersion(): Promise<string> {
  const file = new URL('../../package.json', import.meta.url);
  const { version } = JSON.parse(await readFile(file, 'utf8')) as { version: string };
  return version;
}

async function main(): Promise<number> {
  const version = await readVersion();
  let options: { config?: string; check?: boolean; version?: boolean; help?: boolean };
  try {
    ({ values: options } = parseArgs({
      options: {
        config: { type: 'string' },
        check: { type: 'boolean' },
        version: { type: 'boolean' },
        help: { type: 'boolean' },
      },
    }));
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
    return 2;
  }
  if (options.help === true) {
    process.stdout.write(USAGE);
    return 0;
  }
  if (options.version === true) {
    process.stdout.write(`novacron-agent ${version}\n`);
    return 0;
  }
  let config: AgentConfig;
  try {
    config = await loadConfig(options.config ?? '/etc/novacron/agent.yaml');
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return 2;
  }
  if (options.check === true) return 0;

  const log = createLogger(config.logLevel);
  const stop = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    process.once(name, () => {
      stop.abort(new AgentError('SHUTTING_DOWN', 'The agent is shutting down'));
      setTimeout(() => {
        log.error('Could not end in good order in time');
        process.exit(1);
      }, SHUTDOWN_TIMEOUT_MS).unref();
    });
  }
  try {
    await run(config, version, log, stop.signal);
    return 0;
  } catch (error) {
    if (stop.signal.aborted && error === stop.signal.reason) return 0;
    log.fatal({ err: error }, 'Agent cannot go on');
    return 1;
  }
}

// Exits although a connection may linger: everything that matters has been ended in order by now.
process.exit(await main());
