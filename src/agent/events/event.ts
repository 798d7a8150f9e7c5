import type {
  Page,
  PageRequest,
  ReportOrigin,
  WatchCursor,
  WatchEvent,
} from '../reports/report.ts';
import type { EventReason, EventType } from './event-reasons.ts';

/** The VM of an event, which may be gone. */
export interface EventVm {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** Something that has happened to a VM, once. */
export interface EventNote {
  readonly vm: EventVm;
  readonly reason: EventReason;
  /** In a sentence, for people. */
  readonly message: string;
  /** When, in milliseconds since 1970. */
  readonly atMs: number;
  /** In one CamelCase word; left out where the reason says it all. */
  readonly cause?: string;
  /** Who asked for it; left out if nobody did, or that is not known. */
  readonly requestedBy?: string;
  readonly operationId?: string;
  readonly migrationId?: string;
  /** What of the message tells that it is the same again, where that holds what differs each time. Left out: all of it. */
  readonly sameAs?: string;
}

/** Something that has happened to a VM, once or several times, as it is kept. Times are milliseconds since 1970. */
export interface EventRecord {
  /** UUID. */
  readonly id: string;
  readonly vm: EventVm;
  readonly type: EventType;
  /** One of `EVENT_REASONS`; a later version may have known more. */
  readonly reason: string;
  /** As it was the last time. */
  readonly message: string;
  /** Empty where the reason says it all. */
  readonly cause: string;
  /** Empty if nobody has asked for it, or that is not known. */
  readonly requestedBy: string;
  readonly firstAtMs: number;
  readonly lastAtMs: number;
  /** At least 1. */
  readonly count: number;
  /** Of the last time; empty if there is none. */
  readonly operationId: string;
  /** Empty if there is none. */
  readonly migrationId: string;
  /** What it is the same again by. */
  readonly sameAs: string;
}

/** An event as it is told. */
export interface ReportedEvent extends EventRecord {
  readonly origin: ReportOrigin;
}

export interface EventFilter {
  /** Undefined chooses those of all VMs. */
  readonly vmUid: string | undefined;
  /** A VM by its names; undefined chooses all. */
  readonly vmName: { readonly namespace: string; readonly name: string } | undefined;
  /** Undefined chooses those of all namespaces. */
  readonly namespace: string | undefined;
  /** Undefined chooses those of any type. */
  readonly type: EventType | undefined;
}

/** What has happened to the VMs of this node. */
export interface EventService {
  /** Those that have last happened at `sinceMs` or later, all if that is undefined; by when they first happened, the newest first. */
  list(
    filter: EventFilter & { readonly sinceMs: number | undefined },
    page: PageRequest,
    signal: AbortSignal,
  ): Promise<Page<ReportedEvent>>;
  /** The latest, then each that happens. Fails with WATCH_EXPIRED when too far behind. */
  watch(
    filter: EventFilter,
    cursor: WatchCursor | undefined,
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent<ReportedEvent>>;
}
