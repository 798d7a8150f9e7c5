import { askedBy, type Happening, isAnotherRun, type SeenChange } from './seen-change.ts';

/** That something was put into a drive or taken out. */
export function mediumChanges(change: SeenChange): readonly Happening[] {
  const { before, now } = change;
  // With another run the drives are as the definition has them.
  if (isAnotherRun(change)) return [];
  return Object.entries(now.media).flatMap(([volume, path]) => {
    const was = before.media[volume];
    if (was === undefined || was === path) return [];
    return path === '' ? [ejection(change, volume, was)] : [insertion(change, volume, path)];
  });
}

function ejection(change: SeenChange, volume: string, path: string): Happening {
  const drive = change.seen.vm.volumes.find(({ name }) => name === volume);
  if (drive?.isOpen === true && change.requestOf('eject', 'apply') === undefined) {
    const message = `${path} was ejected from ${volume} by its guest`;
    return { reason: 'MediumEjected', message, cause: 'Guest' };
  }
  const { how, ...who } = whoDid(change, 'eject');
  return { reason: 'MediumEjected', message: `${path} was taken out of ${volume} ${how}`, ...who };
}

function insertion(change: SeenChange, volume: string, path: string): Happening {
  const { how, ...who } = whoDid(change, 'insert');
  return { reason: 'MediumInserted', message: `${path} was put into ${volume} ${how}`, ...who };
}

/** A guest can open its drive, and shut it again. */
function whoDid(change: SeenChange, verb: 'eject' | 'insert') {
  const request = change.requestOf(verb, 'apply');
  const others = 'by other means than this agent';
  const byOthers = change.now.isOn ? `by its guest, or ${others}` : others;
  return {
    how: request === undefined ? byOthers : `as ${request.requestedBy} wanted it`,
    cause: request === undefined ? 'Other' : 'Request',
    ...askedBy(request),
  };
}
