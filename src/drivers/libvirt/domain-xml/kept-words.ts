import type { XmlElement } from './xml-parser.ts';
import { attributeOf, childrenOf, findElement } from './xml-query.ts';

/** Values that say nothing beside what is said already. */
type Usual = Readonly<Record<string, string | RegExp | undefined>>;

/** Attributes of an element that are not as usual, such as `iothread=1`, in its own order. */
export function extraAttributes(of: XmlElement | undefined, usual: Usual): readonly string[] {
  return (of?.attributes ?? [])
    .filter(({ name, value }) => {
      const known = usual[name];
      return known instanceof RegExp ? !known.test(value) : known !== value;
    })
    .map(({ name, value }) => `${name}=${shortened(value)}`);
}

/** Children of an element that are none of these, each by its words. */
export function extraChildren(
  of: XmlElement | undefined,
  known: readonly string[],
): readonly string[] {
  return childrenOf(of)
    .filter(({ name }) => !known.includes(name))
    .map(wordsOf);
}

/** An element in a few words that tell people which it is, such as `graphics spice` or `hostdev subsystem pci`. */
export function wordsOf(element: XmlElement): string {
  const target = findElement(element, 'target');
  const model = attributeOf(findElement(element, 'model'), 'type');
  const words = [
    ...TELLING.map((name) => attributeOf(element, name)),
    model,
    ...['name', 'dev', 'dir', 'type'].map((name) => attributeOf(target, name)),
  ];
  return [element.name, ...new Set(words.filter((word) => word !== undefined).map(shortened))]
    .join(' ')
    .trim();
}

const TELLING = ['mode', 'type', 'device', 'model', 'bus', 'name', 'dev', 'order', 'offset'];
const MOST_CHARACTERS = 60;

/** Somebody else's words may be long, and have anything in them. */
function shortened(text: string): string {
  const plain = text.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, ' ').toWellFormed();
  return plain.length <= MOST_CHARACTERS ? plain : `${plain.slice(0, MOST_CHARACTERS)}…`;
}
