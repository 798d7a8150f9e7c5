import type { Operation } from '../../client/api.ts';

const WHY_NOT_FOUND: ReadonlyMap<string, string> = new Map([
  ['ALREADY_DELETED', 'it was deleted before'],
  ['NEVER_HERE', 'the node has never had it'],
]);

/** Why there was nothing to delete; undefined if there was. */
export function whyNotFound({ result }: Operation): string | undefined {
  return WHY_NOT_FOUND.get(result);
}
