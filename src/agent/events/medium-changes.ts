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
  const request = change.requestOf('eject', 'insert', 'apply');
  const byOther = change.now.isOn
    ? 'by its guest, or by other means than this agent'
    : 'by other means than this agent';
  return {
    reason: 'MediumEjected',
    message: `${path} was taken out of ${volume} ${request === undefined ? byOther : `as ${request.requestedBy} wanted it`}`,
    cause: request === undefined ? 'Other' : 'Request',
    ...askedBy(request),
  };
}

function insertion(change: SeenChange, volume: string, path: string): Happening {
  const request = change.requestOf('eject', 'insert', 'apply');
  const how =
    request === undefined
      ? 'by other means than this agent'
      : `as ${request.requestedBy} wanted it`;
  return {
    reason: 'MediumInserted',
    message: `${path} was put into ${volume} ${how}`,
    cause: request === undefined ? 'Other' : 'Request',
    ...askedBy(request),
  };
}
