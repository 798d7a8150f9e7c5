import { toYaml } from '../../core/yaml.ts';
import type { CliIo } from '../process/cli-io.ts';
import type { Document } from './documents.ts';
import type { OutputFormat } from './output-format.ts';
import type { ResourceView } from './resource-view.ts';
import { formatTable } from './table.ts';

export function printDocument(io: CliIo, format: 'json' | 'yaml', document: Document): void {
  const text = format === 'json' ? `${JSON.stringify(document, undefined, 2)}\n` : toYaml(document);
  io.stdout.write(text);
}

/** Prints one object. */
export function printItem<T>(
  io: CliIo,
  format: OutputFormat,
  view: ResourceView<T>,
  item: T,
): void {
  if (format === 'json' || format === 'yaml') printDocument(io, format, view.document(item));
  else io.stdout.write(lines(format, view, [item]));
}

/** Prints a list; `none` goes to stderr if a person reads and there is nothing. */
export function printList<T>(
  io: CliIo,
  format: OutputFormat,
  view: ResourceView<T>,
  items: readonly T[],
  none: string,
): void {
  if (format === 'json' || format === 'yaml') {
    printDocument(io, format, { items: items.map((item) => view.document(item)) });
  } else if (items.length === 0 && format !== 'name') io.stderr.write(`${none}\n`);
  else io.stdout.write(lines(format, view, items));
}

function lines<T>(format: OutputFormat, view: ResourceView<T>, items: readonly T[]): string {
  if (format === 'name') return items.map((item) => `${view.name(item)}\n`).join('');
  const columns = view.columns.filter((column) => format === 'wide' || column.wide !== true);
  return formatTable(
    columns.map((column) => column.header),
    items.map((item) => columns.map((column) => column.value(item))),
  );
}
