/** Begins what the agent calls itself where it asks for operations; callers are called by their certificates or sockets. */
const AGENT = 'agent/';

/** As whom a part of the agent asks. */
export function agentPart(name: string): string {
  return `${AGENT}${name}`;
}

/** Whether no caller has asked for it, but the agent by itself. */
export function isByAgent(requestedBy: string): boolean {
  return requestedBy.startsWith(AGENT);
}
