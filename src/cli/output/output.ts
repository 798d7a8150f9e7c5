import type { CliIo } from '../process/cli-io.ts';
import type { Document } from './documents.ts';
import type { OutputFormat } from './output-format.ts';
import type { Column, ResourceView } from './resource-view.ts';
import { formatTable, tableWidth } from './table.ts';

export async function printDocument(
  io: CliIo,
  format: 'json' | 'yaml',
  document: Document,
): Promise<void> {
  if (format === 'json') {
    io.stdout.write(`${JSON.stringify(document, undefined, 2)}\n`);
    return;
  }
  const { toYaml } = await import('../../core/yaml.ts');
  io.stdout.write(toYaml(document));
}

/** Prints one object. */
export async function printItem<T>(
  io: CliIo,
  format: OutputFormat,
  view: ResourceView<T>,
  item: T,
): Promise<void> {
  if (format === 'json' || format === 'yaml') await printDocument(io, format, view.document(item));
  else io.stdout.write(lines(io, format, view, [item]));
}

/** Prints a list; `none` goes to stderr if a person reads and there is nothing. */
export async function printList<T>(
  io: CliIo,
  format: OutputFormat,
  view: ResourceView<T>,
  items: readonly T[],
  none: string,
): Promise<void> {
  if (format === 'json' || format === 'yaml') {
    await printDocument(io, format, { items: items.map((item) => view.document(item)) });
  } else if (items.length === 0 && format !== 'name') io.stderr.write(`${none}\n`);
  else io.stdout.write(lines(io, format, view, items));
}

function lines<T>(
  { stdout }: CliIo,
  format: OutputFormat,
  view: ResourceView<T>,
  items: readonly T[],
): string {
  if (format === 'name') return items.map((item) => `${view.name(item)}\n`).join('');
  if (format === 'wide') return tableOf(view.columns, items);
  let columns = view.columns.filter((column) => column.wide !== true);
  // Programs get all of them, whatever the terminal is that they run in.
  while (stdout.isTTY && widthOf(columns, items) > stdout.columns) {
    const spare = Math.max(...columns.map((column) => column.spare ?? 0));
    if (spare === 0) break;
    columns = columns.filter((column) => column.spare !== spare);
  }
  return tableOf(columns, items);
}

function tableOf<T>(columns: readonly Column<T>[], items: readonly T[]): string {
  return formatTable(...cellsOf(columns, items));
}

function widthOf<T>(columns: readonly Column<T>[], items: readonly T[]): number {
  return tableWidth(...cellsOf(columns, items));
}

function cellsOf<T>(columns: readonly Column<T>[], items: readonly T[]) {
  const headers = columns.map((column) => column.header);
  return [headers, items.map((item) => columns.map((column) => column.value(item)))] as const;
}
