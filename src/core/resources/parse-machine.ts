import { z } from 'zod';
import { AgentError } from '../errors.ts';
import { type Machine, machine } from './machine.ts';
import { describeIssues, schemaMessages } from './schema-issues.ts';
import { machineProblems } from './virtual-machine-rules.ts';

const checkedMachine = z.object({ machine }).check((context) => {
  for (const { path, message } of machineProblems(context.value.machine)) {
    const at = ['machine', ...path];
    context.issues.push({ code: 'custom', path: at, message, input: context.value });
  }
});

/** Checks a machine alone, as `spec.template.spec` would be. Fails with INVALID_SPEC. */
export function parseMachine(document: unknown): Machine {
  const result = checkedMachine.safeParse({ machine: document }, schemaMessages);
  if (result.success) return result.data.machine;
  const violations = describeIssues(result.error, checkedMachine);
  const [first] = violations;
  throw new AgentError(
    'INVALID_SPEC',
    `Cannot accept the machine: ${first?.field} ${first?.description}`,
    { violations },
  );
}
