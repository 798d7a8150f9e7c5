import { createHash } from 'node:crypto';
import type { Connection } from './connection.ts';

/** More kinds of domains than any node has; those from before are then validated again. */
const MOST = 1_000;

/** By connection: behind another one there may be another libvirt. */
const validated = new WeakMap<Connection, Set<string>>();

/**
 * Whether libvirt has yet to hold a domain against its schema. That takes it 12 ms, some three times as long as all the rest of
 * defining one, and domains of one shape differ in nothing that the schema is about.
 */
export function isNewShape(connection: Connection, xml: string): boolean {
  return validated.get(connection)?.has(digestOf(shapeOf(xml))) !== true;
}

/** Notes that libvirt has accepted a domain by its schema. */
export function noteShape(connection: Connection, xml: string): void {
  const shapes = validated.get(connection) ?? new Set();
  if (shapes.size >= MOST) shapes.clear();
  shapes.add(digestOf(shapeOf(xml)));
  validated.set(connection, shapes);
}

/** A domain's elements, attributes and those values that are words; what the schema takes as it comes is left out. */
export function shapeOf(xml: string): string {
  return xml
    .replaceAll(/<metadata>.*?<\/metadata>/gs, '<metadata/>')
    .replaceAll(/=\s*(?:"([^"]*)"|'([^']*)')/g, (_, double?: string, single?: string) =>
      wordOnly(double ?? single ?? ''),
    )
    .replaceAll(/>([^<]*)</g, (_, text: string) => `>${wordOnly(text.trim())}<`);
}

function wordOnly(value: string): string {
  return /^(?:[a-z][a-z-]{0,31})?$/.test(value) ? `=${value}` : '=*';
}

function digestOf(shape: string): string {
  return createHash('sha256').update(shape).digest('base64');
}
