import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { connectionUri, expectedSockets } from '../../core/libvirt-socket.ts';
import type { Logger } from '../../core/logger.ts';
import type { Hypervisor } from '../hypervisor.ts';
import type { HypervisorConsoles } from '../hypervisor-consoles.ts';
import type { HypervisorDevices } from '../hypervisor-devices.ts';
import type { HypervisorDomains } from '../hypervisor-domains.ts';
import type { HypervisorEvents } from '../hypervisor-events.ts';
import type { HypervisorGuestAgent } from '../hypervisor-guest-agent.ts';
import type { HypervisorHost } from '../hypervisor-host.ts';
import type { HypervisorJobs } from '../hypervisor-jobs.ts';
import type { HypervisorStatistics } from '../hypervisor-statistics.ts';
import { ConsoleLogs } from './console-logs.ts';
import { DefinitionCache } from './definition-cache.ts';
import type { DescriptionFile } from './description-file.ts';
import { DescriptionKeeper } from './description-keeper.ts';
import { diskBusesOf } from './disk-buses.ts';
import { findCpuXml, isCpu, requiredFeatures } from './domain-xml/parts/cpu-part.ts';
import { DriverCalls } from './driver-calls.ts';
import type { DomainReport, DriverDiagnostics } from './driver-protocol.ts';
import { DriverSupervisor } from './driver-supervisor.ts';
import { EventFeed } from './event-feed.ts';
import { firmwareProblems, nvramProblems } from './firmware-problems.ts';
import { toHypervisorInfo } from './host-info.ts';
import { LibvirtConsoles } from './libvirt-consoles.ts';
import { LibvirtDevices } from './libvirt-devices.ts';
import { LibvirtDomains, type NodeDefaults } from './libvirt-domains.ts';
import { LibvirtGuestAgent } from './libvirt-guest-agent.ts';
import { LibvirtJobs } from './libvirt-jobs.ts';
import { findIncomingSocket } from './libvirt-socket.ts';
import { machineProblems } from './machine-problems.ts';
import { RecentAnswer } from './recent-answer.ts';
import { Seeds } from './seeds.ts';
import { StatisticsSampler } from './statistics-sampler.ts';
import { TpmStates } from './tpm-states.ts';
import { UefiVariables } from './uefi-variables.ts';

export interface LibvirtHypervisorOptions {
  /** Such as `qemu:///system`. */
  readonly uri: string;
  /**
   * libvirt's own socket on this host, beside which it keeps files about the domains that run; `auto`, the default, takes that
   * of the URI, else the one that is there.
   */
  readonly libvirtSocket?: string;
  /** Calls in flight at the same time; default 4. A call that takes long does not count. */
  readonly callWorkers?: number;
  /** Default 10 s. Starting a VM and cutting its power may take five times as long. */
  readonly callTimeoutMs?: number;
  /** Asked anew for each definition. */
  readonly nodeDefaults: () => NodeDefaults;
  /** Where this process sees the root folder of libvirt's host; default `/`. */
  readonly root?: string;
  readonly logger?: Logger;
  /** Keeps what is known of domains for the next agent of this build. */
  readonly descriptions?: DescriptionFile | undefined;
  /** A driver process that was launched before this was loaded. */
  readonly launchedDriver?: ChildProcess | undefined;
  /** Told of every call to libvirt, for metrics; `outcome` is `ok`, `aborted` or the reason of the failure. */
  readonly onCallEnded?: (call: string, outcome: string) => void;
}

/** Of the kernel's module, or what loads it when it is opened. */
const VHOST_VSOCK = 'dev/vhost-vsock';
/** It changes with libvirt alone, or QEMU; libvirt takes some milliseconds to tell. */
const HOST_INFO_MS = 10_000;
const DEFAULT_CALL_TIMEOUT_MS = 10_000;
/** A QEMU that hangs holds up the first sample that asks it, and is left out of the next. */
const SAMPLE_TIMEOUT_MS = 3_000;

/** The host's libvirt, reached through a process of its own. */
export class LibvirtHypervisor implements Hypervisor {
  readonly host: HypervisorHost;
  readonly domains: HypervisorDomains;
  readonly devices: HypervisorDevices;
  readonly statistics: HypervisorStatistics;
  readonly jobs: HypervisorJobs;
  readonly consoles: HypervisorConsoles;
  readonly guestAgent: HypervisorGuestAgent;
  readonly events: HypervisorEvents;
  readonly #driver: DriverSupervisor;
  readonly #keeper: DescriptionKeeper | undefined;

  constructor(options: LibvirtHypervisorOptions) {
    const callTimeoutMs = options.callTimeoutMs ?? DEFAULT_CALL_TIMEOUT_MS;
    const place = { uri: options.uri, libvirtSocket: options.libvirtSocket ?? 'auto' };
    const cache = new DefinitionCache(options.descriptions);
    const feed = new EventFeed();
    const driver = new DriverSupervisor({
      launched: options.launchedDriver,
      uri: connectionUri(place),
      // All the sockets that may be it are in one folder.
      stateDirectory: join(dirname(expectedSockets(place)[0] ?? ''), 'qemu'),
      callWorkers: options.callWorkers ?? 4,
      callTimeoutMs,
      logger: options.logger,
      onCallEnded: options.onCallEnded,
      onConnected: () => {
        // Nobody told us what changed while there was no connection, and libvirt may be another one now.
        cache.invalidateAll();
        sampler.forgetAll();
        domains.forget();
        hostInfo.forget();
        feed.publish({ kind: 'connected' });
      },
      onDisconnected: (error) => {
        hostInfo.forget();
        feed.publish({ kind: 'disconnected', error });
      },
      onReport: (report) => publish(report, cache, sampler, feed),
    });
    const hostInfo = new RecentAnswer(HOST_INFO_MS, async (signal) => {
      const action = 'read what the hypervisor can do';
      return toHypervisorInfo(await driver.call('readHost', [], { action }, signal));
    });
    const { nodeDefaults } = options;
    const variables = new UefiVariables(options.root ?? '/');
    const tpmStates = new TpmStates(options.root ?? '/');
    const seeds = new Seeds(options.root ?? '/');
    const consoleLogs = new ConsoleLogs(nodeDefaults().consoleDirectory);
    const calls = new DriverCalls(driver, cache, callTimeoutMs);
    const jobs = new LibvirtJobs({ calls, cache, variables });
    const isLeaving = jobs.isLeaving.bind(jobs);
    const { logger } = options;
    const domains = new LibvirtDomains({
      driver,
      calls,
      cache,
      nodeDefaults,
      variables,
      tpmStates,
      seeds,
      findProcessOwner: async (signal) => (await this.host.getInfo(signal)).processOwner,
      consoleLogs,
      isLeaving,
      logger,
    });
    const sampler = new StatisticsSampler((signal) => {
      const action = 'read the statistics of the VMs';
      const timeoutMs = Math.min(SAMPLE_TIMEOUT_MS, callTimeoutMs);
      return driver.call('list', ['statistics'], { action, timeoutMs }, signal);
    });
    this.#driver = driver;
    this.#keeper =
      options.descriptions && new DescriptionKeeper(cache, options.descriptions, options.logger);
    this.jobs = jobs;
    this.domains = domains;
    this.consoles = new LibvirtConsoles(calls);
    this.guestAgent = new LibvirtGuestAgent(calls);
    this.devices = new LibvirtDevices(calls, cache, this.guestAgent);
    this.events = feed;
    this.host = {
      async getInfo(signal) {
        const known = await hostInfo.read(signal);
        const info = { ...known, incomingSocket: await findIncomingSocket(place) };
        // Where what is known has answered, nobody else has looked.
        signal.throwIfAborted();
        return info;
      },
      async findCpuProblem(cpu, accelerator, signal) {
        if (!isCpu(cpu)) return undefined;
        const values = [accelerator === 'kvm' ? 'kvm' : 'qemu', cpu] as const;
        const action = 'compare the CPU of a VM with that of the host';
        return (await driver.call('compareCpu', [...values], { action }, signal)) || undefined;
      },
      async findModelProblem(wanted, accelerator, signal) {
        const model = wanted.model ?? nodeDefaults().defaultCpuModel;
        const cpu = findCpuXml(model, wanted, accelerator);
        if (cpu === undefined) return undefined;
        if ('problem' in cpu) return { part: 'model', description: cpu.problem };
        const required = requiredFeatures(wanted);
        const values = [accelerator === 'kvm' ? 'kvm' : 'qemu', cpu.xml, required] as const;
        const action = 'ask whether there is a CPU model';
        return await driver.call('compareModel', [...values], { action }, signal);
      },
      async listDiskBuses(signal) {
        const action = 'read which disks there are for VMs';
        return diskBusesOf(await driver.call('readDomainCapabilities', [], { action }, signal));
      },
      keepsDiskKeys(signal) {
        const action = 'read whether there is a place for keys of disks';
        return driver.call('keepsDiskKeys', [], { action }, signal);
      },
      async findFirmwareProblems(firmware, signal) {
        if (firmware.type === 'bios' && firmware.tpm === undefined) return [];
        const action = 'read what firmware there is for VMs';
        const capabilities = await driver.call('readDomainCapabilities', [], { action }, signal);
        const { daemonVersion } = await driver.call('readHost', [], { action }, signal);
        return [
          ...firmwareProblems(capabilities, firmware),
          ...nvramProblems(daemonVersion, firmware),
        ];
      },
      async findMachineProblems(machine, accelerator, signal) {
        const { watchdog, vsock, hyperv, memory } = machine;
        const asksVersion = watchdog !== undefined || memory?.max !== undefined;
        const asksKvm = hyperv !== undefined && accelerator === 'kvm';
        const action = 'read what KVM gives VMs';
        return machineProblems(machine, {
          libvirtVersion: asksVersion ? (await this.getInfo(signal)).libvirtVersion : '',
          capabilities: asksKvm
            ? await driver.call('readDomainCapabilities', [], { action }, signal)
            : '',
          hasVsock: vsock === undefined || existsSync(join(options.root ?? '/', VHOST_VSOCK)),
        });
      },
    };
    this.statistics = sampler;
  }

  /** Handles, descriptors and memory of the driver process. */
  async diagnose(signal: AbortSignal): Promise<DriverDiagnostics> {
    return this.#driver.diagnose(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#driver[Symbol.asyncDispose]();
    await this.#keeper?.[Symbol.asyncDispose]();
  }
}

function publish(
  report: DomainReport,
  cache: DefinitionCache,
  sampler: StatisticsSampler,
  feed: EventFeed,
): void {
  if (report.kind === 'changed') return cache.invalidate(report.uid);
  const { event } = report;
  if (event.kind === 'lifecycle') {
    cache.invalidate(event.uid);
    if (event.event === 'started' || event.event === 'stopped') sampler.forget(event.uid);
  }
  if (event.kind === 'guest-agent') cache.invalidate(event.uid);
  feed.publish(event);
}
