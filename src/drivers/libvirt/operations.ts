import * as adoptions from './adopt-operations.ts';
import type { Connection } from './connection.ts';
import * as consoles from './console-operations.ts';
import * as devices from './device-operations.ts';
import { isStorageFull } from './disk-errors.ts';
import * as diskKeys from './disk-keys.ts';
import * as domains from './domain-operations.ts';
import * as guests from './guest-operations.ts';
import * as host from './host-operations.ts';
import * as jobs from './job-operations.ts';
import * as sizes from './size-operations.ts';

/** Everything that can be asked of a call thread. */
export const OPERATIONS = {
  probe: host.probe,
  readHost: host.readHost,
  readHypervisorVersion: host.readHypervisorVersion,
  readDomainCapabilities: host.readDomainCapabilities,
  compareCpu: host.compareCpu,
  compareModel: host.compareModel,
  list: domains.list,
  find: domains.find,
  readXml: domains.readXml,
  isStorageFull,
  findXml: domains.findXml,
  findDefinableXml: domains.findDefinableXml,
  findNextRun: domains.findNextRun,
  define: domains.define,
  start: domains.start,
  shutdown: domains.shutdown,
  destroy: domains.destroy,
  suspend: domains.suspend,
  resume: domains.resume,
  reset: domains.reset,
  reboot: domains.reboot,
  changeMedium: domains.changeMedium,
  emptyDrive: domains.emptyDrive,
  attachDevice: devices.attachDevice,
  detachDevice: devices.detachDevice,
  updateDevice: devices.updateDevice,
  resizeDisk: devices.resizeDisk,
  setVcpus: sizes.setVcpus,
  setBalloon: sizes.setBalloon,
  undefine: domains.undefine,
  setMetadata: domains.setMetadata,
  keepsDiskKeys: diskKeys.keepsDiskKeys,
  putDiskKeys: diskKeys.putDiskKeys,
  removeDiskKeys: diskKeys.removeDiskKeys,
  listDiskKeyOwners: diskKeys.listDiskKeyOwners,
  findAdoptable: adoptions.findAdoptable,
  adopt: adoptions.adopt,
  openConsole: consoles.openConsole,
  openDisplay: consoles.openDisplay,
  takeScreenshot: consoles.takeScreenshot,
  sendKeys: consoles.sendKeys,
  readGuestFacts: guests.readGuestFacts,
  readGuestAddresses: guests.readGuestAddresses,
  readGuestOnline: guests.readGuestOnline,
  freezeGuest: guests.freezeGuest,
  thawGuest: guests.thawGuest,
  isGuestFrozen: guests.isGuestFrozen,
  setGuestPassword: guests.setGuestPassword,
  syncGuestTime: guests.syncGuestTime,
  startGuestCommand: guests.startGuestCommand,
  findGuestCommandEnd: guests.findGuestCommandEnd,
  readMigratableXml: jobs.readMigratableXml,
  migrate: jobs.migrate,
  readObstacles: jobs.readObstacles,
  getJob: jobs.getJob,
  getCompletedJob: jobs.getCompletedJob,
  abortJob: jobs.abortJob,
  setMaxDowntime: jobs.setMaxDowntime,
};

type Operations = typeof OPERATIONS;
export type OperationName = keyof Operations;

/** An operation's arguments without the connection, which the thread has. */
export type OperationArguments<Name extends OperationName> =
  Parameters<Operations[Name]> extends [Connection, ...infer Rest] ? Rest : never;

export type OperationResult<Name extends OperationName> = Awaited<ReturnType<Operations[Name]>>;
