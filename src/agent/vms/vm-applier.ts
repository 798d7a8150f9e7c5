import { DISK_KEYS_FILE } from '../../core/disk-keys.ts';
import { AgentError } from '../../core/errors.ts';
import type { KeyLocks } from '../../core/key-locks.ts';
import type { Logger } from '../../core/logger.ts';
import { type MadeDisk, withSizesSaid } from '../../core/made-disks.ts';
import { fieldChanges } from '../../core/resources/field-changes.ts';
import { lostPresetNotes, presetNotes, withPreset } from '../../core/resources/os-preset.ts';
import { identityOf, type WantedVm } from '../../core/resources/parse-virtual-machine.ts';
import { PASSWORD_FILE, USER_DATA_FILE } from '../../core/user-data.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { HypervisorDevices } from '../../drivers/hypervisor-devices.ts';
import {
  type HypervisorDomains,
  type HypervisorVm,
  isOn,
} from '../../drivers/hypervisor-domains.ts';
import type { NodeSecrets } from '../../drivers/node-secrets.ts';
import type { PrivateFiles } from '../../drivers/private-files.ts';
import type { CapacityLedger } from '../node/capacity-ledger.ts';
import { lockVm } from './busy.ts';
import { bootedNotes, tellsOtherwise, userDataNotes } from './cloud-init-notes.ts';
import type { DefinitionValidator } from './definition-validator.ts';
import { disksChanged, putsDisksBack } from './disks-changed.ts';
import { ejectionNotes } from './ejection-notes.ts';
import { firmwareNotes } from './firmware-notes.ts';
import { assertNamed, unusedNotes, withGiven } from './given-secrets.ts';
import { keptHardwareNotes } from './kept-hardware-notes.ts';
import { assertSpecKnown } from './known-spec.ts';
import { restoreUserData } from './lost-user-data.ts';
import type { Ownership } from './ownership.ts';
import { sizeNotes } from './size-notes.ts';
import { assertRead } from './unread-vms.ts';
import type { ApplyOptions, ApplyResult, FieldChange, Vm, VmRef } from './vm.ts';
import type { VmCreator } from './vm-creator.ts';
import type { VmDiskKeys } from './vm-disk-keys.ts';
import type { DiskResizer, VmDisks } from './vm-disks.ts';
import type { VmInventory } from './vm-inventory.ts';
import { readPassword } from './vm-passwords.ts';
import { isOff } from './vm-phase.ts';
import type { VmSeeds } from './vm-seeds.ts';
import { changedDefinition, wantedOf, wantedVm, withPrivateFiles } from './wanted-definition.ts';
import { assertUserDataKnown, setUserDataApart } from './wanted-user-data.ts';
import type { Whereabouts } from './whereabouts.ts';

export interface VmApplierOptions {
  readonly domains: Pick<HypervisorDomains, 'define' | 'effectOf' | 'find'>;
  readonly privateFiles: Pick<PrivateFiles, 'put' | 'read' | 'keepOnly'>;
  readonly nodeSecrets: NodeSecrets;
  readonly seeds: Pick<VmSeeds, 'write'>;
  readonly diskKeys: Pick<VmDiskKeys, 'add' | 'ensure'>;
  readonly disks: Pick<VmDisks, 'plan' | 'notes' | 'make' | 'resize' | 'removeAll'>;
  readonly devices: Pick<HypervisorDevices, 'resizeDisk'>;
  readonly inventory: VmInventory;
  readonly creator: VmCreator;
  readonly capacity: Pick<CapacityLedger, 'setAsideGrowth'>;
  readonly ownership: Ownership;
  readonly whereabouts: Pick<Whereabouts, 'notFound'>;
  readonly validator: DefinitionValidator;
  readonly locks: KeyLocks;
  readonly log: Logger;
}

const DISK_FIELDS = ['volumes', 'resources.disk', 'image'].map(
  (field) => `spec.template.spec.${field}`,
);

const UNDO_TIMEOUT_MS = 15_000;

/** What a look at the VM itself says. */
type Found = Pick<HypervisorVm, 'drift' | 'disks' | 'volumes' | 'sizes'> &
  Pick<Vm, 'definition'> & { readonly isOn: boolean };

/** Makes VMs be as a manifest says: creates what is not there, changes the definition of what is. */
export class VmApplier {
  readonly #options: VmApplierOptions;

  constructor(options: VmApplierOptions) {
    this.#options = options;
  }

  async apply(manifest: unknown, options: ApplyOptions, signal: AbortSignal): Promise<ApplyResult> {
    const { inventory, creator } = this.#options;
    const { namespace, name, uid } = identityOf(manifest);
    await inventory.refresh(signal);
    const current = inventory.findByName(namespace, name);
    if (current === undefined) {
      inventory.assertAbsent({ namespace, name, uid });
      this.#assertMayCreate({ namespace, name, uid }, options);
      const { dryRun, secrets, asksNodes = true } = options;
      const create = { dryRun, secrets, asksNodes, reservationId: undefined };
      const created = await creator.create(manifest, create, signal);
      return { ...created, outcome: 'created', changes: [] };
    }
    assertRead(current);
    // A listing may know a busy VM as it was.
    const found = await this.#read(current.definition, signal);
    const { definition, drift, sizes } = found;
    const now = { ...current, definition, drift, sizes };
    assertChangeable(now, uid, options.generation);
    return this.#change(now, found, manifest, options, signal);
  }

  async #read(known: VmDefinition, signal: AbortSignal): Promise<Found> {
    const found = await this.#options.domains.find(known.uid, signal);
    if (found?.definition === undefined) throw generationMismatch(known, undefined);
    const { definition, drift, disks, volumes, sizes } = found;
    return { definition, drift, disks, volumes, sizes, isOn: isOn(found) };
  }

  async #change(
    current: Vm,
    found: Found,
    manifest: unknown,
    options: ApplyOptions,
    signal: AbortSignal,
  ): Promise<ApplyResult> {
    const { validator, ownership, locks, inventory, disks } = this.#options;
    const { definition } = current;
    const before = definition.spec.template.spec;
    const preset = withPreset(wantedVm(definition, manifest, options.updateMask), before);
    const parts = setUserDataApart(preset.wanted);
    const { wanted, userData } = parts;
    assertUserDataKnown(parts, definition.privateFiles);
    const changes = this.#changes(current, wanted);
    const how = { foresees: options.dryRun, secrets: options.secrets };
    const planned = await disks.plan(changedDefinition(definition, wanted), how, signal);
    const known = { ...wanted, metadata: { ...wanted.metadata, uid: definition.uid } };
    const warnings = [
      ...(await validator.validate(known, { isStarted: false, preset }, signal)),
      ...presetNotes(preset),
      ...userDataNotes(userData),
      ...bootedNotes(current, wanted.spec, changes),
      ...firmwareNotes(current, wanted.spec),
      ...keptHardwareNotes(before, wanted.spec.template.spec),
      ...lostPresetNotes(before, wanted.spec.template.spec, changes),
      ...sizeNotes(current, wanted.spec.template.spec, changes),
      ...(await disks.notes(planned, definition, signal)),
      ...ejectionNotes(changedDefinition(definition, wanted)),
    ];
    assertNamed(options.secrets, wanted.spec);
    const secrets = withGiven(options.secrets, this.#options.nodeSecrets);
    const password = await readPassword(wanted.spec, definition, secrets, signal);
    const diskKeys = await this.#options.diskKeys.add(wanted.spec, definition, secrets, signal);
    warnings.push(...unusedNotes(options.secrets, wanted.spec, definition));
    // Also where nothing would change: what is here is not the VM.
    ownership.assertOwned(definition);
    if (changes.length === 0) {
      if (!options.dryRun) await restoreUserData(definition, userData, this.#options, signal);
      return { vm: current, warnings, outcome: 'unchanged', changes };
    }
    assertDisksKnown(found, wanted, changes);
    // Until it is listed as what it is to be.
    using _growth = this.#options.capacity.setAsideGrowth(current, wanted.spec.template.spec);
    if (options.dryRun) {
      const vm = { ...current, definition: { ...planned, generation: definition.generation } };
      return { vm, warnings, outcome: 'changed', changes };
    }
    using _lock = await lockVm(locks, definition, { verb: 'change', purpose: 'apply' }, signal);
    // What was compared must still be what is there.
    const again = await this.#read(definition, signal);
    const { definition: now } = again;
    if (now.generation !== definition.generation) {
      throw generationMismatch(definition, now.generation);
    }
    assertDisksKnown(again, wanted, changes);
    const files = { [PASSWORD_FILE]: password, [DISK_KEYS_FILE]: diskKeys };
    for (const [name, content] of Object.entries({ ...files, [USER_DATA_FILE]: userData })) {
      if (content === undefined) continue;
      await this.#options.privateFiles.put(definition.uid, name, content, signal);
    }
    // Whether it shall be on may have changed without a new generation.
    const unplanned = withPrivateFiles(changedDefinition(now, wanted), files);
    if (diskKeys !== undefined) await this.#options.diskKeys.ensure(unplanned, signal);
    const next = await disks.plan(unplanned, how, signal);
    if (tellsOtherwise(changes)) await this.#options.seeds.write(next, { isNeeded: false }, signal);
    await disks.resize(next, now, this.#resizerOf(again, now), signal);
    const making = await disks.make(next, now, signal);
    warnings.push(...making.warnings);
    await this.#define(next, making.made, signal);
    await inventory.refresh(signal);
    return {
      vm: inventory.findByUid(definition.uid) ?? current,
      warnings,
      outcome: 'changed',
      changes,
    };
  }

  /** What runs has its disks open, which nobody else may touch. */
  #resizerOf({ volumes, isOn }: Found, { uid }: VmDefinition): DiskResizer {
    const open = isOn ? volumes.map(({ path }) => path) : [];
    return {
      hasOpen: (path) => open.includes(path),
      resize: (path, bytes, signal) => this.#options.devices.resizeDisk(uid, path, bytes, signal),
    };
  }

  async #define(
    definition: VmDefinition,
    made: readonly MadeDisk[],
    signal: AbortSignal,
  ): Promise<void> {
    const { domains, privateFiles, log } = this.#options;
    try {
      await domains.define(definition, signal);
    } catch (error) {
      if (made.length > 0) await this.#takeBack(definition, made);
      throw error;
    }
    log.info({ vmId: definition.uid, operation: 'apply' }, 'VM changed');
    // What it has had before may be the secret that was to be taken back.
    await privateFiles.keepOnly(definition.uid, definition.privateFiles, signal);
  }

  /** Removes disks that were made for a change that has come to nothing, unless it has been made after all. */
  async #takeBack({ uid }: VmDefinition, made: readonly MadeDisk[]): Promise<void> {
    const { domains, disks, log } = this.#options;
    try {
      const found = await domains.find(uid, AbortSignal.timeout(UNDO_TIMEOUT_MS));
      const known = Object.values(found?.definition?.madeDisks ?? {}).map(({ path }) => path);
      await disks.removeAll(made.filter(({ path }) => !known.includes(path)));
    } catch (error) {
      // An apply that comes later finds them, with nothing on them.
      log.warn({ vmId: uid, err: error }, 'Could not remove disks of a change that has failed');
    }
  }

  #changes(vm: Vm, wanted: WantedVm): readonly FieldChange[] {
    const { madeDisks } = vm.definition;
    const known = wantedOf(vm.definition);
    const { template } = known.spec;
    const machine = withSizesSaid(template.spec, madeDisks, wanted.spec.template.spec);
    const before = { ...known, spec: { ...known.spec, template: { ...template, spec: machine } } };
    // Labels and annotations that are left out are taken away; a uid that is left out is any.
    const { labels = {}, annotations = {} } = wanted.metadata;
    const after = { metadata: { ...before.metadata, labels, annotations }, spec: wanted.spec };
    return fieldChanges(before, after).map((change) => ({
      ...change,
      effect: isOff(vm) ? 'now' : this.#options.domains.effectOf(change.field, change, vm.sizes),
    }));
  }

  #assertMayCreate(ref: VmRef, options: ApplyOptions): void {
    if (options.updateMask === undefined && (options.generation ?? 0) === 0) return;
    throw this.#options.whereabouts.notFound(ref, 'change');
  }
}

function assertChangeable(
  { definition }: Vm,
  uid: string | undefined,
  generation: number | undefined,
): void {
  const { name, uid: vmId } = definition;
  if (uid !== undefined && uid !== vmId) {
    throw new AgentError(
      'VM_UID_MISMATCH',
      `Cannot change VM ${name}: it is another one than was meant, with uid ${vmId}, not ${uid}; leave the uid out of the manifest to mean whichever has the name`,
      { metadata: { vmId } },
    );
  }
  if (generation !== undefined && generation !== definition.generation) {
    throw generationMismatch(definition, definition.generation, generation);
  }
  assertSpecKnown(definition);
}

function assertDisksKnown(
  found: Found,
  wanted: WantedVm,
  changes: readonly Pick<FieldChange, 'field'>[],
): void {
  if (!found.drift.includes('volumes')) return;
  const isOfDisks = changes.some(({ field }) => DISK_FIELDS.some((one) => field.startsWith(one)));
  if (isOfDisks && !putsDisksBack(found, wanted.spec)) return;
  throw disksChanged(found.definition);
}

function generationMismatch(
  { name, uid, generation }: VmDefinition,
  found: number | undefined,
  wanted = generation,
): AgentError {
  return new AgentError(
    'GENERATION_MISMATCH',
    found === undefined
      ? `Cannot change VM ${name}: it has gone meanwhile`
      : `Cannot change VM ${name}: it has generation ${found}, not ${wanted}; read it again and repeat the change`,
    { metadata: { vmId: uid } },
  );
}
