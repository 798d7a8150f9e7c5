import type { FieldDifference } from '../../../core/resources/field-changes.ts';
import type { Machine } from '../../../core/resources/machine.ts';
import { XmlEditor } from '../domain-xml/xml-editor.ts';
import type { XmlElement } from '../domain-xml/xml-parser.ts';
import { findElement } from '../domain-xml/xml-query.ts';
import type { OperationArguments } from '../operations.ts';

/** Calls that change a domain while it runs. */
type LiveCallName = 'attachDevice' | 'detachDevice' | 'updateDevice' | 'setVcpus' | 'setBalloon';

/** One of them, without the uid; or something else has to be done first, which is under way. */
export type LiveCall =
  | { readonly operation: 'wait' }
  | {
      [Name in LiveCallName]: {
        readonly operation: Name;
        readonly values: OperationArguments<Name> extends [string, ...infer Rest] ? Rest : never;
      };
    }[LiveCallName];

/** A domain and the text that its elements are in. */
export interface LiveXml {
  readonly root: XmlElement;
  readonly source: string;
}

/** A domain that runs, and what its next start takes. */
export interface LivePair {
  readonly live: LiveXml;
  readonly next: LiveXml;
  /** What it is to be. */
  readonly wanted: Machine;
}

/**
 * What is to be done for one change, nothing where it is so already; undefined for a change that is another's. Looks at what is: an
 * agent that was killed may have done it.
 */
export type LivePlanner = (
  change: FieldDifference,
  pair: LivePair,
) => readonly LiveCall[] | undefined;

/** A device as the next start takes it: at the same place on its bus, so that guests call it the same then. */
export function attachOf(next: LiveXml, device: XmlElement): LiveCall {
  const text = next.source.slice(device.start, device.end);
  const editor = new XmlEditor(next.source);
  const address = findElement(device, 'address');
  if (address === undefined) return { operation: 'attachDevice', values: [text, undefined] };
  editor.remove(address);
  const removed = next.source.length - editor.toString().length;
  const anywhere = editor.toString().slice(device.start, device.end - removed);
  return { operation: 'attachDevice', values: [text, anywhere] };
}

export function detachOf(live: LiveXml, device: XmlElement): LiveCall {
  return { operation: 'detachDevice', values: [live.source.slice(device.start, device.end)] };
}
