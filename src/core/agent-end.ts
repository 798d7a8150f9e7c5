import path from 'node:path';
import * as z from './zod.ts';

/** Why an agent could not go on, as it leaves it for whoever looks for it afterwards. */
const endSchema = z.object({
  /** ISO 8601. */
  at: z.string(),
  problem: z.string(),
});
export type AgentEnd = z.infer<typeof endSchema>;

/** Goes with the boot, and with the next agent that starts. */
export function agentEndFile(runDirectory: string): string {
  return path.join(runDirectory, 'last-end.json');
}

/** Undefined if there is none, or not all of it. */
export function parseAgentEnd(text: string | undefined): AgentEnd | undefined {
  try {
    return endSchema.safeParse(JSON.parse(text ?? '')).data;
  } catch {
    return undefined;
  }
}
