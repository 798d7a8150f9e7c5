import { hash } from 'node:crypto';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { DescriptionFile } from './description-file.ts';
import type { DomainDescription } from './domain-description.ts';
import type { DomainXml } from './domain-operations.ts';
import type { DomainRecord } from './domain-statistics.ts';

/** Of what no event tells, such as `virsh setmem --config`, a listing is wrong for at most this long plus a few listings. */
const MAX_AGE_MS = 60_000;
const RETRY_DELAY_MS = 5_000;
const MAX_AGED_READS_PER_LISTING = 32;

interface Entry {
  readonly description: DomainDescription;
  /** Of the XML that it was read from. */
  readonly digest: string;
  readonly name: string;
  readonly runId: number | undefined;
  readonly persistent: boolean;
  readonly readAtMs: number;
  /** Invalidated since; still better than nothing for a domain whose XML cannot be read now. */
  stale: boolean;
}

export interface ReadDomain {
  readonly record: DomainRecord;
  readonly xml: DomainXml;
}

interface DescribedDomain {
  readonly record: DomainRecord;
  readonly description: DomainDescription;
}

/** The descriptions of all domains, so that a listing need not read every domain's XML again. */
export class DefinitionCache {
  readonly #entries = new Map<string, Entry>();
  /** Counts invalidations, so that what was read before one is not stored as fresh after it. */
  readonly #versions = new Map<string, number>();
  /** Domains whose XML could not be read, and when it is worth trying again. */
  readonly #retryAtMs = new Map<string, number>();
  /** Of domains that were defined and not read yet. */
  readonly #names = new Map<string, { readonly name: string; readonly atMs: number }>();
  #allVersion = 0;
  #told = 0;
  readonly #remembered: Pick<DescriptionFile, 'take'> | undefined;
  #changes = 0;

  /** `remembered` has descriptions from before. */
  constructor(remembered?: Pick<DescriptionFile, 'take'>) {
    this.#remembered = remembered;
  }

  /** Grows with whatever is told or doubted. */
  get told(): number {
    return this.#told;
  }

  /** Grows as `descriptions` comes to have others. */
  get changes(): number {
    return this.#changes;
  }

  /** Of domains of ours, by the digest of their XML. */
  descriptions(): Map<string, DomainDescription> {
    const ours = [...this.#entries.values()].filter(({ description }) => isOurs(description));
    return new Map(ours.map(({ digest, description }) => [digest, description]));
  }

  find(uid: string): DomainDescription | undefined {
    return this.#entries.get(uid)?.description;
  }

  /** What users call it, such as `default/web`; undefined if that is not known. */
  findName(uid: string): string | undefined {
    const definition = this.find(uid)?.definition;
    return definition === undefined ? this.#names.get(uid)?.name : nameOf(definition);
  }

  /** For errors about one that is not read yet. */
  noteName(definition: VmDefinition): void {
    this.#names.set(definition.uid, { name: nameOf(definition), atMs: performance.now() });
  }

  /** The domains whose XML has to be read to list these, oldest first where it is only for their age. */
  selectOutdated(records: readonly DomainRecord[]): readonly DomainRecord[] {
    const changed: DomainRecord[] = [];
    const aged: { record: DomainRecord; readAtMs: number }[] = [];
    const oldestMs = performance.now() - MAX_AGE_MS;
    for (const record of records) {
      if ((this.#retryAtMs.get(record.uid) ?? 0) > performance.now()) continue;
      const entry = this.#entries.get(record.uid);
      if (entry === undefined || entry.stale || !matches(entry, record)) changed.push(record);
      else if (entry.readAtMs < oldestMs) aged.push({ record, readAtMs: entry.readAtMs });
    }
    aged.sort((a, b) => a.readAtMs - b.readAtMs);
    return [...changed, ...aged.slice(0, MAX_AGED_READS_PER_LISTING).map(({ record }) => record)];
  }

  /**
   * Reads a domain and keeps the description that follows from its XML alone. To read XML costs a hundred times what it costs to
   * see that it is the same as before.
   */
  async read(
    uid: string,
    read: () => Promise<ReadDomain | undefined>,
    describe: (domain: ReadDomain) => DomainDescription,
  ): Promise<DescribedDomain | undefined> {
    const version = this.#versionOf(uid);
    const readAtMs = performance.now();
    const domain = await read();
    if (domain === undefined) return undefined;
    const { record, xml } = domain;
    const digest = digestOf(xml);
    const before = this.#entries.get(uid);
    const description =
      before?.digest === digest
        ? before.description
        : (this.#remembered?.take(digest) ?? this.#describe(domain, describe));
    // Who began to read later knows better.
    if (before === undefined || before.readAtMs <= readAtMs) {
      const { name, runId, persistent } = record;
      const stale = version !== this.#versionOf(uid);
      const entry = { description, digest, name, runId, persistent, readAtMs, stale };
      this.#entries.set(uid, entry);
    }
    return { record, description };
  }

  /** Leaves a domain that could not be read as it is for some time: it shall not hold up every listing. */
  postpone(uid: string): void {
    this.#retryAtMs.set(uid, performance.now() + RETRY_DELAY_MS);
  }

  invalidate(uid: string): void {
    // Who has changed it could reach it.
    this.#retryAtMs.delete(uid);
    this.expire(uid);
  }

  /** Has it read by the next listing, unless it could not be just now. For what no event tells. */
  expire(uid: string): void {
    this.#told += 1;
    // What is being read may be from before.
    this.#versions.set(uid, (this.#versions.get(uid) ?? 0) + 1);
    const entry = this.#entries.get(uid);
    if (entry !== undefined) entry.stale = true;
  }

  /** For when events may have been missed. */
  invalidateAll(): void {
    this.#allVersion += 1;
    this.#told += 1;
    this.#retryAtMs.clear();
    for (const entry of this.#entries.values()) entry.stale = true;
  }

  /** Forgets domains that are no longer there. */
  keepOnly(records: readonly DomainRecord[]): void {
    const uids = new Set(records.map((record) => record.uid));
    const before = this.#entries.size;
    for (const map of [this.#entries, this.#versions, this.#retryAtMs]) {
      for (const uid of map.keys()) if (!uids.has(uid)) map.delete(uid);
    }
    this.#changes += before - this.#entries.size;
    // One that is about to be defined is not there yet.
    const oldestMs = performance.now() - MAX_AGE_MS;
    for (const [uid, { atMs }] of this.#names) {
      if (!uids.has(uid) && atMs < oldestMs) this.#names.delete(uid);
    }
  }

  #describe(
    domain: ReadDomain,
    describe: (domain: ReadDomain) => DomainDescription,
  ): DomainDescription {
    const description = describe(domain);
    if (isOurs(description)) this.#changes += 1;
    return description;
  }

  #versionOf(uid: string): string {
    return `${this.#allVersion}.${this.#versions.get(uid) ?? 0}`;
  }
}

function isOurs({ definition }: DomainDescription): boolean {
  return definition !== undefined;
}

function digestOf({ live, persistent }: DomainXml): string {
  return hash('sha256', `${live}\0${persistent}`, 'base64');
}

function nameOf({ namespace, name }: VmDefinition): string {
  return `${namespace}/${name}`;
}

function matches(entry: Entry, record: DomainRecord): boolean {
  return (
    entry.name === record.name &&
    entry.runId === record.runId &&
    entry.persistent === record.persistent
  );
}
