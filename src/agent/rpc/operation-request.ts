import type { Operation } from '../operations/operation.ts';

/** A JSON object. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** What an operation was asked for by, in the words of the request in proto3's JSON; undefined if there is nothing to say. */
export function toRequest({ parameters }: Operation): JsonObject | undefined {
  const { manifest, timeoutMs, destinationNode, ...others } = parameters;
  const request = {
    virtualMachine: manifest,
    timeout: typeof timeoutMs === 'number' ? `${timeoutMs / 1_000}s` : undefined,
    spec:
      destinationNode === undefined ? undefined : { destination: { nodeName: destinationNode } },
    ...others,
  };
  // What was left out is undefined or false; JSON has no undefined at any depth.
  const said = Object.entries(request).filter(([, value]) => value !== false);
  const json = JSON.parse(JSON.stringify(Object.fromEntries(said))) as JsonObject;
  return Object.keys(json).length === 0 ? undefined : json;
}
