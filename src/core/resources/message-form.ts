/** How one kind of value is written in the API's messages: all that leading it there and back needs of its schema, as plain data. */
export type MessageForm =
  | LeafForm
  | { readonly enumPrefix: string; readonly values: readonly string[] }
  | { readonly items: MessageForm }
  | { readonly fields: Readonly<Record<string, MessageForm>>; readonly oneof?: string };

/** `generation`: a number of 64 bits of which 0 is none. `value`: any value, also an empty one. `map`: of texts. */
export type LeafForm = 'plain' | 'map' | 'struct' | 'value' | 'int64' | 'generation' | 'timestamp';
