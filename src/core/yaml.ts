import {
  type Document,
  parseAllDocuments,
  parseDocument,
  Scalar,
  type ScalarTag,
  stringify,
  type Tags,
} from 'yaml';
import { stringifyString } from 'yaml/util';

/*
 * YAML that means the same to all of its readers. For those of YAML 1.1 (PyYAML, Ansible, Ruby, some of Go) a bare `no` is
 * false, `1:30` is 90 and `2024-01-01` a date; for those of YAML 1.2 a bare `1e3` or `0o7` is a number, which PyYAML writes as
 * text.
 */

/** Begins with a letter or a slash, as no number, date or other sign does in any YAML; words such as `no` are known. */
const WORDS = /^[A-Za-z/](?:[^\p{C}\p{Z}]| )*$/u;
/** Can be printed as a block. */
const LINES = /^[A-Za-z/#](?:[^\p{C}\p{Z}]|[ \t])*\n(?:[^\p{C}\p{Z}]|[ \t\n])*$/u;
/** Begin with a digit, and are text for every reader all the same. */
const QUANTITY = /^\d+(?:\.\d+)?(?:[KMGTPE]i|[kMGT]?bps|s)$/;
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const BARE = [WORDS, LINES, QUANTITY, UUID];

const TEXT: ScalarTag = {
  tag: 'tag:yaml.org,2002:str',
  default: true,
  identify: (value) => typeof value === 'string',
  resolve: (text) => text,
  stringify(item, context, onComment, onChompKeep) {
    const value = String(item.value);
    if (!BARE.some((pattern) => pattern.test(value))) return doubleQuoted(value);
    // It quotes the words, and what has a sign such as ": " in it.
    const ofText = { ...context, actualString: true };
    return stringifyString(new Scalar(value), ofText, onComment, onChompKeep);
  },
};

function doubleQuoted(text: string): string {
  // What YAML 1.1 takes for the end of a line, and what readers refuse or nobody sees.
  return JSON.stringify(text).replace(/[\p{C}\p{Z}]/gu, (character) => {
    const code = character.codePointAt(0) ?? 0;
    if (code === 0x20) return character;
    const [letter, length] = code > 0xffff ? ['U', 8] : ['u', 4];
    return `\\${letter}${code.toString(16).padStart(length, '0')}`;
  });
}

const EXPONENT: ScalarTag = {
  tag: 'tag:yaml.org,2002:float',
  default: true,
  identify: (value) => typeof value === 'number' && String(value).includes('e'),
  test: /^-?\d\.\d+e[-+]\d+$/,
  resolve: Number,
  // Without the point it is text for YAML 1.1.
  stringify: ({ value }) => String(value).replace(/^(-?\d)e/, '$1.0e'),
};

const WRITTEN: Tags = ['map', 'seq', 'null', 'bool', TEXT, EXPONENT, 'int', 'float'];

export function toYaml(document: unknown): string {
  // Without a limit on the width, long command lines stay on one line and can be copied.
  return stringify(document, {
    lineWidth: 0,
    compat: 'yaml-1.1',
    customTags: () => [...WRITTEN],
  });
}

/** A number only where its text is not lost by it: what could be a name, such as `007` or `1e3`, stays text as written. */
const NUMBERS: readonly ScalarTag[] = [
  { tag: 'tag:yaml.org,2002:int', test: /^(?:0|-?[1-9][0-9]*)$/ },
  { tag: 'tag:yaml.org,2002:float', test: /^-?(?:0|[1-9][0-9]*)\.[0-9]*[1-9]$/ },
].map(({ tag, test }) => ({
  tag,
  test,
  default: true,
  resolve: (text) => (String(Number(text)) === text ? Number(text) : text),
}));

const READING = {
  uniqueKeys: true,
  customTags: (): Tags => ['map', 'seq', 'null', 'bool', TEXT, ...NUMBERS],
} as const;

/** One document, undefined if there is none in it. Fails with what is wrong. */
export function readYaml(text: string): unknown {
  return valueOf(parseDocument(text, READING)) ?? undefined;
}

/** A function for each document of a text, which reads it or fails with what is wrong. */
export function readYamlDocuments(text: string): readonly (() => unknown)[] {
  const documents = parseAllDocuments(text, READING);
  return (Array.isArray(documents) ? documents : []).map((document) => () => valueOf(document));
}

function valueOf(document: Document): unknown {
  const [problem] = [...document.errors, ...document.warnings];
  if (problem !== undefined) throw problem;
  return document.toJS();
}
