import type { XmlElement } from '../xml-parser.ts';
import { attributeOf, textOf } from '../xml-query.ts';

export const UNITS: Readonly<Record<string, number>> = {
  b: 1,
  bytes: 1,
  KB: 1e3,
  k: 2 ** 10,
  KiB: 2 ** 10,
  MB: 1e6,
  M: 2 ** 20,
  MiB: 2 ** 20,
  GB: 1e9,
  G: 2 ** 30,
  GiB: 2 ** 30,
  TB: 1e12,
  T: 2 ** 40,
  TiB: 2 ** 40,
};

/** An amount of memory in bytes, 0 where there is none; NaN for a unit that libvirt does not have. */
export function readBytes(amount: XmlElement | undefined): number {
  const unit = attributeOf(amount, 'unit') ?? 'KiB';
  return Number(textOf(amount) ?? 0) * (UNITS[unit] ?? Number.NaN);
}
