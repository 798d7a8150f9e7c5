import { AgentError } from './errors.ts';

/** One requirement of a label selector. */
interface Requirement {
  readonly key: string;
  readonly operator: 'in' | 'not-in' | 'exists' | 'absent';
  readonly values: readonly string[];
}

/** Requirements that labels must all meet; none is met by everything. */
export type LabelSelector = readonly Requirement[];

export const EVERYTHING: LabelSelector = [];

const KEY = '[A-Za-z0-9](?:[\\w./-]*[A-Za-z0-9])?';
const VALUE = '(?:[A-Za-z0-9](?:[\\w.-]*[A-Za-z0-9])?)?';
const EQUALITY = new RegExp(`^(${KEY})\\s*(==|=|!=)\\s*(${VALUE})$`);
const SET = new RegExp(`^(${KEY})\\s+(in|notin)\\s*\\(([^()]*)\\)$`);
const EXISTENCE = new RegExp(`^(!?)\\s*(${KEY})$`);
const WHOLE_VALUE = new RegExp(`^${VALUE}$`);

/** Reads a selector in the syntax of Kubernetes: `app=web,tier in (front,back),!old`. Fails with INVALID_REQUEST. */
export function parseLabelSelector(text: string): LabelSelector {
  if (text.trim() === '') return EVERYTHING;
  // A comma within parentheses separates values, not requirements.
  return text.split(/,(?![^(]*\))/).map((part) => parseRequirement(part.trim(), text));
}

export function matchesLabels(
  selector: LabelSelector,
  labels: Readonly<Record<string, string>>,
): boolean {
  return selector.every(({ key, operator, values }) => {
    const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
    switch (operator) {
      case 'in':
        return value !== undefined && values.includes(value);
      case 'not-in':
        return value === undefined || !values.includes(value);
      case 'exists':
        return value !== undefined;
      default:
        return value === undefined;
    }
  });
}

function parseRequirement(part: string, whole: string): Requirement {
  const equality = EQUALITY.exec(part);
  if (equality !== null) {
    const [, key = '', sign, value = ''] = equality;
    return { key, operator: sign === '!=' ? 'not-in' : 'in', values: [value] };
  }
  const set = SET.exec(part);
  if (set !== null) {
    const [, key = '', word, list = ''] = set;
    const values = list.split(',').map((value) => value.trim());
    if (values.every((value) => WHOLE_VALUE.test(value))) {
      return { key, operator: word === 'in' ? 'in' : 'not-in', values };
    }
  }
  const existence = EXISTENCE.exec(part);
  if (existence !== null) {
    const [, not, key = ''] = existence;
    return { key, operator: not === '!' ? 'absent' : 'exists', values: [] };
  }
  throw new AgentError(
    'INVALID_REQUEST',
    `Cannot read the label selector ${JSON.stringify(whole)}: ${JSON.stringify(part)} is none of KEY=VALUE, KEY!=VALUE, KEY in (A,B), KEY notin (A,B), KEY and !KEY`,
  );
}
