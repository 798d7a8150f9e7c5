import * as z from '../zod.ts';
import { bare, metaOf } from './field-schemas.ts';
import type { MessageForm } from './message-form.ts';

/** The form in messages of what a schema describes. */
export function formOf(schema: z.core.$ZodType): MessageForm {
  const type = bare(schema);
  const { enumPrefix, leaf, oneof } = metaOf(schema);
  if (enumPrefix !== undefined) {
    return { enumPrefix, values: type instanceof z.ZodEnum ? type.options.map(String) : [] };
  }
  if (leaf !== undefined) return leaf;
  if (type instanceof z.ZodObject) {
    const fields = Object.entries<z.core.$ZodType>(type.shape).map(([key, field]) => [
      key,
      formOf(field),
    ]);
    return { fields: Object.fromEntries(fields), ...(oneof !== undefined && { oneof }) };
  }
  if (type instanceof z.ZodArray) return { items: formOf(type.element) };
  return type instanceof z.ZodRecord ? 'map' : 'plain';
}
