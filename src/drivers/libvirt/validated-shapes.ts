import { createHash } from 'node:crypto';

/** More kinds of domains than any node has; those from before are then validated again. */
const MOST = 1_000;

/**
 * Which domains the libvirt of a connection has held against its schema. That takes it 12 ms, some three times as long as all the
 * rest of defining one. What only one domain has (paths, numbers, identities) is given up: it is checked once for all of a shape.
 */
export class ValidatedShapes {
  readonly #digests = new Set<string>();

  has(xml: string): boolean {
    return this.#digests.has(digestOf(shapeOf(xml)));
  }

  /** It has been accepted. */
  add(xml: string): void {
    if (this.#digests.size >= MOST) this.#digests.clear();
    this.#digests.add(digestOf(shapeOf(xml)));
  }
}

/** A domain's elements and attributes, and those values that are names of libvirt's, such as `writeback` and `pc-q35-7.2`. */
export function shapeOf(xml: string): string {
  return xml
    .replaceAll(/<metadata>.*?<\/metadata>/gs, '<metadata/>')
    .replaceAll(/<(name|serial)>[^<]*</g, '<$1>*<')
    .replaceAll(/=\s*(?:"([^"]*)"|'([^']*)')/g, (_, double?: string, single?: string) =>
      nameOnly(double ?? single ?? ''),
    )
    .replaceAll(/>([^<]*)</g, (_, text: string) => `>${nameOnly(text.trim())}<`);
}

function nameOnly(value: string): string {
  const isUuid = /^[0-9a-f]{8}-/.test(value);
  return !isUuid && /^(?:[A-Za-z][\w.-]{0,31})?$/.test(value) ? `=${value}` : '=*';
}

function digestOf(shape: string): string {
  return createHash('sha256').update(shape).digest('base64');
}
