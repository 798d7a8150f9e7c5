import { isDeepStrictEqual } from 'node:util';
import { DISK_KEYS_FILE } from '../../core/disk-keys.ts';
import { AgentError, hasReason } from '../../core/errors.ts';
import type { KeyLocks } from '../../core/key-locks.ts';
import type { Logger } from '../../core/logger.ts';
import type { MadeDisk } from '../../core/made-disks.ts';
import { presetNotes, withPreset } from '../../core/resources/os-preset.ts';
import { parseVirtualMachine } from '../../core/resources/parse-virtual-machine.ts';
import { PASSWORD_FILE, USER_DATA_FILE } from '../../core/user-data.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import {
  type HypervisorDomains,
  type HypervisorVm,
  hypervisorNameOf,
} from '../../drivers/hypervisor-domains.ts';
import type { HypervisorHost } from '../../drivers/hypervisor-host.ts';
import type { NodeSecrets } from '../../drivers/node-secrets.ts';
import type { PrivateFiles } from '../../drivers/private-files.ts';
import { hasStartHooks } from '../hooks/vm-hooks.ts';
import type { CapacityLedger } from '../node/capacity-ledger.ts';
import type { Cordon } from '../node/cordon.ts';
import type { NodeAccelerator } from '../node/node-accelerator.ts';
import type { ReservationBook } from '../node/reservation-book.ts';
import type { Origins } from '../reports/report.ts';
import type { ShutdownMark } from '../shutdown/shutdown-mark.ts';
import { userDataNotes } from './cloud-init-notes.ts';
import type { DefinitionValidator } from './definition-validator.ts';
import { assertNamed, withGiven } from './given-secrets.ts';
import { findHypervisorNamesake } from './hypervisor-namesake.ts';
import { howToMend, isDamaged } from './known-spec.ts';
import { restoreUserData } from './lost-user-data.ts';
import { nameKey } from './name-key.ts';
import { howToDeleteCopy, type Ownership } from './ownership.ts';
import type { OwnershipRecord } from './ownership-store.ts';
import type { Remains } from './remains.ts';
import { assertRead } from './unread-vms.ts';
import type { CreateOptions, CreateResult, Vm } from './vm.ts';
import { plannedVm } from './vm-describer.ts';
import type { VmDiskKeys } from './vm-disk-keys.ts';
import type { VmDisks } from './vm-disks.ts';
import type { VmInventory } from './vm-inventory.ts';
import type { VmLocator } from './vm-locator.ts';
import { readPassword } from './vm-passwords.ts';
import type { VmSeeds } from './vm-seeds.ts';
import { newDefinition, withPrivateFiles } from './wanted-definition.ts';
import { assertUserDataKnown, setUserDataApart } from './wanted-user-data.ts';

export interface VmCreatorOptions {
  readonly host: Pick<HypervisorHost, 'getInfo'>;
  readonly domains: Pick<
    HypervisorDomains,
    'define' | 'start' | 'find' | 'list' | 'destroy' | 'undefine' | 'removeFiles'
  >;
  readonly privateFiles: Pick<PrivateFiles, 'put' | 'read' | 'remove'>;
  readonly nodeSecrets: NodeSecrets;
  readonly seeds: Pick<VmSeeds, 'write'>;
  readonly diskKeys: Pick<VmDiskKeys, 'add' | 'ensure'>;
  readonly disks: Pick<VmDisks, 'plan' | 'notes' | 'make' | 'removeAll'>;
  readonly inventory: VmInventory;
  readonly ownership: Ownership;
  readonly accelerator: Pick<NodeAccelerator, 'assertKnown'>;
  readonly capacity: CapacityLedger;
  readonly reservations: Pick<ReservationBook, 'useUp'>;
  readonly cordon: Pick<Cordon, 'assertNotCordoned'>;
  readonly nodeShutdown: Pick<ShutdownMark, 'assertNotGoingDown'>;
  readonly origins: Origins;
  readonly locks: KeyLocks;
  readonly validator: DefinitionValidator;
  readonly locator: Pick<VmLocator, 'assertNowhere'>;
  readonly remains: Remains;
  readonly log: Logger;
}

const UNDO_TIMEOUT_MS = 15_000;

/** Makes VMs, whole or not at all, and sees that there is room for them. */
export class VmCreator {
  readonly #options: VmCreatorOptions;

  constructor(options: VmCreatorOptions) {
    this.#options = options;
  }

  /** Creating a VM that is there with the same uid, labels, annotations and spec answers with it. */
  async create(
    manifest: unknown,
    options: CreateOptions,
    signal: AbortSignal,
  ): Promise<CreateResult> {
    const { host, inventory, validator, locks, ownership, cordon } = this.#options;
    const { capacity, reservations, nodeShutdown, origins } = this.#options;
    const preset = withPreset(parseVirtualMachine(manifest));
    const parts = setUserDataApart(preset.wanted);
    const { wanted, userData } = parts;
    const [{ hostUuid }] = await Promise.all([host.getInfo(signal), inventory.refresh(signal)]);
    const draft = newDefinition(wanted, hostUuid);
    const existing = this.#findExisting(draft, wanted.metadata.uid !== undefined);
    if (existing !== undefined) {
      assertEpochReached(existing.definition, options.ownershipEpoch);
      if (!options.dryRun) {
        await restoreUserData(existing.definition, userData, this.#options, signal);
        // An agent that was killed may have made the VM and not have come to this.
        if (options.reservationId !== undefined) await reservations.useUp(options.reservationId);
      }
      return { vm: existing, warnings: [] };
    }
    inventory.assertAbsent(draft);
    assertUserDataKnown(parts, {});
    assertNamed(options.secrets, wanted.spec);
    const secrets = withGiven(options.secrets, this.#options.nodeSecrets);
    const password = await readPassword(wanted.spec, undefined, secrets, signal);
    const diskKeys = await this.#options.diskKeys.add(wanted.spec, undefined, secrets, signal);
    const files = { [PASSWORD_FILE]: password, [DISK_KEYS_FILE]: diskKeys };
    const unplanned = {
      ...withPrivateFiles(draft, files),
      ownershipEpoch: ownership.epochOfNew(draft, options.ownershipEpoch),
    };
    const how = { foresees: options.dryRun, secrets: options.secrets };
    const definition = await this.#options.disks.plan(unplanned, how, signal);
    const assertTaken = (): void => {
      if (definition.intent !== 'on') return;
      nodeShutdown.assertNotGoingDown(`Cannot create VM ${definition.name}`);
      cordon.assertNotCordoned(`VM ${definition.name}`);
    };
    assertTaken();

    await locks.untilNotByItself(definition.uid, signal);
    // The name is locked as well, or two VMs of one name could be created side by side.
    using nameLock = locks.tryAcquire(nameKey(definition), 'create');
    using uidLock = locks.tryAcquire(definition.uid, 'create');
    if (nameLock === undefined || uidLock === undefined) throw nameBusy(definition);
    const warnings = [
      ...(await validator.validate(wanted, { isStarted: draft.intent === 'on', preset }, signal)),
      ...presetNotes(preset),
      ...userDataNotes(userData),
      ...(await this.#options.disks.notes(definition, undefined, signal)),
    ];
    const listed = await this.#options.domains.list(signal);
    if (listed.some(({ uid }) => uid === definition.uid)) {
      await this.#freeUid(definition, options.dryRun, signal);
    }
    assertNameFree(definition, listed);
    const namesake = ownership.findByName(definition.namespace, definition.name);
    if (namesake?.left !== undefined && namesake.uid !== definition.uid) {
      warnings.push(
        `A VM ${definition.name} has moved from here to node ${namesake.left.toNode}; this is another one`,
      );
    }
    // A new uid is on no node, and whoever has assigned an epoch knows better than the nodes.
    const isAsked = options.asksNodes !== false && options.ownershipEpoch === undefined;
    if (isAsked && wanted.metadata.uid !== undefined) {
      warnings.push(...(await this.#options.locator.assertNowhere(definition, signal)));
    }
    // Set aside for a VM that is arriving, which the inventory does not know yet.
    if (capacity.findHolding(definition.namespace, definition.name) !== undefined) {
      throw nameBusy(definition);
    }
    // Whoever has been told that the node takes no more VMs may count what it has then.
    assertTaken();
    using _amount = capacity.setAside(definition, {
      reservationId: options.reservationId,
      isOn: definition.intent === 'on',
    });
    if (options.dryRun) return { vm: plannedVm(definition, origins.current()), warnings };
    // Its operation waits until it is.
    this.#options.accelerator.assertKnown(`Cannot create VM ${definition.name}`);
    warnings.push(
      ...(await this.#make(definition, { ...files, [USER_DATA_FILE]: userData }, signal)),
    );
    if (options.reservationId !== undefined) await reservations.useUp(options.reservationId);
    await inventory.refresh(signal);
    const made = inventory.findByUid(definition.uid);
    const vm = made?.isRead === true ? made : plannedVm(definition, origins.current());
    return { vm, warnings };
  }

  async #make(
    definition: VmDefinition,
    files: Readonly<Record<string, Uint8Array | undefined>>,
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    const { domains, ownership, privateFiles, disks, log } = this.#options;
    signal.throwIfAborted();
    const before = ownership.find(definition.uid);
    await using undo = new AsyncDisposableStack();
    // Registered before the deed: a define that timed out may have happened all the same.
    let made: readonly MadeDisk[] = [];
    undo.defer(() => this.#unmake(definition, before, made));
    // Before there is a VM that names them.
    for (const [name, content] of Object.entries(files)) {
      if (content !== undefined) await privateFiles.put(definition.uid, name, content, signal);
    }
    await this.#options.diskKeys.ensure(definition, signal);
    await this.#options.seeds.write(definition, { isNeeded: false }, signal);
    const making = await disks.make(definition, undefined, signal);
    made = making.made;
    await domains.define(definition, signal);
    // Not before: that it has left this node must be known for as long as no newer copy of it is here.
    await ownership.own(definition);
    // Where something is to run before it, its operation starts it.
    const isStarted = definition.intent === 'on' && !hasStartHooks(definition);
    if (isStarted) await domains.start(definition.uid, signal);
    undo.move();
    log.info({ vmId: definition.uid, name: definition.name }, 'VM created');
    return making.warnings;
  }

  async #unmake(
    { uid: vmUid, createdAtMs }: VmDefinition,
    before: OwnershipRecord | undefined,
    made: readonly MadeDisk[],
  ): Promise<void> {
    const { domains, ownership, privateFiles, disks, log } = this.#options;
    const signal = AbortSignal.timeout(UNDO_TIMEOUT_MS);
    try {
      const found = await domains.find(vmUid, signal);
      // Whoever else has defined a VM of this uid in the meantime keeps it.
      if (found?.definition?.createdAtMs === createdAtMs) {
        await this.#remove(vmUid, signal);
      }
      // Of one that has not come to be.
      if (found === undefined) await domains.removeFiles(vmUid, signal);
      // Were it forgotten that the VM has left, nothing would keep a copy of it from being started.
      await ownership.restore(vmUid, before);
      await privateFiles.remove(vmUid, signal);
      // Not while something may still start with them.
      const isGone = found === undefined || found.definition?.createdAtMs === createdAtMs;
      if (isGone) await disks.removeAll(made);
    } catch (error) {
      log.error({ vmId: vmUid, err: error }, 'Could not remove a VM whose creation failed');
    }
  }

  /** A start that was given up may still happen between the two steps, and then they are taken again. */
  async #remove(vmUid: string, signal: AbortSignal): Promise<void> {
    const { domains } = this.#options;
    for (;;) {
      try {
        await domains.destroy(vmUid, signal);
        return await domains.undefine(vmUid, signal);
      } catch (error) {
        if (!hasReason(error, 'VM_RUNNING')) throw error;
      }
    }
  }

  /** The inventory leaves out VMs that are not ours; defining over one of those would take it away from its owner. */
  async #freeUid(definition: VmDefinition, dryRun: boolean, signal: AbortSignal): Promise<void> {
    const { domains, remains } = this.#options;
    const found = await domains.find(definition.uid, signal);
    if (found === undefined) return;
    if (found.definition !== undefined && remains.is(found)) {
      if (!dryRun) await remains.remove(found.definition, signal);
      return;
    }
    throw new AgentError(
      'VM_ALREADY_EXISTS',
      `Cannot create VM ${definition.name}: the hypervisor has ${found.hypervisorName} with that uid, which this agent does not manage; choose another uid`,
      { metadata: { vmId: definition.uid } },
    );
  }

  #findExisting(definition: VmDefinition, uidGiven: boolean): Vm | undefined {
    const { inventory, ownership } = this.#options;
    const existing =
      inventory.findByUid(definition.uid) ??
      inventory.findByName(definition.namespace, definition.name);
    if (existing === undefined) return undefined;
    assertRead(existing);
    if (uidGiven && sameVm(existing.definition, definition)) {
      // A copy that is never run is not what was asked for.
      ownership.assertOwned(existing.definition);
      return existing;
    }
    const isUnowned = ownership.isUnowned(existing.definition);
    // Neither can it be changed here, nor is the VM that it is a copy of to be made a second time.
    if (existing.definition.uid === definition.uid) ownership.assertOwned(existing.definition);
    const why = difference(existing.definition, definition, isUnowned);
    throw new AgentError('VM_ALREADY_EXISTS', `Cannot create VM ${definition.name}: ${why}`, {
      metadata: { vmId: existing.definition.uid },
    });
  }
}

/** What is ours by that name is found before; this is what the hypervisor calls so. */
function assertNameFree(definition: VmDefinition, listed: readonly HypervisorVm[]): void {
  const { name } = definition;
  const hypervisorName = hypervisorNameOf(definition);
  const other = findHypervisorNamesake(listed, hypervisorName, definition);
  if (other === undefined) return;
  throw new AgentError(
    'VM_ALREADY_EXISTS',
    `Cannot create VM ${name}: libvirt has another by the name ${hypervisorName} that this one would get (${other}); choose another name, or shut that one down and rename it with virsh domrename`,
    { metadata: { name } },
  );
}

function nameBusy({ name }: VmDefinition): AgentError {
  return new AgentError(
    'VM_BUSY',
    `Cannot create VM ${name}: a VM of that name is being created or is arriving; try again when that has ended`,
    { metadata: { name }, retryAfterMs: 1_000 },
  );
}

/** A VM that is here is not given another epoch: whoever has assigned a higher one takes it to be elsewhere, or nowhere. */
function assertEpochReached(existing: VmDefinition, assigned = 0): void {
  const { uid, name, ownershipEpoch } = existing;
  if (assigned <= ownershipEpoch) return;
  throw new AgentError(
    'VM_ALREADY_EXISTS',
    `Cannot create VM ${name} with ownership epoch ${assigned}: it is on this node with epoch ${ownershipEpoch}; use it, or delete it first`,
    { metadata: { vmId: uid, ownershipEpoch: String(ownershipEpoch) } },
  );
}

/** Whether a repeated request means the VM that is there; being started or stopped since does not matter. */
function sameVm(existing: VmDefinition, wanted: VmDefinition): boolean {
  return (
    existing.uid === wanted.uid &&
    existing.namespace === wanted.namespace &&
    existing.name === wanted.name &&
    isDeepStrictEqual(existing.labels, wanted.labels) &&
    isDeepStrictEqual(existing.annotations, wanted.annotations) &&
    isDeepStrictEqual(existing.spec, wanted.spec)
  );
}

/** Why the VM that is there is not the one that is wanted. */
function difference(existing: VmDefinition, wanted: VmDefinition, isUnowned: boolean): string {
  if (nameKey(existing) !== nameKey(wanted)) {
    return `its uid belongs to VM ${nameKey(existing)}; leave the uid out or choose another`;
  }
  if (existing.uid === wanted.uid) {
    if (isDamaged(existing)) {
      return `it exists, and its manifest is damaged and cannot be read; ${howToMend(existing)}`;
    }
    return 'it exists with other labels or annotations or another spec; apply the manifest to change it';
  }
  return isUnowned
    ? `namespace ${existing.namespace} has a copy of another VM of that name, which this node does not own; ${howToDeleteCopy(existing)} first or choose another name`
    : `namespace ${existing.namespace} has another VM of that name; delete it first or choose another name`;
}
