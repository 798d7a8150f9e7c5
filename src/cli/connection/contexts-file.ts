import { AgentError } from '../../core/errors.ts';
import { agentAddressProblem } from '../../core/host-port.ts';
import { unquotedText } from '../../core/resources/field-schemas.ts';
import { describeIssues, schemaMessages } from '../../core/resources/schema-issues.ts';
import { readYaml } from '../../core/yaml.ts';
import { yamlProblem } from '../../core/yaml-problem.ts';
import * as z from '../../core/zod.ts';

/* The file that says which agents there are. Loaded only where there is one. */

const contextsSchema = z.strictObject({
  contexts: z
    .record(
      z.string(),
      z.strictObject({
        address: z.string().superRefine((text, context) => {
          const problem = agentAddressProblem(text);
          if (problem !== undefined) context.addIssue(problem);
        }),
        nodeName: unquotedText.optional(),
        tls: z
          .strictObject({ certificate: z.string(), key: z.string(), ca: z.string() })
          .optional(),
      }),
    )
    .default({}),
  current: unquotedText.optional(),
});

export type Contexts = z.infer<typeof contextsSchema>;

/** `file` is only named in messages. */
export function parseContexts(content: string, file: string): Contexts {
  let document: unknown;
  try {
    document = readYaml(content) ?? {};
  } catch (error) {
    const why = yamlProblem(content, error);
    throw new AgentError('INVALID_CONFIG', `The contexts file ${file} is no YAML: ${why}`);
  }
  const result = contextsSchema.safeParse(document, schemaMessages);
  if (result.success) return result.data;
  const violations = describeIssues(result.error, contextsSchema);
  const problems = violations.map(({ field, description }) => `${field}: ${description}`);
  throw new AgentError(
    'INVALID_CONFIG',
    `The contexts file ${file} is wrong: ${problems.join('; ')}`,
  );
}
