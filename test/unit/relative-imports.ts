/** What a module imports of ours, whether at its start, for its types alone, or by `import('…')` while it runs. */
export function relativeImports(source: string): string[] {
  return [...source.matchAll(/\b(?:from|import)[\s(]+'(\.[^']+)'/g)].map(
    ([, target = '']) => target,
  );
}
