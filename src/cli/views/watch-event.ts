import type { ResourceEvent } from '../../client/watch.ts';
import type { Document } from '../output/documents.ts';
import { printable } from '../output/table.ts';

export type Change<T> = Exclude<ResourceEvent<T>, { type: 'synced' }>;

/** What a line about a change says of an object. */
export interface ChangeWords<T> {
  /** What commands take to mean it. */
  name(object: T): string;
  state(object: T): string;
  /** May be empty. */
  message(object: T): string;
  document(object: T): Document;
}

/** `09:15:02 modified default/web Running`, and the message if there is one, or where it has gone. */
export function changeText<T>(change: Change<T>, words: ChangeWords<T>, now: Date): string {
  const { type, object } = change;
  const message = movedTo(change) ?? words.message(object);
  const parts = [
    now.toTimeString().slice(0, 8),
    type.padEnd(8),
    words.name(object),
    type === 'deleted' ? '' : words.state(object),
    message === '' ? '' : `- ${message}`,
  ];
  return `${printable(parts.filter((part) => part !== '').join(' '))}\n`;
}

/** As Kubernetes' watches have it. */
export function changeDocument<T>(change: Change<T>, words: ChangeWords<T>): Document {
  const { type, object } = change;
  const moved =
    type === 'deleted' && change.movedToNode !== undefined
      ? { movedToNode: change.movedToNode }
      : {};
  return { type: type.toUpperCase(), object: words.document(object), ...moved };
}

function movedTo<T>(change: Change<T>): string | undefined {
  if (change.type !== 'deleted' || change.movedToNode === undefined) return undefined;
  return `it has moved to node ${change.movedToNode}`;
}
