import { isDeepStrictEqual } from 'node:util';
import { isEjectedPath, machineToStart, withEjections } from '../../core/ejected-media.ts';
import { AgentError } from '../../core/errors.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import { withMedium } from '../../core/vm-medium.ts';
import {
  type AdoptableVm,
  type HypervisorDomains,
  type HypervisorVm,
  hypervisorNameOf,
  type VmFacts,
} from '../hypervisor-domains.ts';
import type { Accelerator, FileOwner } from '../hypervisor-host.ts';
import { adoptionOf, toAdoptable } from './adoptable-domain.ts';
import type { ConsoleLogs } from './console-logs.ts';
import { CpuPlacement, type NodeCpus } from './cpu-placement.ts';
import { DomainReader, type DomainReaderOptions } from './domain-reader.ts';
import { buildDomainXml } from './domain-xml/build-domain-xml.ts';
import { DomainDocument } from './domain-xml/domain-document.ts';
import type { DomainXmlOptions } from './domain-xml/domain-part.ts';
import { effectOf } from './domain-xml/domain-parts.ts';
import { METADATA_NAMESPACE, METADATA_PREFIX } from './domain-xml/metadata-namespace.ts';
import { losesDirtyPagesUnderTcg } from './host-info.ts';
import type { Seeds } from './seeds.ts';
import type { TpmStates } from './tpm-states.ts';
import type { UefiVariables } from './uefi-variables.ts';

const METADATA = { prefix: METADATA_PREFIX, namespace: METADATA_NAMESPACE } as const;

export interface LibvirtDomainsOptions extends DomainReaderOptions {
  /** Asked anew for each definition. */
  readonly nodeDefaults: () => NodeDefaults;
  readonly variables: UefiVariables;
  readonly tpmStates: TpmStates;
  readonly seeds: Seeds;
  /** Whom QEMU runs as; undefined where libvirt does not say. */
  readonly findProcessOwner: (signal: AbortSignal) => Promise<FileOwner | undefined>;
  readonly consoleLogs: ConsoleLogs;
}

/** What a VM gets where its spec leaves it to the node. */
export interface NodeDefaults {
  readonly accelerator: Accelerator;
  readonly defaultMachineType: string;
  readonly defaultCpuModel: string;
  /** Undefined where no CPUs are set apart for VMs. */
  readonly cpus?: NodeCpus | undefined;
  /** Folder of the files that the serial consoles are logged to. */
  readonly consoleDirectory: string;
}

/** VMs as domains of the host's libvirt. */
export class LibvirtDomains implements HypervisorDomains {
  readonly effectOf = effectOf;
  readonly #options: LibvirtDomainsOptions;
  readonly #reader: DomainReader;
  readonly #placement: CpuPlacement;
  #qemuVersion: number | undefined;

  constructor(options: LibvirtDomainsOptions) {
    this.#options = options;
    this.#reader = new DomainReader(options);
    const { driver, calls, cache } = options;
    const cpus = () => options.nodeDefaults().cpus;
    this.#placement = new CpuPlacement({ driver, calls, cache, cpus });
  }

  /** For a new connection: libvirt may be another one. */
  forget(): void {
    this.#qemuVersion = undefined;
    this.#reader.forget();
  }

  async list(signal: AbortSignal): Promise<readonly HypervisorVm[]> {
    return await this.#judgeLosses(await this.#reader.list(signal), signal);
  }

  get told(): number {
    return this.#options.cache.told;
  }

  expire(uid: string): void {
    this.#options.cache.expire(uid);
  }

  async find(uid: string, signal: AbortSignal): Promise<HypervisorVm | undefined> {
    const found = await this.#reader.find(uid, signal);
    return found && (await this.#judgeLosses([found], signal))[0];
  }

  /** Only an old QEMU loses any memory. */
  async #judgeLosses(
    vms: readonly HypervisorVm[],
    signal: AbortSignal,
  ): Promise<readonly HypervisorVm[]> {
    const [first] = vms.filter(({ lossyMemory }) => lossyMemory !== undefined);
    if (first === undefined) return vms;
    if (losesDirtyPagesUnderTcg(await this.#readQemuVersion(first.uid, signal))) return vms;
    return vms.map(({ lossyMemory: _lossyMemory, ...vm }) => vm);
  }

  async #readQemuVersion(uid: string, signal: AbortSignal): Promise<number> {
    const { calls } = this.#options;
    this.#qemuVersion ??= await calls.call('readHypervisorVersion', uid, [], 'read', signal);
    return this.#qemuVersion;
  }

  async define(definition: VmDefinition, signal: AbortSignal): Promise<void> {
    const { calls, cache } = this.#options;
    const { uid } = definition;
    cache.noteName(definition);
    const options = await this.#xmlOptions(uid, signal);
    const present = await calls.call('findDefinableXml', uid, [uid], 'define', signal);
    const xml =
      present === undefined
        ? buildDomainXml(definition, options)
        : DomainDocument.parse(present)
            .withMachine(machineToStart(definition), options)
            .withDefinition(definition)
            // Of a VM that somebody has undefined from under its run.
            .withRunningSince(undefined)
            .toString();
    const name = present === undefined ? hypervisorNameOf(definition) : undefined;
    await calls.call('define', uid, [uid, name, xml], 'define', signal);
    cache.invalidate(uid);
  }

  readBlueprint(uid: string, signal: AbortSignal): Promise<string | undefined> {
    return this.#options.calls.call('findDefinableXml', uid, [uid], 'read', signal);
  }

  async defineAgain(uid: string, blueprint: string, signal: AbortSignal): Promise<void> {
    const { calls, cache } = this.#options;
    const document = DomainDocument.parse(blueprint).withRunningSince(undefined);
    const { definition, name } = document;
    if (definition !== undefined) cache.noteName(definition);
    await calls.call('define', uid, [uid, name, document.toString()], 'define', signal);
    cache.invalidate(uid);
  }

  async findAdoptable(uid: string, signal: AbortSignal): Promise<AdoptableVm | undefined> {
    const { calls } = this.#options;
    const found = await calls.call('findAdoptable', uid, [uid], 'read', signal);
    if (found === undefined) return undefined;
    const { xml, autostart, hasSavedState, hasJob } = found;
    return toAdoptable(xml, { isAutostarted: autostart, isSaved: hasSavedState, isBusy: hasJob });
  }

  async adopt(definition: VmDefinition, signal: AbortSignal): Promise<void> {
    const { calls, cache } = this.#options;
    const { uid } = definition;
    cache.noteName(definition);
    const xml = await calls.call('readXml', uid, [uid], 'adopt', signal);
    const element = { ...adoptionOf(xml, definition), ...METADATA };
    await calls.call('adopt', uid, [uid, element], 'adopt', signal);
    cache.invalidate(uid);
  }

  async changeMedium(
    definition: VmDefinition,
    volumeName: string,
    { isForced }: { readonly isForced: boolean },
    signal: AbortSignal,
  ): Promise<void> {
    const { calls, cache } = this.#options;
    const { uid, name } = definition;
    const volume = definition.spec.template.spec.volumes?.find((one) => one.name === volumeName);
    const xml = await calls.call('readXml', uid, [uid], 'read', signal);
    const live = DomainDocument.parse(xml.live);
    const { definition: before } = live;
    const drive = volume && live.driveWith(volume);
    if (volume === undefined || drive === undefined || before === undefined) {
      throw new AgentError(
        'DEVICE_IN_USE',
        `Cannot change what is in ${volumeName} of VM ${name}: the running VM has no such drive; it has from its next start on what its manifest says`,
        { metadata: { vmId: uid } },
      );
    }
    const changed = withEjections(
      withMedium(before, volumeName, volume.source),
      definition.ejected,
    );
    // With nothing else waiting for the next start, what runs is what is wanted.
    const isAll = isDeepStrictEqual(changed.spec, definition.spec);
    const metadata = live.withDefinition(isAll ? definition : changed).metadataWithFacts({});
    const element = { live: metadata, persistent: undefined, ...METADATA };
    const values = [uid, drive, element, isForced] as const;
    await calls.call('changeMedium', uid, [...values], 'change the medium of', signal);
    cache.invalidate(uid);
    await this.define(definition, signal);
  }

  async keepEjected(
    definition: VmDefinition,
    volumeName: string,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { calls, cache } = this.#options;
    const { uid, ejected = {} } = definition;
    const xml = await calls.call('readXml', uid, [uid], 'read', signal);
    const live = DomainDocument.parse(xml.live);
    const next = xml.persistent === undefined ? undefined : DomainDocument.parse(xml.persistent);
    const driveOf = (document: DomainDocument | undefined) =>
      document?.volumes.find(
        ({ isOurs, name, path }) =>
          isOurs && name === volumeName && isEjectedPath(ejected, volumeName, path),
      );
    // Somebody may have put it in just now, for which the drive is open a moment; or the guest has shut it again.
    if (!live.isLive || driveOf(live)?.isOpen !== true) return false;
    // First: an agent that is killed after it finds the drive open and the medium in it, and goes on.
    await this.setFacts(uid, { ejected }, signal);
    const drives = {
      persistent: driveOf(next) && next?.emptyDrive(volumeName),
      live: live.emptyDrive(volumeName),
    };
    await calls.call('emptyDrive', uid, [uid, drives], 'change the medium of', signal);
    cache.invalidate(uid);
    return true;
  }

  async setFacts(uid: string, facts: Partial<VmFacts>, signal: AbortSignal): Promise<void> {
    const { calls, cache } = this.#options;
    const xml = await calls.call('readXml', uid, [uid], 'read', signal);
    const live = DomainDocument.parse(xml.live).metadataWithFacts(facts);
    const persistent =
      xml.persistent === undefined
        ? live
        : DomainDocument.parse(xml.persistent).metadataWithFacts(facts);
    if (live === undefined && persistent === undefined) {
      throw new AgentError(
        'VM_NOT_FOUND',
        `Cannot change what is kept with ${calls.nameOf(uid)}: the domain is not one of an agent`,
        { metadata: { vmId: uid } },
      );
    }
    const element = { live, persistent, ...METADATA };
    await calls.call('setMetadata', uid, [uid, element], 'change what is kept with', signal);
    cache.invalidate(uid);
  }

  async start(uid: string, signal: AbortSignal): Promise<void> {
    const start = (next: DomainDocument | undefined) => this.#startAsWanted(uid, next, signal);
    const begun = await this.#placement.start(uid, start, signal);
    await this.#noteStart(uid, begun, Date.now(), signal);
  }

  /** What the run has begun with; undefined for one that was on before. */
  async #startAsWanted(
    uid: string,
    wanted: DomainDocument | undefined,
    signal: AbortSignal,
  ): Promise<DomainDocument | undefined> {
    const { calls } = this.#options;
    const resetsNvram = wanted?.definition?.spec.template.spec.firmware?.nvram === 'reset';
    const isNew = await calls.call('start', uid, [uid, { resetsNvram }], 'start', signal);
    return isNew ? wanted : undefined;
  }

  /** A VM is started whether or not that can be noted. */
  async #noteStart(
    uid: string,
    begun: DomainDocument | undefined,
    nowMs: number,
    signal: AbortSignal,
  ): Promise<void> {
    const { calls, cache, logger } = this.#options;
    try {
      const live = begun ?? (await this.#readLive(uid, signal));
      // It has been on for longer.
      if (live.runningSinceMs !== undefined) return;
      const metadata = live.withRunningSince(nowMs).metadataWithFacts({});
      if (metadata === undefined) return;
      const element = { live: metadata, persistent: undefined, ...METADATA };
      await calls.call('setMetadata', uid, [uid, element], 'change what is kept with', signal);
      cache.invalidate(uid);
    } catch (error) {
      logger?.debug({ vmId: uid, err: error }, 'Cannot note when a VM was started');
    }
  }

  async #readLive(uid: string, signal: AbortSignal): Promise<DomainDocument> {
    const { live } = await this.#options.calls.call('readXml', uid, [uid], 'read', signal);
    return DomainDocument.parse(live);
  }

  async shutdown(uid: string, signal: AbortSignal): Promise<void> {
    await this.#options.calls.call('shutdown', uid, [uid], 'shut down', signal);
  }

  async destroy(uid: string, signal: AbortSignal): Promise<void> {
    await this.#options.calls.call('destroy', uid, [uid], 'cut the power of', signal);
  }

  async suspend(uid: string, signal: AbortSignal): Promise<void> {
    await this.#options.calls.call('suspend', uid, [uid], 'suspend', signal);
  }

  async resume(uid: string, signal: AbortSignal): Promise<void> {
    await this.#options.calls.call('resume', uid, [uid], 'resume', signal);
  }

  async reset(uid: string, signal: AbortSignal): Promise<void> {
    await this.#options.calls.call('reset', uid, [uid], 'reset', signal);
  }

  async reboot(uid: string, signal: AbortSignal): Promise<void> {
    await this.#options.calls.call('reboot', uid, [uid], 'reboot', signal);
  }

  async undefine(uid: string, signal: AbortSignal): Promise<void> {
    const { calls, variables, tpmStates, seeds, consoleLogs, logger } = this.#options;
    await calls.call('undefine', uid, [uid], 'undefine', signal);
    // It may hold secrets.
    await seeds.remove(uid);
    await calls.call('removeDiskKeys', uid, [uid], 'remove the keys of the disks of', signal);
    // libvirt removes the file that the domain names, which is none after a change to BIOS.
    await variables.remove(uid);
    // Nor one that the domain has lost before.
    await tpmStates.remove(uid);
    try {
      await consoleLogs.remove(uid);
    } catch (error) {
      // The VM is gone; the agent looks for such files when it starts again.
      logger?.warn(
        { vmId: uid, err: error },
        'Could not remove the console log of a VM that is gone',
      );
    }
  }

  async putSeed(uid: string, image: Uint8Array, signal: AbortSignal): Promise<void> {
    const { seeds, findProcessOwner } = this.#options;
    await seeds.put(uid, image, await findProcessOwner(signal));
  }

  async hasSeed(uid: string, signal: AbortSignal): Promise<boolean> {
    signal.throwIfAborted();
    return await this.#options.seeds.has(uid);
  }

  async putDiskKeys(
    uid: string,
    keys: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<void> {
    const { calls } = this.#options;
    await calls.call('putDiskKeys', uid, [uid, keys], 'keep the keys of the disks of', signal);
  }

  async listFiles(signal: AbortSignal): Promise<readonly string[]> {
    signal.throwIfAborted();
    const { variables, tpmStates, seeds, consoleLogs, driver, calls } = this.#options;
    const folders = [variables, tpmStates, seeds, consoleLogs];
    const lists = await Promise.all(folders.map((folder) => folder.list()));
    const how = { action: 'list the keys of disks', timeoutMs: calls.callTimeoutMs };
    const keyOwners = await driver.call('listDiskKeyOwners', [], how, signal);
    return [...new Set([...lists.flat(), ...keyOwners])];
  }

  async removeFiles(uid: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { calls } = this.#options;
    await calls.call('removeDiskKeys', uid, [uid], 'remove the keys of the disks of', signal);
    await this.#options.variables.remove(uid);
    await this.#options.tpmStates.remove(uid);
    await this.#options.seeds.remove(uid);
    await this.#options.consoleLogs.remove(uid);
  }

  async #xmlOptions(uid: string, signal: AbortSignal): Promise<DomainXmlOptions> {
    const { variables, seeds, consoleLogs } = this.#options;
    const { cpus: _, ...nodeDefaults } = this.#options.nodeDefaults();
    return {
      ...nodeDefaults,
      consoleLogPath: consoleLogs.pathOf(uid),
      nvramPath: variables.pathOf(uid),
      seedPath: seeds.pathOf(uid),
      oddRamSize: losesDirtyPagesUnderTcg(await this.#readQemuVersion(uid, signal)),
    };
  }
}
