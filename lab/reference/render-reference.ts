import * as z from 'zod';
import { API_VERSION } from '../../src/core/resources/api-version.ts';
import { bare, metaOf } from '../../src/core/resources/field-schemas.ts';
import { virtualMachine } from '../../src/core/resources/virtual-machine.ts';

/** What is said of one field. */
interface Row {
  readonly field: string;
  readonly type: string;
  readonly value: string;
  readonly description: string;
}

/** The reference of the manifests, as Markdown, from their schema. */
export function renderReference(): string {
  const parts = virtualMachine.shape;
  return `# VirtualMachine

\`apiVersion: ${API_VERSION}\`, \`kind: VirtualMachine\`. What \`novactl vm apply -f\` reads, and \`kubectl apply -f\` will
once there is a control plane; the API has the same names. A key that is not here is refused.

A quantity is a number, with decimals or not, and then nothing, \`k\` \`M\` \`G\` \`T\` \`P\` \`E\` (1000 and its powers), \`Ki\` \`Mi\` \`Gi\` \`Ti\` \`Pi\` \`Ei\`
(1024 and its powers), \`m\` (thousandths), or an exponent as in \`1e9\`; a rate has \`bps\` \`kbps\` \`Mbps\` \`Gbps\` or \`Tbps\`. They are kept as written.
What the hypervisor cannot give exactly is rounded up, and a warning says so.

Made from the schema in \`src/core/resources\` by \`npm run generate\`.

## metadata

${table(rowsOf(parts.metadata, ['metadata']))}

## spec

${table(rowsOf(parts.spec, ['spec']))}

## status

Output only; ignored in a manifest.

${table(rowsOf(parts.status, ['status']))}

[What the agent refuses as NOT_SUPPORTED, or keeps without effect](../api.md#what-this-version-refuses), is told with the API.
`;
}

/** What of a VM the agent cannot carry out yet, and what means nothing on one node, as Markdown. */
export function renderSupport(): string {
  const { spec } = virtualMachine.shape;
  return `Refused with NOT_SUPPORTED, naming the field, until it can be carried out:

${list(rowsOf(spec, ['spec'], 'refused'))}

Kept, because leaving it out changes nothing about the guest, and said so in a warning:

${list(rowsOf(spec, ['spec'], 'kept'))}`;
}

function table(rows: readonly Row[]): string {
  const lines = rows.map(
    ({ field, type, value, description }) =>
      `| \`${field}\` | ${type} | ${value} | ${description} |`,
  );
  return ['| field | type | if left out | what |', '|---|---|---|---|', ...lines].join('\n');
}

function list(rows: readonly Row[]): string {
  return rows.map(({ field, description }) => `- \`${field}\`: ${description}`).join('\n');
}

type Only = 'refused' | 'kept' | undefined;

function rowsOf(schema: z.core.$ZodType, at: readonly string[], only?: Only): Row[] {
  const type = bare(schema);
  if (type instanceof z.ZodArray) {
    const last = at.at(-1) ?? '';
    return rowsOf(type.element, [...at.slice(0, -1), `${last}[]`], only);
  }
  if (!(type instanceof z.ZodObject)) return [];
  return Object.entries<z.core.$ZodType>(type.shape).flatMap(([key, field]) => {
    const path = [...at, key];
    const here = rowOf(field, path);
    if (only === undefined) return [here, ...rowsOf(field, path)];
    const meta = metaOf(field);
    const why = only === 'refused' ? meta.notSupported : meta.notApplicable;
    if (why !== undefined) return [{ ...here, description: why }];
    const values = only === 'refused' ? Object.entries(meta.notSupportedValues ?? {}) : [];
    const ofValues = values.map(([value, reason]) => ({
      ...here,
      field: `${here.field}: ${value}`,
      description: reason,
    }));
    // What is refused whole need not be taken apart.
    if (meta.notSupported !== undefined) return ofValues;
    return [...ofValues, ...rowsOf(field, path, only)];
  });
}

function rowOf(field: z.core.$ZodType, path: readonly string[]): Row {
  return {
    field: path.join('.'),
    type: typeOf(bare(field)),
    // Nobody leaves out what is output only.
    value: path[0] === 'status' ? '' : defaultOf(field),
    description: (metaOf(field).description ?? '').replaceAll('|', '\\|'),
  };
}

function defaultOf(field: z.core.$ZodType): string {
  if (field instanceof z.ZodDefault || field instanceof z.ZodPrefault) {
    return `\`${JSON.stringify(field.def.defaultValue).replaceAll('"', '')}\``;
  }
  return field instanceof z.ZodOptional ? '' : 'required';
}

function typeOf(type: z.core.$ZodType): string {
  if (type instanceof z.ZodEnum) return type.options.map((value) => `\`${value}\``).join(' ');
  if (type instanceof z.ZodObject) return 'object';
  if (type instanceof z.ZodArray) return 'list';
  if (type instanceof z.ZodRecord) return 'map';
  if (type instanceof z.ZodBoolean) return 'true or false';
  if (type instanceof z.ZodNumber) return 'number';
  return type instanceof z.ZodPipe ? 'quantity' : 'text';
}
